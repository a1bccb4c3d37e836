"""Sums over rollups: what was used and spent, in all, by day, by anything a rollup is keyed by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db.models import F, Q, QuerySet, Sum
from django.db.models.functions import Coalesce

from costsite.analytics.periods import Calendar, Days
from costsite.analytics.usage import NOTHING, USAGE_COLUMNS, Usage


def within(days: Days) -> Q:
    return Q(day__gte=days.start, day__lt=days.end)


def usage_sums(days: Days | None = None) -> dict[str, Coalesce]:
    """Aggregates for every column; over `days` alone when given."""
    condition = None if days is None else within(days)
    return {f"sum_{name}": Coalesce(Sum(name, filter=condition), 0) for name in USAGE_COLUMNS}


def usage_from(row: Mapping[str, Any]) -> Usage:
    return Usage(*(row[f"sum_{name}"] for name in USAGE_COLUMNS))


@dataclass(frozen=True)
class Spans:
    """The three spans a page compares, and the least run of days that covers them for one pass over a rollup."""

    month: Days
    before: Days
    shown: Days
    spark: Days

    @classmethod
    def of(cls, calendar: Calendar, range_name: str) -> Spans:
        return cls(
            calendar.month_to_date, calendar.same_days_last_month, calendar.days_of(range_name), calendar.last_30_days
        )

    @property
    def all(self) -> Days:
        spans = (self.month, self.before, self.shown, self.spark)
        return Days(min(span.start for span in spans), max(span.end for span in spans))


def usage_by_day(rows: QuerySet[Any], days: Days) -> dict[date, Usage]:
    """A row a day, so at most `len(days)` of them."""
    found = rows.filter(within(days)).values("day").annotate(**usage_sums()).order_by("day")
    return {row["day"]: usage_from(row) for row in found}


def sum_of(by_day: Mapping[date, Usage], days: Days) -> Usage:
    return sum((usage for day, usage in by_day.items() if days.start <= day < days.end), NOTHING)


def cost_by_key_and_day(rows: QuerySet[Any], days: Days, key: str, values: Sequence[Any]) -> dict[Any, dict[date, int]]:
    """Microcents a day for each of `values` of the column `key`: at most their number times the days."""
    found = (
        rows.filter(within(days), **{f"{key}__in": list(values)})
        .values_list(key, "day")
        .annotate(cost=Sum("cost_microcents"))
        .order_by()
    )
    series: dict[Any, dict[date, int]] = defaultdict(dict)
    for value, day, cost in found:
        series[value][day] = cost
    return series


@dataclass(frozen=True)
class ModelUsage:
    provider: str
    model: str
    usage: Usage


def usage_by_model(rows: QuerySet[Any], days: Days, limit: int) -> list[ModelUsage]:
    """The dearest models first, at most `limit`."""
    found = (
        rows.filter(within(days))
        .values("provider", "model")
        .annotate(**usage_sums())
        .order_by(F("sum_cost_microcents").desc(), F("sum_calls").desc(), "provider", "model")[:limit]
    )
    return [ModelUsage(row["provider"], row["model"], usage_from(row)) for row in found]
