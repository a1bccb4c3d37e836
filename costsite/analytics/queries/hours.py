"""Spend by hour, split by who: of runs, for hours are not rolled up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import add
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Case, Count, DateTimeField, F, Func, Sum, When

from agents.spend import Spend, known_cost
from costsite.analytics.periods import Calendar
from costsite.analytics.queries.dearest import dearest_by_time
from costsite.analytics.queries.plain import instant
from costsite.analytics.queries.rollups import spend_of
from costsite.analytics.queries.run_filter import RunFilter
from costsite.analytics.queries.runs import newest_to_sum

User = AbstractBaseUser | AnonymousUser

HOURLY_RUNS = 20_000
"""The newest, of two days."""


@dataclass(frozen=True)
class Hours:
    """What runs cost by the hour they began in. Keys of the hours are UTC instants."""

    dearest: Sequence[int]
    """Ids, the dearest first."""
    costs: Mapping[int, Mapping[datetime, int | None]]
    """Of the dearest, in the last 24 hours."""
    totals: Mapping[datetime, Spend]
    cut: bool
    """There are more runs than were read: the oldest hours are short of them."""


class HourOf(Func):
    """The hour of an instant, as `_begin_of` reads it: on SQLite cut out of its text, which to understand takes longer
    than to add up the run.
    """

    template = "SUBSTR(%(expressions)s, 1, 13)"
    output_field = DateTimeField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="DATE_TRUNC('hour', %(expressions)s, 'UTC')", **extra)


def _begin_of(hour: datetime | str) -> datetime:
    return instant(datetime.fromisoformat(hour) if isinstance(hour, str) else hour)


def spend_by_hour(user: User, calendar: Calendar, key: str, most: int, wanted: RunFilter, *, compare: bool) -> Hours:
    """Of the last 24 hours, or of 48 to compare them; split by the `most` dearest of `agent` or `workspace`.

    In one pass over the runs, which are added up where they are; of the hours to compare with the totals alone.
    """
    shown = calendar.now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
    since = shown - timedelta(hours=24) if compare else shown
    rows: Any = newest_to_sum(user, calendar, wanted.since(since), HOURLY_RUNS).order_by()
    # Not the bare id, of all the hours neither: SQLite would walk everything in its order, which spares it a sort.
    named = Case(When(started_at__gte=shown, then=F(f"{key}_id")))
    by_hour = rows.annotate(named=named, at=HourOf("started_at")).values_list("named", "at")
    by_hour = by_hour.annotate(
        runs=Count("pk"), made=Sum("calls"), unpriced=Sum("unpriced_calls"), cost=Sum("cost_microcents")
    )
    summed = dearest_by_time(by_hour, ("runs", "made", "unpriced", "cost"), most)
    begins = {hour: _begin_of(hour) for hour in {row[1] for row in summed}}
    of_hours: dict[datetime, tuple[int, ...]] = {}
    of_keys: dict[int, dict[datetime, tuple[int, ...]]] = {}
    for pk, named_hour, *counted in summed:
        hour = begins[named_hour]
        of_hours[hour] = tuple(map(add, of_hours.get(hour, (0, 0, 0, 0)), counted))
        if pk is not None:
            of_keys.setdefault(pk, {})[hour] = tuple(counted[1:])
    totals = {hour: spend_of(*counted) for hour, (_, *counted) in of_hours.items()}
    spent = {pk: sum(cost for *_, cost in hours.values()) for pk, hours in of_keys.items()}
    costs = {pk: {hour: known_cost(*counted) for hour, counted in hours.items()} for pk, hours in of_keys.items()}
    cut = sum(runs for runs, *_ in of_hours.values()) >= HOURLY_RUNS
    return Hours(sorted(spent, key=lambda pk: (-spent[pk], pk)), costs, totals, cut)
