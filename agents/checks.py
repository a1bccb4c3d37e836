"""System checks: what would make the ledger wrong is said before it starts, with the mend."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.db import DatabaseError, connection

from agents.models import LedgerState
from agents.models.ledger_state import LEAST_RETENTION_DAYS

KNOWN_VENDORS = ("sqlite", "postgresql")


@register
def the_database_is_known(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    if connection.vendor in KNOWN_VENDORS:
        return []
    return [
        Error(
            f"The ledger does not know the database {connection.vendor!r}.",
            hint="Point DATABASE_URL at PostgreSQL, or leave it empty for SQLite.",
            id="agents.E001",
        )
    ]


@register
def the_time_zone_is_the_one_in_force(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Days in the tables are of one zone; a server with another would book the same evening to two days."""
    in_force = _zone_in_force()
    if in_force is None or in_force == settings.TIME_ZONE:
        return []
    return [
        Error(
            f"COSTSITE_TIME_ZONE is {settings.TIME_ZONE}, but the ledger's days are in {in_force}.",
            hint=(
                f"Set COSTSITE_TIME_ZONE to {in_force} again, or move every day to {settings.TIME_ZONE}:"
                " `manage.py change_time_zone`."
            ),
            id="agents.E002",
        )
    ]


@register
def a_year_can_be_compared(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    days = settings.COSTSITE_RETENTION_DAYS
    if not 0 < days < LEAST_RETENTION_DAYS:
        return []
    return [
        Error(
            f"COSTSITE_RETENTION_DAYS is {days}; a month could not be compared with the year before.",
            hint=f"Set it to {LEAST_RETENTION_DAYS} or more, or to 0 to keep all calls.",
            id="agents.E003",
        )
    ]


def _zone_in_force() -> str | None:
    """None before there is a ledger: these checks also run for the command that makes its tables."""
    if connection.vendor == "sqlite":
        name = str(connection.settings_dict["NAME"])
        if not name.startswith("file:") and ":memory:" not in name and not Path(name).exists():
            return None  # asking would make an empty file
    try:
        return LedgerState.objects.values_list("time_zone", flat=True).first()
    except DatabaseError:
        return None
