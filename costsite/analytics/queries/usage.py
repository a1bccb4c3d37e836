"""Spend over time, split by who or what: from the rollups by day, from runs by hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Case, Count, DateTimeField, F, Func, OuterRef, QuerySet, Subquery, Sum, When

from agents.models import Agent, AgentDay, ModelDay, TagDay, UsageDay
from agents.spend import Spend, known_cost
from costsite.analytics.filters import Filters
from costsite.analytics.periods import Calendar, Days
from costsite.analytics.queries.plain import instant, plain_rows
from costsite.analytics.queries.rollups import SplitDays, narrowed, split_by_day, within
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
    few: bool = False,
    **scope: Any,
) -> SplitDays:
    """Usage of `scope` (columns of `UsageDay`) that the filters want; with the range before where it is compared.

    `totals`: of the whole scope by day, which hold as long as nothing narrows it. Of a tag there are sums by agent and
    workspace alone: models, providers and states do not narrow it. `few`: of the key there are few values.
    """
    days = Days(filters.before.start, filters.days.end) if filters.compare else filters.days
    few = few or filters.agent is not None
    if filters.tag:
        of_agent = {"agent_id": filters.agent} if filters.agent else {}
        tagged = TagDay.objects.visible_to(user).filter(tag=filters.tag, **of_agent, **scope)
        return split_by_day(tagged, days, key, most, few=few)
    wanted = narrowed(filters)
    rows: Any = _table_of({key, *wanted}).objects.visible_to(user).filter(**wanted, **scope)
    if filters.narrows_usage:
        return split_by_day(rows, days, key, most, few=few)
    dearest = _dearest_agents(user, days, most, **scope) if key == "agent" else None
    return split_by_day(rows, days, key, most, totals, dearest)


def _table_of(columns: set[str]) -> type[UsageDay | AgentDay | ModelDay]:
    """The one with the fewest rows that has these columns of `UsageDay`."""
    if columns <= {"workspace", "agent", "agent_id"}:
        return AgentDay
    return ModelDay if columns <= {"workspace", "provider", "model"} else UsageDay


def _dearest_agents(user: User, days: Days, most: int, **scope: Any) -> QuerySet[Any, Any]:
    """Each agent's sum is read from its part of an index, in its order: to group all rows by agent is to sort them."""
    spent = AgentDay.objects.filter(within(days), agent=OuterRef("pk")).order_by().values("agent")
    agents: Any = Agent.objects.visible_to(user).filter(**scope)
    agents = agents.annotate(spent=Subquery(spent.annotate(sum=Sum("cost_microcents")).values("sum")))
    dearest: QuerySet[Any, Any] = agents.order_by(F("spent").desc(nulls_last=True), "pk").values("pk")[:most]
    return dearest


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
    by_hour = plain_rows(
        rows.annotate(named=named, hour=HourOf("started_at"))
        .values_list("named", "hour")
        .annotate(Count("pk"), Sum("calls"), Sum("unpriced_calls"), Sum("cost_microcents"))
    )
    begins = {hour: _begin_of(hour) for hour in {row[1] for row in by_hour}}
    of_hours: dict[datetime, list[tuple[int, ...]]] = {}
    of_keys: dict[int, dict[datetime, tuple[int, ...]]] = {}
    spent: dict[int, int] = {}
    for pk, named_hour, runs, *counted in by_hour:
        hour = begins[named_hour]
        of_hours.setdefault(hour, []).append((runs, *counted))
        if pk is not None:
            of_keys.setdefault(pk, {})[hour] = tuple(counted)
            spent[pk] = spent.get(pk, 0) + counted[-1]
    summed = {hour: tuple(map(sum, zip(*sums, strict=True))) for hour, sums in of_hours.items()}
    totals = {
        hour: Spend(calls=calls, unpriced_calls=unpriced, cost_microcents=cost)
        for hour, (_, calls, unpriced, cost) in summed.items()
    }
    dearest = sorted((pk for pk, cost in spent.items() if cost), key=lambda pk: (-spent[pk], pk))[:most]
    costs = {pk: {hour: known_cost(*counted) for hour, counted in of_keys[pk].items()} for pk in dearest}
    cut = sum(runs for runs, *_ in summed.values()) >= HOURLY_RUNS
    return Hours(dearest, costs, totals, cut)
