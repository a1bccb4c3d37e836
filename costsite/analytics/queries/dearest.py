"""Sums by value and time of which those of the dearest values are passed on, and what the others come to.

In one statement: of 500 agents each has its days, and a chart draws seven. To find these first is to read all twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet

from costsite.analytics.queries.plain import plain_sums

_STATEMENT = """
WITH
by_value AS MATERIALIZED ({{}}),
dearest AS (
    SELECT named FROM by_value WHERE named IS NOT NULL
    GROUP BY named HAVING SUM(cost) > 0 ORDER BY SUM(cost) DESC, named LIMIT {most:d}
),
whose AS (
    SELECT CASE WHEN named IN (SELECT named FROM dearest) THEN named END AS who, at, {columns} FROM by_value
)
SELECT who, at, {sums} FROM whose GROUP BY who, at HAVING SUM({counted}) > 0
"""


def dearest_by_time(rows: QuerySet[Any, Any], columns: Sequence[str], most: int) -> list[tuple[Any, ...]]:
    """The value, the time and the sum of each of `columns`; under None what all others than the `most` dearest come to.

    `rows`: a `values_list` with `named`, `at` and the columns, `cost` among them; what has None for a value is of none.
    The first of the columns is a count: where it comes to 0, there is no row.
    """
    statement = _STATEMENT.format(
        most=most,
        columns=", ".join(columns),
        sums=", ".join(f"SUM({column})" for column in columns),
        counted=columns[0],
    )
    return plain_sums(statement, rows)
