"""Spans of days, and sums over rollups that `CostTracker` does not have: a line of costs for each of many rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import BigIntegerField, DateField, F, Q, Sum, Value

from agents.cost_tracker import CostTracker, SpendOf
from agents.models import AgentDay, UsageMonth
from agents.spend import Spend, known_cost
from costsite.analytics.filters import Filters
from costsite.analytics.forecast import KNOWN_DAYS
from costsite.analytics.periods import NO_DAYS, Calendar, Cover, Days, first_of_month, whole_months, without
from costsite.analytics.queries.plain import plain_rows

User = AbstractBaseUser | AnonymousUser


def within(days: Days) -> Q:
    return Q(day__gte=days.start, day__lt=days.end)


COST = ("calls", "unpriced_calls", "cost_microcents")
"""What `known_cost` takes."""
NULL = Value(None, output_field=BigIntegerField())
_ADDED = {f"added_{column}": F(column) for column in COST}
_TAKEN_OFF = {f"added_{column}": -F(column) for column in COST}


class SumsOf(NamedTuple):
    """Rows of two tables of the same sums, filtered alike: of days, and of months."""

    days: Any
    months: Any

    @classmethod
    def tables(cls, days: Any, months: Any) -> SumsOf:
        return cls(days.objects.all(), months.objects.all())

    def visible_to(self, user: User) -> SumsOf:
        return SumsOf(self.days.visible_to(user), self.months.visible_to(user))

    def filter(self, **columns: object) -> SumsOf:
        return SumsOf(self.days.filter(**columns), self.months.filter(**columns))

    def over(self, cover: Cover) -> list[Any]:
        """The rows of each part of it, with their day or the first of their month as `at`, and what they add to each
        of `COST` as `added_`: what is summed of each part by itself, `united` asks for at once.
        """
        parts = [self.days.filter(within(days)).annotate(at=F("day")).alias(**_ADDED) for days in cover.days]
        if cover.months:
            of_months = self.months.filter(month__gte=cover.months.start, month__lt=cover.months.end)
            parts.append(of_months.annotate(at=F("month")).alias(**_ADDED))
        for days in cover.less:
            month = Value(first_of_month(days.start), output_field=DateField())
            parts.append(self.days.filter(within(days)).annotate(at=month).alias(**_TAKEN_OFF))
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
    def tomorrow(self) -> date:
        return self.month.end

    @property
    def recent(self) -> Days:
        """What is needed day by day, whatever is shown, with what a forecast is made of."""
        forecast = Days(self.month.end - timedelta(days=KNOWN_DAYS + 1), self.month.end)
        spans = (self.month, self.before, self.spark, forecast)
        return Days(min(span.start for span in spans), max(span.end for span in spans))

    @property
    def earlier(self) -> list[Days]:
        """What is compared with, as far as it is needed for nothing else."""
        if self.shown_before is None:
            return []
        return without(self.shown_before, sorted((self.recent, self.shown), key=attrgetter("start")))

    def cover(self, drawn: Days = NO_DAYS, *, but_earlier: bool = False) -> Cover:
        """All of them. `drawn`: months whose days are not needed one by one, but for those that are recent."""
        return self._cover(self.recent, drawn, [] if but_earlier else self.earlier)

    def drawn_cover(self, drawn: Days = NO_DAYS) -> Cover:
        """What is drawn of one of many: the days shown, and the last thirty."""
        return self._cover(self.spark, drawn, [])

    def _cover(self, one_by_one: Days, drawn: Days, besides: Sequence[Days]) -> Cover:
        """Of whole months alone: nothing is to be taken off, so rows may be read one by one."""
        start = max(drawn.start, self.shown.start)
        months = whole_months(Days(start, max(start, min(drawn.end, self.shown.end, one_by_one.start))))
        return Cover.of([one_by_one, self.shown, *besides], months)


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


def spend_of(calls: int, unpriced_calls: int, cost_microcents: int) -> Spend:
    """Of sums of `COST`, which is all that is known of the usage."""
    return Spend(calls=calls, unpriced_calls=unpriced_calls, cost_microcents=cost_microcents)


CostByDay = dict[date, int | None]
"""Microcents; None on a day of whose calls none has a price. A day without calls is left out."""


def days_of_agents(cover: Cover, agent_ids: Sequence[int]) -> dict[int, CostByDay]:
    """Of agents one is known to see, at most their number times the days.

    Asked again whether their workspace is seen, no index would hold all there is.
    """
    wanted = SumsOf.tables(AgentDay, UsageMonth).filter(agent__in=agent_ids)
    parts = [by_value_and_day(rows.annotate(named=F("agent"))) for rows in wanted.over(cover)]
    series: dict[int, CostByDay] = defaultdict(dict)
    for agent_id, day, made, unpriced, cost in plain_rows(united(parts)):
        series[agent_id][day] = known_cost(made, unpriced, cost)
    return series


def by_value_and_day(rows: Any, *finer: str) -> Any:
    """Sums of rows that have what they are grouped by as `named`: that, the day, what is finer, and three sums."""
    return rows.values_list("named", "at", *finer).annotate(
        made=Sum("added_calls"), unpriced=Sum("added_unpriced_calls"), cost=Sum("added_cost_microcents")
    )
