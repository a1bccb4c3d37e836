"""`manage.py rebuild_budget_periods`: compare the budgets' counters with the ledger, and mend what differs."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents.figures import many
from agents.management.alone import alone
from budgets.counters import differences, mend


class Command(BaseCommand):
    help = "Set what budgets count as spent to what the ledger says. On a healthy database it changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="Change nothing; exit with 1 when something differs.")

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        found = 0
        with alone("rebuild_budget_periods"):
            for difference in differences():
                found += 1
                self.stdout.write(str(difference))
                if not check:
                    mend(difference)
        counters = many(found, "counter")
        if check and found:
            raise CommandError(f"{counters} differ from the ledger; `manage.py rebuild_budget_periods` mends them.")
        self.stdout.write(
            self.style.SUCCESS(f"{counters} mended." if found else "Every budget agrees with the ledger.")
        )
