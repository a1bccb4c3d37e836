"""Rows of numbers as the database's driver gives them: for pages that add up thousands."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet


def plain_rows(rows: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
    """What a `values_list` has, with no value passed through Django.

    Of a few thousand sums that takes longer than the database took to add them up. So a sum may be a Decimal
    (PostgreSQL adds up large integers so), and a time is to be read by `storage().read_time`; days are days.
    """
    compiler: Any = rows.query.get_compiler(rows.db)
    return [row for chunk in compiler.execute_sql() for row in chunk]
