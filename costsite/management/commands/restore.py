"""`manage.py restore`: a copy that `backup` made takes the site's place."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from costsite import backup
from costsite.management.sqlite_site import ledger_file
from costsite.serve.readiness import migrate_everything


class Command(BaseCommand):
    help = "Put a copy that `backup` made in the place of the ledger, with the site stopped. For SQLite."
    requires_system_checks: list[str] = []  # what is to be replaced may be what is wrong

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", type=Path, help="What `backup` printed.")

    def handle(self, *args: Any, folder: Path, **options: Any) -> None:
        database = ledger_file("pg_restore")
        connections.close_all()
        try:
            aside = backup.restore(folder, database, settings.STATE_DIR / backup.SECRET)
        except backup.BackupError as error:
            raise CommandError(str(error)) from error
        migrate_everything()
        self.stdout.write(f"{database} is what {folder} holds, brought up to date.")
        for path in aside:
            self.stdout.write(f"What was there before: {path}")
