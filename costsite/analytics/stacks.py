"""Stacked columns with their words: what the queries found, laid out by `charts`, written by `figures`. No Django."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any, TypeVar

from agents.spend import NOTHING, Spend, cents_text
from costsite.analytics import charts, figures
from costsite.analytics.periods import HALF_A_YEAR_DAYS, Calendar, Days, months_of, whole_months

Value = TypeVar("Value")

CHART_HEIGHT = 240.0
SMALL_CHART_HEIGHT = 160.0
STRIP_HEIGHT = 64.0
DAYS_ONE_BY_ONE = 62
"""Two months. A year of days is a page of 300 kB, and no column of it can be hit."""
WEEKS_ONE_BY_ONE = HALF_A_YEAR_DAYS
"""A year of weeks is a page of 160 kB, and takes half as long again."""
SERIES = 7
"""In a stack; the rest is "Other"."""
STEP_HEADS = {"hour": "Hour", "day": "Day", "week": "Week from", "month": "Month from"}
"""How a table heads what a column is of."""


@dataclass(frozen=True)
class Series:
    name: str
    slot: int
    values: Mapping[Any, int | None]
    """By day or hour, in microcents; None: not known."""
    href: str = ""

    def over(self, steps: Sequence[Step]) -> int:
        return sum(self.values.get(step.key) or 0 for step in steps)


@dataclass(frozen=True)
class Step:
    """A column's place in time."""

    key: Any
    """A day, or the UTC instant an hour begins."""
    tick: str
    """Under the axis, where there is room; empty for most."""
    label: str
    exact: str
    """As a file says it."""
    href: str = ""
    unfinished: bool = False
    to_come: bool = False


@dataclass(frozen=True)
class LegendEntry:
    name: str
    slot: int
    href: str
    value: str


@dataclass(frozen=True)
class Bar:
    """A column with its words."""

    column: charts.Column
    tick: str
    tip: tuple[str, ...]
    """Empty where there is nothing to say."""
    href: str
    unfinished: bool
    before_at: float | None = None
    """Where the same day of the range before lies."""

    @property
    def tip_text(self) -> str:
        return "\n".join(self.tip)


@dataclass(frozen=True)
class Stack:
    """Stacked columns: a title that answers, the measure under it, the marks, and the same as a table."""

    id: str
    title: str
    measure: str
    chart: charts.Columns
    bars: tuple[Bar, ...]
    legend: tuple[LegendEntry, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    empty: bool
    exact_head: tuple[str, ...] = ()
    exact_rows: tuple[tuple[object, ...], ...] = ()
    """The same for a file: unrounded cents, or tokens."""
    eyebrow: str = ""
    """What it is of, above all the rest, where a page shows that."""

    @property
    def named(self) -> tuple[charts.Tick, ...]:
        """The columns that have a name under them."""
        return tuple(charts.Tick(bar.column.middle, bar.tick) for bar in self.bars if bar.tick)

    @property
    def svg_height(self) -> float:
        return self.chart.base + 24

    @property
    def tick_y(self) -> float:
        return self.chart.base + 18


def day_tick(day: date, days: Days) -> str:
    """What the axis says under a day: each of a week, Mondays of a month, firsts and fifteenths of more."""
    if len(days) <= 7:
        return f"{day:%a %-d}"
    if len(days) <= 45:
        return f"{day:%-d %b}" if day.weekday() == 0 else ""
    if len(days) <= 100:
        return f"{day:%-d %b}" if day.day in (1, 15) else ""
    return f"{day:%-d %b}" if day.day == 1 else ""


def weeks_of(days: Days) -> list[Days]:
    """From Monday to Sunday, the first and the last as far as they are in it."""
    starts = [day for day in days if day == days.start or day.weekday() == 0]
    return [Days(start, end) for start, end in pairwise([*starts, days.end])]


def part_steps(parts: Sequence[Days], days: Days, calendar: Calendar, href: Callable[[Days], str] | None) -> list[Step]:
    """Days, weeks or months of `days`."""
    return [
        Step(
            key=part.start,
            tick=day_tick(part.start, days)
            if len(part) == 1
            else (
                f"{part.start:{'%b' if len(part) > 7 else '%-d %b'}}" if index % max(1, len(parts) // 8) == 0 else ""
            ),
            label=f"{part.start:%a %-d %b}" if len(part) == 1 else str(part),
            exact=f"{part.start:%Y-%m-%d}",
            href=href(part) if href and part.start <= calendar.today else "",
            unfinished=calendar.today in part,
            to_come=part.start > calendar.today,
        )
        for index, part in enumerate(parts)
    ]


def hour_steps(calendar: Calendar, hour_href: Callable[[datetime], str] | None = None) -> list[Step]:
    """The 24 hours that end with the one that is on, as UTC instants of their beginnings."""
    last = calendar.now.replace(minute=0, second=0, microsecond=0)
    steps = []
    for back in range(23, -1, -1):
        at = last - timedelta(hours=back)
        local = at.astimezone(calendar.zone)
        steps.append(
            Step(
                key=at,
                tick=f"{local:%H:%M}" if local.hour % 4 == 0 else "",
                label=f"{local:%a %-d %b %H:%M}",
                exact=local.isoformat(timespec="minutes"),
                href=hour_href(at) if hour_href else "",
                unfinished=back == 0,
            )
        )
    return steps


def spend_stack(
    name: str,
    *,
    title: str,
    measure: str,
    totals: Mapping[Any, Spend],
    series: Sequence[Series],
    steps: Sequence[Step],
    per: str = "day",
    before: Sequence[Spend] = (),
    height: float = CHART_HEIGHT,
) -> Stack:
    """Spend by whom over time: at most `SERIES` series, largest at the bottom; what `totals` has beyond is "Other".

    A day of whose calls none has a price has no column, and says so: unknown is not nothing. `per`: what a column is
    of, one of `STEP_HEADS`. `before`: of the range before, step by step, to be marked beside.
    """
    shown = sorted(series, key=lambda one: (-one.over(steps), one.name))[:SERIES]
    shown = [one for one in shown if one.over(steps)]
    spent = [totals.get(step.key, NOTHING) for step in steps]
    rows = []
    for step, spend in zip(steps, spent, strict=True):
        parts = [max(0, one.values.get(step.key) or 0) for one in shown]
        rows.append([*parts, max(0, spend.cost_microcents - sum(parts))])
    others = sum(row[-1] for row in rows)
    names = [one.name for one in shown] + (["Other"] if others and shown else ["Spend"] if others else [])
    slots = [one.slot for one in shown] + [charts.OTHER if shown else 1]
    marks = [before[index].cost if index < len(before) else None for index in range(len(steps))]
    chart = charts.stacked_columns(
        rows, slots, height=height, label=figures.axis_money, least=max((mark or 0 for mark in marks), default=0)
    )
    unit = figures.MoneyUnit.for_values([column.total for column in chart.columns] + marks)
    bars = []
    for step, spend, parts, column, mark in zip(steps, spent, rows, chart.columns, marks, strict=True):
        so_far = " so far" if step.unfinished else ""
        spent_then = figures.sum_of_money(spend.cost, spend.unpriced_calls, unit)
        tip = [f"{step.label}{so_far}: {'still to come' if step.to_come and not spend.calls else spent_then}"]
        biggest = sorted(zip(parts, names, strict=False), reverse=True)[:5]
        if len(names) > 1:
            tip += [f"{who}: {unit.write(value)}" for value, who in biggest if value]
        if mark:
            tip.append(f"before: {unit.write(mark)}")
        bars.append(
            Bar(
                column,
                step.tick,
                tuple(tip) if spend.calls or mark else (),
                step.href if spend.calls else "",
                step.unfinished,
                chart.at(mark) if mark else None,
            )
        )
    whole = Spend.sum_of(spent)
    sums_unit = figures.MoneyUnit.for_values([whole.cost])
    legend = [LegendEntry(one.name, one.slot, one.href, sums_unit.write(one.over(steps))) for one in shown]
    if others and shown:
        legend.append(LegendEntry("Other", charts.OTHER, "", sums_unit.write(others)))
    table, exact = [], []
    for step, spend, parts, mark in zip(steps, spent, rows, marks, strict=True):
        if step.to_come:
            continue
        others_cost = None if spend.cost is None else parts[-1]
        known = [*(one.values.get(step.key, 0) for one in shown), others_cost][: len(names)]
        whole_step = figures.UNPRICED
        if spend.cost is not None:
            whole_step = figures.sum_of_money(spend.cost, spend.unpriced_calls, unit)
        beside = (unit.write(mark) if mark is not None else "–",) if before else ()
        table.append((step.label, *(unit.write(part) for part in known), whole_step, *beside))
        exact_beside = (cents_text(mark),) if before else ()
        exact.append((step.exact, *map(cents_text, known), cents_text(spend.cost), spend.unpriced_calls, *exact_beside))
    beside_head = ("Before",) if before else ()
    return Stack(
        id=name,
        title=title,
        measure=f"{measure}. {figures.sum_of_money(whole.cost, whole.unpriced_calls)} in all.",
        chart=chart,
        bars=tuple(bars),
        legend=tuple(legend) if len(legend) > 1 else (),
        head=(STEP_HEADS[per], *names, "All", *beside_head),
        rows=tuple(table),
        empty=not whole.cost_microcents and not any(marks),
        exact_head=(
            STEP_HEADS[per],
            *(f"{one} (cost_cents)" for one in names),
            "cost_cents",
            "unpriced_calls",
            *(f"{one} (cost_cents)" for one in beside_head),
        ),
        exact_rows=tuple(exact),
        eyebrow=f"Spend per {per}",
    )


def drawn_per(days: Days) -> str:
    """What a column over so many days is of: up to `DAYS_ONE_BY_ONE` a day, up to `WEEKS_ONE_BY_ONE` a week, then a
    month.
    """
    if len(days) <= DAYS_ONE_BY_ONE:
        return "day"
    return "week" if len(days) <= WEEKS_ONE_BY_ONE else "month"


def spend_per_day(
    name: str,
    *,
    title: str,
    of: str,
    beside: str = "",
    totals: Mapping[date, Spend],
    series: Sequence[Series],
    days: Days,
    calendar: Calendar,
    day_href: Callable[[Days], str] | None = None,
    before: Days | None = None,
    height: float = CHART_HEIGHT,
    per: str = "day",
) -> Stack:
    """A column a day, or `per` week or month.

    `of`: what it is the cost of, after "Estimated cost per day". `beside`: what more there is to know, after the days.
    `before`: what is compared with, which `totals` has too.
    """
    if per == "day":
        parts = [Days(day, day + timedelta(days=1)) for day in days]
    else:
        parts = weeks_of(days) if per == "week" else months_of(days)
    steps = part_steps(parts, days, calendar, day_href)
    earlier = [_spent_over(part, totals) for part in _parts_before(before, parts, days, per)]
    if len(parts) < len(days):
        totals = {start: Spend.sum_of(of_part) for start, of_part in _by_part(totals, parts).items()}
        series = [replace(one, values=_costs_by_part(one.values, parts)) for one in series]
    return spend_stack(
        name,
        title=title,
        measure=f"Estimated cost per {per}{of}, {days}{f'; {beside}' if beside else ''}",
        totals=totals,
        series=series,
        steps=steps,
        per=per,
        before=earlier,
        height=height,
    )


def _parts_before(before: Days | None, parts: Sequence[Days], days: Days, per: str) -> list[Days]:
    """What each column is compared with: of calendar months, month by month, however long they are."""
    if before is None:
        return []
    if per == "month" and whole_months(days) == days:
        return months_of(before)
    ahead = days.start - before.start
    found = [Days(part.start - ahead, min(part.end - ahead, before.end)) for part in parts]
    return [part for part in found if part.start < before.end]


def _spent_over(days: Days, totals: Mapping[date, Spend]) -> Spend:
    if len(days) == 1:
        return totals.get(days.start, NOTHING)
    return Spend.sum_of(totals[day] for day in days if day in totals)


def _by_part(values: Mapping[date, Value], parts: Sequence[Days]) -> dict[date, list[Value]]:
    """What days of each part have, by its first; parts lie one behind the other."""
    starts = [part.start for part in parts]
    found: dict[date, list[Value]] = {}
    for day, value in values.items():
        if starts[0] <= day < parts[-1].end:
            found.setdefault(starts[bisect_right(starts, day) - 1], []).append(value)
    return found


def _costs_by_part(costs: Mapping[date, int | None], parts: Sequence[Days]) -> dict[date, int | None]:
    """None where days had calls and nothing of them is known."""
    summed: dict[date, int | None] = {}
    for start, of_part in _by_part(costs, parts).items():
        known = [cost for cost in of_part if cost is not None]
        summed[start] = sum(known) if known else None
    return summed
