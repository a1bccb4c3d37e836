"""Spend over time, split by who or what: from the rollups by day, from runs by hour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Case, Count, DateTimeField, F, Func, Max, OuterRef, QuerySet, Subquery, Sum, When

from agents.models import Agent, TagDay, UsageDay
from agents.spend import NOTHING, Spend
from costsite.analytics.filters import Filters
from costsite.analytics.periods import Calendar, Days
from costsite.analytics.queries.rollups import SplitDays, narrowed, split_by_day, within
from costsite.analytics.queries.runs import NEWEST_FIRST, RunFilter, first_runs

User = AbstractBaseUser | AnonymousUser

HOURLY_RUNS = 20_000
"""The newest, of two days: hours are not rolled up."""


def usage_split(
    user: User, filters: Filters, key: str, most: int, totals: Mapping[date, Spend], **scope: Any
) -> SplitDays:
    """Usage of `scope` (columns of `UsageDay`) that the filters want; with the range before where it is compared.

    `totals`: of the whole scope by day, which hold as long as nothing narrows it. Of a tag there are sums by agent and
    workspace alone: models, providers and states do not narrow it.
    """
    days = Days(filters.before.start, filters.days.end) if filters.compare else filters.days
    if filters.tag:
        of_agent = {"agent_id": filters.agent} if filters.agent else {}
        tagged = TagDay.objects.visible_to(user).filter(tag=filters.tag, **of_agent, **scope)
        return split_by_day(tagged, days, key, most)
    rows = UsageDay.objects.visible_to(user).filter(narrowed(filters), **scope)
    if filters.narrows_usage:
        return split_by_day(rows, days, key, most)
    dearest = _dearest_agents(user, days, most, **scope) if key == "agent" else None
    return split_by_day(rows, days, key, most, totals, dearest)


def _dearest_agents(user: User, days: Days, most: int, **scope: Any) -> QuerySet[Any, Any]:
    """Each agent's sum is read from its part of an index, in its order: to group all rows by agent is to sort them."""
    spent = UsageDay.objects.filter(within(days), agent=OuterRef("pk")).order_by().values("agent")
    agents: Any = Agent.objects.visible_to(user).filter(**scope)
    agents = agents.annotate(spent=Subquery(spent.annotate(sum=Sum("cost_microcents")).values("sum")))
    dearest: QuerySet[Any, Any] = agents.order_by(F("spent").desc(nulls_last=True), "pk").values("pk")[:most]
    return dearest


@dataclass(frozen=True)
class Hours:
    """What runs cost by the hour they began in. Keys of the hours are UTC instants."""

    names: Mapping[int, str]
    costs: Mapping[int, Mapping[datetime, int | None]]
    totals: Mapping[datetime, Spend]
    cut: bool
    """There are more runs than were read: the oldest hours are short of them."""


class HourOf(Func):
    """The instant at which the hour of an instant began: of the text that SQLite keeps, in UTC, its first 13 signs."""

    template = "SUBSTR(%(expressions)s, 1, 13) || ':00:00'"
    output_field = DateTimeField()

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return self.as_sql(compiler, connection, template="DATE_TRUNC('hour', %(expressions)s, 'UTC')", **extra)


def spend_by_hour(user: User, calendar: Calendar, key: str, most: int, wanted: RunFilter, *, compare: bool) -> Hours:
    """Of the last 24 hours, or of 48 to compare them; split by the `most` dearest of `agent` or `workspace`.

    Added up where they are: thousands of runs are hundreds of hours. What is beyond the dearest is in the totals alone.
    """
    since = calendar.now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=47 if compare else 23)
    rows: Any = first_runs(user, calendar, wanted.since(since), *NEWEST_FIRST, most=HOURLY_RUNS).order_by()
    dearest = rows.values(key).annotate(spent=Sum("cost_microcents")).order_by("-spent", key).values(key)[:most]
    named = Case(When(**{f"{key}__in": dearest}, then=F(key)))
    called = Case(When(**{f"{key}__name": ""}, then=F(f"{key}__slug")), default=F(f"{key}__name"))
    by_hour = (
        rows.annotate(named=named, hour=HourOf("started_at"))
        .values_list("named", "hour")
        .annotate(called=Max(called), runs=Count("pk"), made=Sum("calls"), unpriced=Sum("unpriced_calls"))
        .annotate(spent=Sum("cost_microcents"))
    )
    count = 0
    costs: dict[int, dict[datetime, int | None]] = {}
    spent: dict[int, int] = {}
    totals: dict[datetime, Spend] = {}
    names: dict[int, str] = {}
    for pk, hour, name, runs, *sums in by_hour:
        calls, unpriced, cost = map(int, sums)
        count += runs
        spend = Spend(calls=calls, unpriced_calls=unpriced, cost_microcents=cost)
        totals[hour] = totals.get(hour, NOTHING) + spend
        if pk is not None:
            costs.setdefault(pk, {})[hour] = spend.cost
            spent[pk] = spent.get(pk, 0) + cost
            names[pk] = name
    order = sorted(costs, key=lambda pk: (-spent[pk], names[pk]))
    return Hours({pk: names[pk] for pk in order}, costs, totals, cut=count == HOURLY_RUNS)
