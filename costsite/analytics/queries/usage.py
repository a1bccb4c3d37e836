"""Spend over time, split by who or what: from the rollups by day, from runs by hour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import CharField, Count, Func, Sum

from agents.models import UsageDay
from agents.spend import Spend, known_cost
from costsite.analytics.filters import Filters
from costsite.analytics.periods import Calendar, Days
from costsite.analytics.queries.rollups import SplitDays, narrowed, split_by_day
from costsite.analytics.queries.runs import NEWEST_FIRST, RunFilter, first_runs

User = AbstractBaseUser | AnonymousUser

HOURLY_RUNS = 20_000
"""The newest, of two days: hours are not rolled up."""


def usage_split(
    user: User, filters: Filters, key: str, most: int, totals: Mapping[date, Spend], **scope: Any
) -> SplitDays:
    """Usage of `scope` (columns of `UsageDay`) that the filters want; with the range before where it is compared.

    `totals`: of the whole scope by day, which hold as long as nothing narrows it.
    """
    days = Days(filters.before.start, filters.days.end) if filters.compare else filters.days
    rows = UsageDay.objects.visible_to(user).filter(narrowed(filters), **scope)
    narrows = filters.provider or filters.model or filters.status
    return split_by_day(rows, days, key, most, None if narrows else totals)


@dataclass(frozen=True)
class Hours:
    """What runs cost by the hour they began in. Keys of the hours are UTC instants."""

    names: Mapping[int, str]
    costs: Mapping[int, Mapping[datetime, int | None]]
    totals: Mapping[datetime, Spend]
    cut: bool
    """There are more runs than were read: the oldest hours are short of them."""


class HourOf(Func):
    """The hour of an instant in UTC, as `2026-11-23 14`: so SQLite keeps instants, and needs no calendar for it."""

    function = "SUBSTR"
    template = "%(function)s(%(expressions)s, 1, 13)"
    output_field = CharField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="TO_CHAR(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24')", **extra
        )


def spend_by_hour(user: User, calendar: Calendar, key: str, wanted: RunFilter, *, compare: bool) -> Hours:
    """Of the last 24 hours, or of 48 to compare them; split by `agent` or `workspace`, the dearest first."""
    since = calendar.now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=47 if compare else 23)
    rows: Any = first_runs(user, calendar, wanted.since(since), *NEWEST_FIRST, most=HOURLY_RUNS)
    # Added up where they are: thousands of runs are hundreds of hours.
    by_hour = (
        rows.annotate(hour=HourOf("started_at"))
        .values_list(f"{key}_id", f"{key}__name", f"{key}__slug", "hour")
        .annotate(Count("pk"), Sum("calls"), Sum("unpriced_calls"), Sum("cost_microcents"))
        .order_by()
    )
    count = 0
    hours: dict[str, datetime] = {}
    costs: dict[int, dict[datetime, int | None]] = {}
    spent: dict[int, int] = {}
    summed: dict[datetime, list[int]] = {}
    names: dict[int, str] = {}
    for pk, name, slug, text, runs, *sums in by_hour:
        hour = hours.get(text) or hours.setdefault(text, datetime.fromisoformat(f"{text}:00+00:00"))
        calls, unpriced, cost = map(int, sums)
        count += runs
        costs.setdefault(pk, {})[hour] = known_cost(calls, unpriced, cost)
        spent[pk] = spent.get(pk, 0) + cost
        total = summed.setdefault(hour, [0, 0, 0])
        total[0], total[1], total[2] = total[0] + calls, total[1] + unpriced, total[2] + cost
        names[pk] = name or slug
    totals = {
        hour: Spend(calls=calls, unpriced_calls=unpriced, cost_microcents=cost)
        for hour, (calls, unpriced, cost) in summed.items()
    }
    order = sorted(costs, key=lambda pk: (-spent[pk], names[pk]))
    return Hours({pk: names[pk] for pk in order}, costs, totals, cut=count == HOURLY_RUNS)
