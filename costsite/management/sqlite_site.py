"""For commands that are for SQLite alone."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import CommandError
from django.db import connections


def ledger_file(instead: str) -> Path:
    """The file of a SQLite site's ledger. CommandError, which names what to use `instead`, on PostgreSQL."""
    connection = connections["default"]
    if connection.vendor != "sqlite":
        raise CommandError(f"The ledger is in PostgreSQL; use its own {instead}.")
    return Path(connection.settings_dict["NAME"])
