"""`manage.py retention`: delete the calls that are older than COSTSITE_RETENTION_DAYS."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from agents.clock import days_of
from agents.models import LedgerState
from agents.retention import calls_before, horizon, let_go
from agents.write_lock import only_job


class Command(BaseCommand):
    help = "Say which calls are older than COSTSITE_RETENTION_DAYS; with --delete, delete them. Daily sums stay."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--delete", action="store_true", help="Delete them; without it nothing changes.")

    def handle(self, *args: Any, delete: bool, **options: Any) -> None:
        if not settings.COSTSITE_RETENTION_DAYS:
            self.stdout.write("COSTSITE_RETENTION_DAYS is 0: all calls are kept.")
            return
        today = days_of(LedgerState.current().time_zone).of(timezone.now())
        try:
            first_kept = horizon(today, settings.COSTSITE_RETENTION_DAYS)
        except ValueError as error:
            raise CommandError(str(error)) from None
        calls = calls_before(first_kept)
        if not delete:
            self.stdout.write(f"{calls:,} calls from before {first_kept} would be deleted; add --delete to do it.")
            return
        with only_job("retention"):
            rows = sum(let_go(first_kept))
        self.stdout.write(self.style.SUCCESS(f"{rows:,} rows from before {first_kept} deleted; daily sums stay."))
