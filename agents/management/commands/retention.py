"""`manage.py retention`: delete the calls that are older than COSTSITE_RETENTION_DAYS."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents import server_clock
from agents.management.alone import alone
from agents.management.days import day
from agents.models import LedgerState
from agents.retention import JOB, calls_before, first_kept_day, let_go


class Command(BaseCommand):
    help = "Say which calls are older than COSTSITE_RETENTION_DAYS; with --delete, delete them. Daily sums stay."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--delete", action="store_true", help="Delete them; without it nothing changes.")
        parser.add_argument(
            "--until", metavar="YYYY-MM-DD", type=day,
            help="The first day that is kept, named by you: then the server's clock is taken at its word.",
        )  # fmt: skip

    def handle(self, *args: Any, delete: bool, until: date | None, **options: Any) -> None:
        try:
            first_kept = first_kept_day()
        except ValueError as error:
            raise CommandError(str(error)) from None
        if first_kept is None:
            self.stdout.write("COSTSITE_RETENTION_DAYS is 0: all calls are kept.")
            return
        if until is not None:
            if until > first_kept:
                raise CommandError(f"COSTSITE_RETENTION_DAYS keeps all from {first_kept} on; name a day up to that.")
            first_kept = until
        calls = calls_before(first_kept)
        if not delete:
            self.stdout.write(f"{calls:,} calls from before {first_kept} would be deleted; add --delete to do it.")
            return
        server_clock.follow()
        if until is None and (problem := server_clock.doubt(LedgerState.current())):
            raise CommandError(f"{problem} To delete now: `manage.py retention --delete --until {first_kept}`.")
        with alone(JOB):
            rows = sum(let_go(first_kept))
        self.stdout.write(self.style.SUCCESS(f"{rows:,} rows from before {first_kept} deleted; daily sums stay."))
