"""Rows as the database's driver gives them: for pages that add up thousands of numbers.

To pass each through Django's converters takes longer than the database took to add them up. So a time is to be read by
`instant`; days are days, and sums integers. On SQLite a UUID is text, and JSON is on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import QuerySet


def plain_rows(rows: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
    """What a `values_list` has."""
    try:
        return plain_answer(*rows.query.sql_with_params())
    except EmptyResultSet:
        return []


def plain_sums(statement: str, *rows: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
    """What a statement answers that reads each of `rows`, a `values_list`, at a {}: Django adds up no union. Nothing
    where one of them is known to have none.
    """
    try:
        read = [one.query.sql_with_params() for one in rows]
    except EmptyResultSet:
        return []
    return plain_answer(
        statement.format(*(sql for sql, _ in read)), [value for _, parameters in read for value in parameters]
    )


def plain_answer(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """What a statement answers that reads, with %s for each parameter."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            _read_in_c(cursor.cursor)
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())


def _read_in_c(cursor: Any) -> None:
    """Times as psycopg does by itself: Django's own reader of them is Python, and takes ten times as long. Sums, which
    are `numeric` of large integers, as integers: money and calls have no fractions, and to make Decimals takes longer.
    """
    from psycopg.types.datetime import TimestamptzLoader
    from psycopg.types.numeric import IntLoader

    cursor.adapters.register_loader("timestamptz", TimestamptzLoader)
    cursor.adapters.register_loader("numeric", IntLoader)


def uuid_text(value: UUID | str) -> str:
    """A column's UUID, with its dashes."""
    if not isinstance(value, str):
        return str(value)
    return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"


def time_text(at: datetime | None) -> str:
    """A column's time, in ISO 8601 and UTC; empty where there is none."""
    if at is None:
        return ""
    return at.isoformat() if at.tzinfo else f"{at.isoformat()}+00:00"


def day(at: date | str) -> date:
    """A day that is not all of it a column's: SQLite knows it as text."""
    return date.fromisoformat(at) if isinstance(at, str) else at


def instant(at: datetime) -> datetime:
    """A column's time, aware: SQLite knows no zones, and keeps UTC."""
    return at if at.tzinfo else at.replace(tzinfo=UTC)
