"""Spans of days, and sums over rollups that `CostTracker` does not have: a line of costs for each of many rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from operator import add
from typing import Any, NamedTuple

from django.db.models import Case, F, Q, Sum, When

from agents.cost_tracker import CostTracker, SpendOf
from agents.models import AgentDay, UsageMonth
from agents.spend import Spend, known_cost
from costsite.analytics.filters import Filters
from costsite.analytics.forecast import KNOWN_DAYS
from costsite.analytics.periods import NO_DAYS, Calendar, Cover, Days, whole_months
from costsite.analytics.queries.dearest import dearest_by_time
from costsite.analytics.queries.plain import plain_rows, plain_sums


def within(days: Days) -> Q:
    return Q(day__gte=days.start, day__lt=days.end)


class SumsOf(NamedTuple):
    """Rows of two tables of the same sums, filtered alike: of days, and of months."""

    days: Any
    months: Any

    def filter(self, **columns: object) -> SumsOf:
        return SumsOf(self.days.filter(**columns), self.months.filter(**columns))

    def over(self, cover: Cover) -> list[Any]:
        """The rows of each part of it, with their day or the first of their month as `at`: what is summed of each part
        by itself, `united` asks for at once.
        """
        parts = [self.days.filter(within(days)).annotate(at=F("day")) for days in cover.days]
        if cover.months:
            of_months = self.months.filter(month__gte=cover.months.start, month__lt=cover.months.end)
            parts.append(of_months.annotate(at=F("month")))
        return [rows.order_by() for rows in parts]


def united(parts: Sequence[Any]) -> Any:
    """Rows one behind the other: of what several parts have, as many as there are parts."""
    return parts[0].union(*parts[1:], all=True) if len(parts) > 1 else parts[0]


@dataclass(frozen=True)
class Spans:
    """What a page sums up and compares."""

    month: Days
    compared: Days
    """Of this month, the whole days; `before` are as many of the last."""
    before: Days
    shown: Days
    spark: Days
    shown_before: Days | None = None
    """What the shown days are compared with, where one asked for it."""

    @classmethod
    def of(cls, calendar: Calendar, shown: Days, shown_before: Days | None = None) -> Spans:
        return cls(
            calendar.month_to_date,
            calendar.compared_days,
            calendar.same_days_last_month,
            shown,
            calendar.last_30_days,
            shown_before,
        )

    @property
    def recent(self) -> Days:
        """What is needed day by day, whatever is shown, with what a forecast is made of."""
        forecast = Days(self.month.end - timedelta(days=KNOWN_DAYS + 1), self.month.end)
        spans = (self.month, self.before, self.spark, forecast)
        return Days(min(span.start for span in spans), max(span.end for span in spans))

    def cover(self, drawn: Days = NO_DAYS) -> Cover:
        """All of them. `drawn`: months whose days are not needed one by one, but for those that are recent."""
        return self._cover(self.recent, drawn)

    def drawn_cover(self, drawn: Days = NO_DAYS) -> Cover:
        """What is drawn of one of many: the days shown, and the last thirty."""
        return self._cover(self.spark, drawn)

    def _cover(self, one_by_one: Days, drawn: Days) -> Cover:
        until = max(drawn.start, min(drawn.end, one_by_one.start))
        months = whole_months(Days(drawn.start, until))
        return Cover.of([one_by_one, self.shown, self.shown_before or self.shown], months)


def spend_by_day(spent: CostTracker, days: Days) -> dict[date, SpendOf[date]]:
    """The days of `days` that had calls, so at most `len(days)`."""
    return {spend.of: spend for spend in spent.between(days.start, days.end).by_day()}


def narrowed(filters: Filters) -> dict[str, object]:
    """What columns of `UsageDay` have to be as the filters want them, the workspace aside."""
    columns = {
        "provider": filters.provider,
        "model": filters.model,
        "status": filters.status,
        "agent_id": filters.agent,
    }
    return {column: value for column, value in columns.items() if value}


COST = ("calls", "unpriced_calls", "cost_microcents")
"""What `known_cost` takes."""


def spend_of(calls: int, unpriced_calls: int, cost_microcents: int) -> Spend:
    """Of sums of `COST`, which is all that is known of the usage."""
    return Spend(calls=calls, unpriced_calls=unpriced_calls, cost_microcents=cost_microcents)


CostByDay = dict[date, int | None]
"""Microcents; None on a day of whose calls none has a price. A day without calls is left out."""


def days_of_agents(cover: Cover, agent_ids: Sequence[int]) -> dict[int, CostByDay]:
    """Of agents one is known to see, at most their number times the days.

    Asked again whether their workspace is seen, no index would hold all there is.
    """
    wanted = SumsOf(AgentDay.objects.all(), UsageMonth.objects.all()).filter(agent__in=agent_ids)
    parts = [_by_value_and_day(rows.annotate(named=F("agent"))) for rows in wanted.over(cover)]
    series: dict[int, CostByDay] = defaultdict(dict)
    for agent_id, day, made, unpriced, cost in plain_rows(united(parts)):
        series[agent_id][day] = known_cost(made, unpriced, cost)
    return series


@dataclass(frozen=True)
class SplitDays:
    """Days split by a column: the dearest values of it, and what all of them come to."""

    dearest: Sequence[Any]
    costs: Mapping[Any, CostByDay]
    totals: Mapping[date, Spend]
    names: Mapping[int, str]
    """Of the agents among the dearest, where they were read with these."""


FEW_ROWS = 6_000
"""Values times days that are grouped whole."""


def split_by_day(
    wanted: SumsOf,
    days: Days,
    key: str,
    most: int,
    totals: Mapping[date, Spend] | None = None,
    agents: Mapping[int, str] | None = None,
    *,
    drawn: Days,
    before: Days | None = None,
    few: bool = False,
) -> SplitDays:
    """The `most` dearest values of `key`, a row for each day; what is beyond them is in the totals alone. `drawn`:
    months among the days, of which each stands on its first day alone.

    `totals`: of all the rows by day, where they are known already. `before`: days that the totals have to have too,
    where they are not. `agents`: the dearest with their names, where they were found in a better way than by grouping
    all rows. `few`: there are few values of the key, even of agents.
    """
    read = wanted.over(Cover.of([days, before] if before and totals is None else [days], drawn))
    if few or key != "agent":
        by_value = [_by_value_and_day(rows.annotate(named=F(key)), *FINER.get(key, ())) for rows in read]
        ranked = days.start.isoformat(), days.end.isoformat()
        found = dearest_by_time(united(by_value), ("made", "unpriced", "cost"), most, ranked)
    else:
        # To group many agents by day takes longer than to find the dearest first.
        agents = _dearest_agents(wanted.over(Cover.in_months(days)), most) if agents is None else agents
        if totals is None:
            read = [rows.annotate(named=Case(When(agent__in=list(agents), then=F("agent")))) for rows in read]
        else:
            read = [rows.filter(agent__in=list(agents)).annotate(named=F("agent")) for rows in read]
        found = plain_rows(united([_by_value_and_day(rows) for rows in read]))
    costs: dict[Any, CostByDay] = {}
    summed: dict[date, tuple[int, ...]] = {}
    for value, day, *of_value in found:
        if value is not None:
            costs.setdefault(value, {})[day] = known_cost(*of_value)
        summed[day] = tuple(map(add, summed.get(day, (0, 0, 0)), of_value))
    spent = {value: sum(cost or 0 for day, cost in by_day.items() if day in days) for value, by_day in costs.items()}
    order = sorted(spent, key=lambda value: (-spent[value], value))
    if totals is None:
        totals = {day: spend_of(*sums) for day, sums in summed.items()}
    return SplitDays(order, costs, totals, agents or {})


def _dearest_agents(parts: Sequence[Any], most: int) -> dict[int, str]:
    """Of all parts together, with their names."""
    each = [
        rows.annotate(named=F("agent")).values_list("named").annotate(cost=Sum("cost_microcents")) for rows in parts
    ]
    dearest = plain_sums(
        united(each),
        "SELECT a.id, a.name, a.slug FROM ({}) AS part JOIN agents_agent AS a ON a.id = part.named"
        " GROUP BY a.id, a.name, a.slug HAVING SUM(cost) > 0 ORDER BY SUM(cost) DESC, a.id LIMIT %s",
        most,
    )
    return {pk: name or slug for pk, name, slug in dearest}


FINER = {"provider": ("model",)}
"""By what else days are grouped: days by model and provider come in the order of an index, and need not be sorted."""


def _by_value_and_day(rows: Any, *finer: str) -> Any:
    """Sums of rows that have what they are grouped by as `named`: that, the day, what is finer, and three sums."""
    return rows.values_list("named", "at", *finer).annotate(
        made=Sum("calls"), unpriced=Sum("unpriced_calls"), cost=Sum("cost_microcents")
    )
