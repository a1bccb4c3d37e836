"""Spans of days, and sums over rollups that `CostTracker` does not have: a line of costs for each of many rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

from django.db.models import Case, F, Q, QuerySet, Sum, When

from agents.cost_tracker import CostTracker, SpendOf
from agents.models import AgentDay, UsageMonth
from agents.spend import Spend, known_cost
from costsite.analytics.filters import Filters
from costsite.analytics.forecast import DRAWN_FROM_DAYS
from costsite.analytics.periods import Calendar, Cover, Days, whole_months
from costsite.analytics.queries.plain import plain_rows


def within(days: Days) -> Q:
    return Q(day__gte=days.start, day__lt=days.end)


class SumsOf(NamedTuple):
    """Rows of two tables of the same sums, filtered alike: of days, and of months."""

    days: Any
    months: Any

    def filter(self, *wanted: Q, **columns: object) -> SumsOf:
        return SumsOf(self.days.filter(*wanted, **columns), self.months.filter(*wanted, **columns))

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
        """What is needed day by day, whatever is shown; with the last eight weeks, which a forecast is drawn from."""
        forecast = Days(self.month.end - timedelta(days=DRAWN_FROM_DAYS + 1), self.month.end)
        spans = (self.month, self.before, self.spark, forecast)
        return Days(min(span.start for span in spans), max(span.end for span in spans))

    @property
    def all(self) -> Days:
        """The least run of days that has them all."""
        spans = (self.recent, self.shown, self.shown_before or self.shown)
        return Days(min(span.start for span in spans), max(span.end for span in spans))

    def cover(self, drawn: Days) -> Cover:
        """All of them. `drawn`: months whose days are not needed one by one, but for those that are recent."""
        months = whole_months(Days(drawn.start, max(drawn.start, min(drawn.end, self.recent.start))))
        return Cover.of([self.recent, self.shown, self.shown_before or self.shown], months)


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


FEW_ROWS = 6_000
"""Values times days that are read whole."""


def split_by_day(
    wanted: SumsOf,
    days: Days,
    key: str,
    most: int,
    totals: Mapping[date, Spend] | None = None,
    dearest: QuerySet[Any, Any] | None = None,
    *,
    drawn: Days,
    before: Days | None = None,
    few: bool = False,
) -> SplitDays:
    """The `most` dearest values of `key`, a row for each day; what is beyond them is in the totals alone. `drawn`:
    months among the days, of which each stands on its first day alone.

    `totals`: of all the rows by day, where they are known already: then only those of the dearest are read. An index
    answers it alone, so nothing is joined: who wants names asks for the few that are left. `dearest`: a better way to
    find them than by grouping all rows. `before`: days that the totals have to have too, where they are not known.
    `few`: there are few values of the key, even of agents.
    """
    read = wanted.over(Cover.of([days, before] if before and totals is None else [days], drawn))
    found = None
    if dearest is None and (few or key != "agent"):
        # Few values, as of models: one pass has them all. To find the dearest first would be another.
        each = [_by_value_and_day(rows.annotate(named=F(key)), *FINER.get(key, ())) for rows in read]
        all_of_them = plain_rows(united(each)[: FEW_ROWS + 1])
        found = all_of_them if len(all_of_them) <= FEW_ROWS else None
    if found is None:
        which: Any = _dearest(wanted.over(Cover.in_months(days)), key, most) if dearest is None else dearest
        if dearest is not None and len(read) > 1:  # within the statement, it would be worked out for each part
            which = [row[0] for row in plain_rows(dearest)]
        if totals is None:
            read = [rows.annotate(named=Case(When(**{f"{key}__in": which}, then=F(key)))) for rows in read]
        else:
            read = [rows.filter(**{f"{key}__in": which}).annotate(named=F(key)) for rows in read]
        found = plain_rows(united([_by_value_and_day(rows) for rows in read]))
    sums: dict[Any, dict[date, tuple[int, int, int]]] = {}
    summed: dict[date, tuple[int, int, int]] = {}
    for value, day, *_, made, unpriced, cost in found:
        added = made, unpriced, cost
        if totals is None:
            summed[day] = _plus(summed.get(day), added)
        if value is not None:
            of_value = sums.setdefault(value, {})
            of_value[day] = _plus(of_value.get(day), added)
    costs = {value: {day: known_cost(*of_day) for day, of_day in by_day.items()} for value, by_day in sums.items()}
    spent = {value: sum(cost or 0 for day, cost in by_day.items() if day in days) for value, by_day in costs.items()}
    order = sorted(spent, key=lambda value: (-spent[value], value))[:most]
    if totals is None:
        totals = {
            day: Spend(calls=made, unpriced_calls=unpriced, cost_microcents=cost)
            for day, (made, unpriced, cost) in summed.items()
        }
    return SplitDays(order, {value: costs[value] for value in order}, totals)


def _dearest(parts: Sequence[Any], key: str, most: int) -> list[Any]:
    """Values of `key`, of all parts together."""
    spent: dict[Any, int] = {}
    each = [rows.values_list(key).annotate(cost=Sum("cost_microcents")) for rows in parts]
    for value, cost in plain_rows(united(each)):
        spent[value] = spent.get(value, 0) + cost
    return sorted(spent, key=lambda value: (-spent[value], value))[:most]


FINER = {"provider": ("model",)}
"""By what else days are grouped: days by model and provider come in the order of an index, and need not be sorted."""


def _by_value_and_day(rows: Any, *finer: str) -> Any:
    """Sums of rows that have what they are grouped by as `named`: that, the day, what is finer, and three sums."""
    return rows.values_list("named", "at", *finer).annotate(
        made=Sum("calls"), unpriced=Sum("unpriced_calls"), cost=Sum("cost_microcents")
    )


def _plus(sums: tuple[int, int, int] | None, added: tuple[int, int, int]) -> tuple[int, int, int]:
    """Calls, unpriced calls and microcents of both."""
    return added if sums is None else (sums[0] + added[0], sums[1] + added[1], sums[2] + added[2])
