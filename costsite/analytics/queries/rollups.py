"""Spans of days, and sums over rollups that `CostTracker` does not have: a line of costs for each of many rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import Q, QuerySet, Sum

from agents.cost_tracker import CostTracker, SpendOf
from agents.spend import NOTHING, Spend, known_cost
from costsite.analytics.periods import Calendar, Days


def within(days: Days) -> Q:
    return Q(day__gte=days.start, day__lt=days.end)


@dataclass(frozen=True)
class Spans:
    """What a page sums up and compares, and the least run of days that covers it for one pass over a rollup."""

    month: Days
    compared: Days
    """Of this month, the whole days; `before` are as many of the last."""
    before: Days
    shown: Days
    spark: Days

    @classmethod
    def of(cls, calendar: Calendar, range_name: str) -> Spans:
        return cls(
            calendar.month_to_date,
            calendar.compared_days,
            calendar.same_days_last_month,
            calendar.days_of(range_name),
            calendar.last_30_days,
        )

    @property
    def all(self) -> Days:
        spans = (self.month, self.before, self.shown, self.spark)
        return Days(min(span.start for span in spans), max(span.end for span in spans))


def spend_by_day(spent: CostTracker, days: Days) -> dict[date, SpendOf[date]]:
    """The days of `days` that had calls, so at most `len(days)`."""
    return {spend.of: spend for spend in spent.between(days.start, days.end).by_day()}


def sum_of(by_day: Mapping[date, Spend], days: Days) -> Spend:
    return sum((spend for day, spend in by_day.items() if days.start <= day < days.end), NOTHING)


CostByDay = dict[date, int | None]
"""Microcents; None on a day of whose calls none has a price. A day without calls is left out."""


def cost_by_key_and_day(rows: QuerySet[Any], days: Days, key: str, values: Sequence[Any]) -> dict[Any, CostByDay]:
    """For each of `values` of the column `key`: at most their number times the days."""
    found = (
        rows.filter(within(days), **{f"{key}__in": list(values)})
        .values_list(key, "day")
        .annotate(made=Sum("calls"), unpriced=Sum("unpriced_calls"), cost=Sum("cost_microcents"))
        .order_by()
    )
    series: dict[Any, CostByDay] = defaultdict(dict)
    for value, day, made, unpriced, cost in found:
        series[value][day] = known_cost(made, unpriced, cost)
    return series
