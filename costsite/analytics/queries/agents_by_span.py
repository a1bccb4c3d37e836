"""Agents with their sums over several spans of days: the last week and the week before, this month and the last.

Each span is summed by itself, so that a row is read once for each that holds it. To sum all rows once, and ask of each
for every sum whether its day is within the span, takes SQLite twice as long. A plain statement: to pass thousands of
sums through Django's converters takes as long as to add them up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import QuerySet

from agents.models import Agent, AgentDay, UsageDay, UsageMonth
from costsite.analytics.periods import Cover, Days, whole_months
from costsite.analytics.queries.plain import plain_answer
from costsite.analytics.queries.rollups import COST

_AGENT = Agent._meta.db_table


@dataclass(frozen=True)
class Span:
    """Days, and which sums over calls are added up over them."""

    days: Days
    summed: Sequence[str] = COST
    """`calls` among them."""
    wanted: Mapping[str, object] = field(default_factory=dict)
    """What columns of `UsageDay` have to be."""
    besides: Sequence[Days] = ()
    """More days of the same sums."""
    by: Sequence[str] = ()
    """What else of `UsageDay` it is summed by. Of one span at most: an agent then comes once for each."""
    months: Days | None = None
    """Calendar months that are read as such; None: those that lie whole in `days`."""

    def reads(self) -> list[tuple[str, str, Days, str]]:
        """Tables, the column of their time, from when to when, and a minus where it is taken off; one at least."""
        cover = Cover.of([self.days, *self.besides], whole_months(self.days) if self.months is None else self.months)
        of_days = (UsageDay if self.wanted or self.by else AgentDay)._meta.db_table
        found = [(of_days, "day", days, "") for days in cover.days]
        if cover.months or not found:
            found.append((UsageMonth._meta.db_table, "month", cover.months, ""))
        return [*found, *((of_days, "day", days, "-") for days in cover.less)]


def agents_by_span(agents: QuerySet[Agent], facts: Sequence[str], spans: Sequence[Span]) -> list[tuple[Any, ...]]:
    """Of each that made a call on any of the days: its `facts`, which are columns, then of each span what it is summed
    by, and its sums.

    A time among the facts is to be read by `plain.instant`.
    """
    try:
        reach, parameters_of_reach = agents.order_by().values("pk").query.sql_with_params()
    except EmptyResultSet:
        return []
    columns, joins, parameters = [f"a.{fact}" for fact in facts], [], list[object]()
    for number, span in enumerate(spans):
        sums = ", ".join(f"SUM({column}) AS {column}" for column in span.summed)
        wanted = "".join(f" AND {column} = %s" for column in span.wanted)
        key = ", ".join(("agent_id", *span.by))
        parts = []
        for table, time, days, sign in span.reads():
            added = ", ".join(f"{sign}{column} AS {column}" for column in span.summed)
            # By the agents: each one's sums are its part of an index, in its order. By the days alone, all would be
            # sorted.
            parts.append(
                f"SELECT {key}, {added} FROM {table} WHERE agent_id IN ({reach})"
                f" AND {time} >= %s AND {time} < %s{wanted}"
            )
            parameters += [*parameters_of_reach, days.start.isoformat(), days.end.isoformat(), *span.wanted.values()]
        joins.append(
            f"LEFT JOIN (SELECT {key}, {sums} FROM ({' UNION ALL '.join(parts)}) AS part GROUP BY {key}"
            f" HAVING SUM(calls) > 0) AS s{number}"
            f" ON s{number}.agent_id = a.id"
        )
        columns += [f"s{number}.{column}" for column in span.by]
        columns += [f"COALESCE(s{number}.{column}, 0)" for column in span.summed]
    had_calls = " OR ".join(f"s{number}.agent_id IS NOT NULL" for number in range(len(spans)))
    return plain_answer(
        f"SELECT {', '.join(columns)} FROM {_AGENT} AS a {' '.join(joins)} WHERE {had_calls}",
        parameters,
    )
