"""How the write path speaks to a database: one module per vendor, raw and set-based; the ORM is for everything else.

Rows go down as tuples whose values the vendor's `time`, `day`, `strings` and `pairs` made ready; ids travel as 32 hex
digits, which every vendor reads. Each statement takes the whole batch.
"""

from __future__ import annotations

from typing import Final

from django.db import connection

from agents.storage.base import Additions, Row, Storage
from agents.storage.postgresql import PostgreSQLStorage
from agents.storage.sqlite import SQLiteStorage

__all__ = ["Additions", "Row", "Storage", "storage"]

_OF_VENDOR: Final[dict[str, Storage]] = {"sqlite": SQLiteStorage(), "postgresql": PostgreSQLStorage()}


def storage() -> Storage:
    """The one for the database in use."""
    try:
        return _OF_VENDOR[connection.vendor]
    except KeyError:
        raise NotImplementedError(
            f"The ledger does not know {connection.vendor}; point DATABASE_URL at SQLite or PostgreSQL."
        ) from None
