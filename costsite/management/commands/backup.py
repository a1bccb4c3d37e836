"""`manage.py backup`: a copy of a SQLite site, made while it runs."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from costsite import backup
from costsite.management.sqlite_site import ledger_file


class Command(BaseCommand):
    help = "Copy the ledger and the secret key into a folder, while the site runs. For SQLite."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("folder", nargs="?", type=Path, help="New; by default one named after the time, in var/.")

    def handle(self, *args: Any, folder: Path | None, **options: Any) -> None:
        database = ledger_file("pg_dump")
        if not database.exists():
            raise CommandError(f"There is no ledger at {database} yet; `manage.py migrate` makes one.")
        if folder is None:
            folder = settings.STATE_DIR / "backups" / f"{timezone.now():%Y-%m-%dT%H%M%SZ}"
        try:
            backup.back_up(database, settings.STATE_DIR / backup.SECRET, folder.absolute())
        except backup.BackupError as error:
            raise CommandError(str(error)) from error
        size = (folder / backup.LEDGER).stat().st_size / 1e6
        self.stdout.write(f"{folder}: {size:,.1f} MB. It holds the site's secret key; keep it where only you can read.")
