"""Charts and tables with their words: what the queries found, laid out by `charts`, written by `figures`. No Django."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from agents.spend import NOTHING, Spend
from costsite.analytics import charts, figures
from costsite.analytics.periods import DEFAULT_RANGE, Calendar, Days

CHART_HEIGHT = 240.0
SMALL_CHART_HEIGHT = 160.0
SERIES = 7
"""In a stack; the rest is "Other"."""


@dataclass(frozen=True)
class Series:
    name: str
    slot: int
    values: Mapping[date, int | None]
    href: str = ""

    def within(self, days: Days) -> int:
        return sum(value or 0 for day, value in self.values.items() if days.start <= day < days.end)


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
    return f"{day:%-d %b}" if day.day in (1, 15) else ""


def spend_per_day(
    name: str,
    *,
    title: str,
    measure: str,
    totals: Mapping[date, Spend],
    series: Sequence[Series],
    days: Days,
    calendar: Calendar,
    day_href: Callable[[date], str] | None = None,
) -> Stack:
    """Spend a day by whom: at most `SERIES` series, largest at the bottom; what `totals` has beyond them is "Other".

    A day of whose calls none has a price has no column, and says so: unknown is not nothing.
    """
    shown = sorted(series, key=lambda one: (-one.within(days), one.name))[:SERIES]
    shown = [one for one in shown if one.within(days)]
    spent = {day: totals.get(day, NOTHING) for day in days}
    rows = []
    for day in days:
        parts = [max(0, one.values.get(day) or 0) for one in shown]
        rows.append([*parts, max(0, spent[day].cost_microcents - sum(parts))])
    others = sum(row[-1] for row in rows)
    names = [one.name for one in shown] + (["Other"] if others and shown else ["Spend"] if others else [])
    slots = [one.slot for one in shown] + [charts.OTHER if shown else 1]
    chart = charts.stacked_columns(rows, slots, height=CHART_HEIGHT, label=figures.axis_money)
    unit = figures.MoneyUnit.for_values([column.total for column in chart.columns])
    bars = []
    for day, parts, column in zip(days, rows, chart.columns, strict=True):
        so_far = " so far" if day == calendar.today else ""
        spend = spent[day]
        tip = [f"{day:%a %-d %b}{so_far}: {figures.sum_of_money(spend.cost, spend.unpriced_calls, unit)}"]
        biggest = sorted(zip(parts, names, strict=False), reverse=True)[:5]
        if len(names) > 1:
            tip += [f"{who}: {unit.write(value)}" for value, who in biggest if value]
        href = day_href(day) if day_href and day <= calendar.today else ""
        bars.append(Bar(column, day_tick(day, days), tuple(tip) if spend.calls else (), href, day == calendar.today))
    whole = sum(spent.values(), NOTHING)
    sums_unit = figures.MoneyUnit.for_values([whole.cost])
    legend = [LegendEntry(one.name, one.slot, one.href, sums_unit.write(one.within(days))) for one in shown]
    if others and shown:
        legend.append(LegendEntry("Other", charts.OTHER, "", sums_unit.write(others)))
    table = []
    for day, parts in zip(days, rows, strict=True):
        if day <= calendar.today:
            cost, unpriced = spent[day].cost, spent[day].unpriced_calls
            others_cost = None if cost is None else parts[-1]
            known = [*(one.values.get(day, 0) for one in shown), others_cost][: len(names)]
            whole_day = figures.UNPRICED if cost is None else figures.sum_of_money(cost, unpriced, unit)
            table.append((f"{day:%a %-d %b}", *(unit.write(part) for part in known), whole_day))
    return Stack(
        id=name,
        title=title,
        measure=f"{measure}, {days}. {figures.sum_of_money(whole.cost, whole.unpriced_calls)} in all.",
        chart=chart,
        bars=tuple(bars),
        legend=tuple(legend) if len(legend) > 1 else (),
        head=("Day", *names, "All"),
        rows=tuple(table),
        empty=not whole.cost_microcents,
    )


TOKEN_KINDS = {"fresh": 1, "cache read": 4, "cache written": 5, "visible": 6, "reasoning": 8}
"""Kinds of tokens and their colours."""


def context_by_call(name: str, calls: Sequence[tuple[str, int, int, int]], *, first: int) -> Stack:
    """Input tokens of each call of a run: (what it is, fresh, read, written), numbered from `first`."""
    kinds = ("fresh", "cache read", "cache written")
    rows = [(read, written, fresh) for _, fresh, read, written in calls]
    order = ("cache read", "cache written", "fresh")
    chart = charts.stacked_columns(
        rows, [TOKEN_KINDS[kind] for kind in order], height=SMALL_CHART_HEIGHT, label=figures.axis_tokens
    )
    every = max(1, len(calls) // 10)
    bars = tuple(
        Bar(
            column,
            str(first + index) if index % every == 0 else "",
            (
                f"Call {first + index}, {calls[index][0]}: {figures.tokens(column.total)} input tokens",
                *(f"{kind}: {figures.tokens(value)}" for kind, value in zip(order, rows[index], strict=True) if value),
            ),
            "",
            False,
        )
        for index, column in enumerate(chart.columns)
    )
    used = [kind for index, kind in enumerate(order) if any(row[index] for row in rows)]
    start, peak = (chart.columns[0].total, max(column.total for column in chart.columns)) if calls else (0, 0)
    if len(calls) > 1 and peak > start:
        title = f"Context grew from {figures.tokens_short(start)} to {figures.tokens_short(peak)} tokens"
    else:
        title = f"Context up to {figures.tokens_short(peak)} tokens"
    return Stack(
        id=name,
        title=title,
        measure=f"Input tokens by call, n {len(calls)}.",
        chart=chart,
        bars=bars,
        legend=tuple(LegendEntry(kind, TOKEN_KINDS[kind], "", "") for kind in used) if len(used) > 1 else (),
        head=("Call", *kinds, "Input tokens"),
        rows=tuple(
            (
                f"{first + index}. {what}",
                *(figures.tokens(value) for value in (fresh, read, written)),
                figures.tokens(fresh + read + written),
            )
            for index, (what, fresh, read, written) in enumerate(calls)
        ),
        empty=not peak,
    )


@dataclass(frozen=True)
class TokenBar:
    name: str
    total: int
    parts: tuple[tuple[charts.Part, int], ...]
    """With the slot of each part's colour."""


def token_bars(spend: Spend) -> tuple[TokenBar, TokenBar]:
    """Input and output on one scale, so that their lengths compare."""
    inputs = [
        ("fresh", spend.fresh_input_tokens),
        ("cache read", spend.cache_read_tokens),
        ("cache written", spend.cache_written_tokens),
    ]
    outputs = [("visible", spend.visible_output_tokens), ("reasoning", spend.reasoning_tokens)]
    scale = max(sum(value for _, value in inputs), sum(value for _, value in outputs))

    def laid(name: str, parts: list[tuple[str, int]]) -> TokenBar:
        parts_laid = charts.bar([(kind, max(0, value)) for kind, value in parts], scale)
        return TokenBar(
            name, sum(value for _, value in parts), tuple((part, TOKEN_KINDS[part.name]) for part in parts_laid)
        )

    return laid("Input", inputs), laid("Output", outputs)


@dataclass(frozen=True)
class Sparked:
    spark: charts.Sparkline | None
    words: str


def month_of_days(by_day: Mapping[date, int | None], days: Days) -> Sparked:
    """A row's trend over `days` and what a reader who does not see it is told."""
    known = [by_day.get(day, 0) for day in days]
    values = [max(0, value or 0) for value in known]
    spark = charts.sparkline(values)
    if spark is None:
        return Sparked(None, f"{'Cost not known' if None in known else 'Nothing spent'} {days}")
    return Sparked(
        spark,
        f"{days}: {figures.money(sum(values))}, at most {figures.money(max(values))} a day,"
        f" {figures.money(known[-1])} today",
    )


@dataclass(frozen=True)
class Comparison:
    """What was spent on the whole days of this month, against as many of the last. In microcents; None: not known."""

    now: int | None
    days: Days
    before: int | None
    days_before: Days

    @property
    def through(self) -> str:
        return f"through {self.days.last:%-d %b}"

    @property
    def note(self) -> str:
        """Under the month's figure."""
        if not self.days:
            return "nothing to compare yet"
        if self.now is None:
            return "no price yet"
        if self.before is None:
            return f"nothing to compare with: no price on {self.days_before}"
        written = change(self.now, self.before)
        if written == "new":
            return f"new: nothing on {self.days_before}"
        return f"{written} {self.through} on {self.days_before}"

    @property
    def answer(self) -> str:
        """What a chart of this month opens with."""
        if not self.days:
            return "The first day of the month: nothing to compare yet"
        through = self.through
        one = len(self.days) == 1
        same = f"the {'first day' if one else f'same {len(self.days)} days'} of {self.days_before.start:%B}"
        now, before = self.now, self.before
        if now is None or before is None:
            return f"Not to be compared with {same}: cost not known"
        if not now and not before:
            return f"Nothing spent {through}"
        if not before:
            return f"First spending: nothing on {same}"
        if abs(now - before) * 200 < before:
            return f"Level with {same} {through}"
        return f"{'Up' if now > before else 'Down'} {figures.percent(abs(now - before), before)} {through} on {same}"


def answer(range_name: str, comparison: Comparison, shown: Spend, days: Days, calendar: Calendar) -> str:
    """What a chart of spend opens with: this month against the last, or how much a day in any other range."""
    if shown.cost is None:
        return f"Cost not known: {figures.unpriced_calls(shown.unpriced_calls)}"
    if range_name == DEFAULT_RANGE:
        return comparison.answer
    past = sum(1 for day in days if day <= calendar.today)
    if not shown.cost or not past:
        return f"Nothing spent {days}"
    return f"{figures.money(shown.cost // past)} a day over {past} days"


def change(now: int | None, before: int | None, unit: figures.MoneyUnit | None = None) -> str:
    """Between two amounts in microcents; a dash when one of them is not known."""
    return "–" if now is None or before is None else figures.change(now, before, unit)
