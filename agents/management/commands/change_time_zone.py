"""`manage.py change_time_zone`: move the ledger's days and months to the zone in the settings."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from agents.management.alone import alone
from agents.models import LedgerState
from agents.time_zone import change_time_zone


class Command(BaseCommand):
    help = "Move every day of the ledger to COSTSITE_TIME_ZONE. Set that first; start the site again afterwards."
    requires_system_checks: list[str] = []  # the check that sends people here would refuse to run it

    def handle(self, *args: Any, **options: Any) -> None:
        before = LedgerState.current().time_zone
        # Also when the zone is the same: this finishes a change that was interrupted.
        with alone("change_time_zone"):
            moved = sum(change_time_zone(settings.TIME_ZONE))
        self.stdout.write(
            self.style.SUCCESS(f"From {before} to {settings.TIME_ZONE}: {moved:,} calls, runs and refusals moved.")
        )
