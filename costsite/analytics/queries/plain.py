"""Rows as the database's driver gives them: for pages that add up thousands of numbers.

To pass each through Django's converters takes longer than the database took to add them up. So a sum may be a Decimal
(PostgreSQL adds up large integers so), and a time is to be read by `instant`; days are days.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection
from django.db.models import QuerySet


def plain_rows(rows: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
    """What a `values_list` has."""
    compiler: Any = rows.query.get_compiler(rows.db)
    return [row for chunk in compiler.execute_sql() for row in chunk]


def plain_answer(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What a statement answers that reads, with %s for each parameter."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def instant(at: datetime) -> datetime:
    """A column's time, aware: SQLite knows no zones, and keeps UTC."""
    return at if at.tzinfo else at.replace(tzinfo=UTC)
