"""Spend over time, split by who or what: from the rollups by day, from runs by hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce
from operator import add
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Case, Count, DateTimeField, F, Func, OuterRef, Subquery, Sum, When
from django.db.models.functions import Coalesce

from agents.models import Agent, AgentDay, ModelDay, TagDay, TagMonth, UsageDay, UsageMonth
from agents.spend import Spend, known_cost
from costsite.analytics.filters import Filters
from costsite.analytics.periods import Calendar, Cover, Days
from costsite.analytics.queries.dearest import dearest_by_time
from costsite.analytics.queries.plain import instant, plain_rows
from costsite.analytics.queries.rollups import SplitDays, SumsOf, narrowed, spend_of, split_by_day
from costsite.analytics.queries.run_filter import RunFilter
from costsite.analytics.queries.runs import newest_to_sum

User = AbstractBaseUser | AnonymousUser

HOURLY_RUNS = 20_000
"""The newest, of two days: hours are not rolled up."""


def usage_split(
    user: User,
    filters: Filters,
    key: str,
    most: int,
    totals: Mapping[date, Spend],
    *,
    drawn: Days,
    few: bool = False,
    **scope: Any,
) -> SplitDays:
    """Usage of `scope` (columns of `UsageDay`) that the filters want; with the range before where it is compared.

    `drawn`: of the range, months that stand on their first day alone, as a chart draws them. `totals`: of the whole
    scope by day, which hold as long as nothing narrows it. Of a tag there are sums by agent and workspace alone:
    models, providers and states do not narrow it. `few`: of the key there are few values.
    """
    few = few or filters.agent is not None
    days, before = filters.days, filters.before if filters.compare else None
    if filters.tag:
        of_agent = {"agent_id": filters.agent} if filters.agent else {}
        tags = SumsOf(TagDay.objects.visible_to(user), TagMonth.objects.visible_to(user))
        tagged = tags.filter(tag=filters.tag, **of_agent, **scope)
        return split_by_day(tagged, days, key, most, drawn=drawn, before=before, few=few)
    wanted = narrowed(filters)
    tables = SumsOf(_table_of({key, *wanted}).objects.visible_to(user), UsageMonth.objects.visible_to(user))
    rows = tables.filter(**wanted, **scope)
    if filters.narrows_usage:
        return split_by_day(rows, days, key, most, drawn=drawn, before=before, few=few)
    agents = _dearest_by_index(user, Cover.of([days], drawn), most, **scope) if key == "agent" else None
    return split_by_day(rows, days, key, most, totals, agents, drawn=drawn)


def _table_of(columns: set[str]) -> type[UsageDay | AgentDay | ModelDay]:
    """The one with the fewest rows that has these columns of `UsageDay`."""
    if columns <= {"workspace", "agent", "agent_id"}:
        return AgentDay
    return ModelDay if columns <= {"workspace", "provider", "model"} else UsageDay


def _dearest_by_index(user: User, cover: Cover, most: int, **scope: Any) -> dict[int, str]:
    """With their names. Each agent's sum is read from its part of an index, in its order: to group all rows by agent is
    to sort them.
    """
    of_one = SumsOf(AgentDay.objects.all(), UsageMonth.objects.all()).filter(agent=OuterRef("pk"))
    spent = [
        Coalesce(Subquery(rows.values("agent").annotate(sum=Sum("cost_microcents")).values("sum")), 0)
        for rows in of_one.over(cover)
    ]
    agents: Any = Agent.objects.visible_to(user).filter(**scope)
    agents = agents.annotate(spent=reduce(add, spent)).order_by("-spent", "pk")
    dearest = plain_rows(agents.values_list("pk", "name", "slug", "spent")[:most])
    return {pk: name or slug for pk, name, slug, cost in dearest if cost}


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
