"""Whether a run gets dearer: the median and the 95th percentile of a day's runs, day by day. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from agents.spend import cents_text
from costsite.analytics import figures
from costsite.analytics.charts import Tick, nice_ticks, percentile
from costsite.analytics.periods import Days
from costsite.analytics.stacks import SMALL_CHART_HEIGHT, day_tick

HEADROOM = 14.0


@dataclass(frozen=True)
class TrendDay:
    day: date
    x: float
    """Percent across."""
    median: int
    p95: int
    median_at: float
    p95_at: float
    n: int
    tip: str
    href: str


@dataclass(frozen=True)
class CostTrend:
    title: str
    measure: str
    ticks: tuple[Tick, ...]
    day_ticks: tuple[Tick, ...]
    days: tuple[TrendDay, ...]
    medians: tuple[str, ...]
    """Points of lines, across in thousandths: a day without runs is a gap."""
    p95s: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    exact_rows: tuple[tuple[object, ...], ...]
    height: float = SMALL_CHART_HEIGHT

    head = ("Day", "Median run", "p95", "Runs")
    exact_head = ("Day", "median_cents", "p95_cents", "runs")

    @property
    def last(self) -> TrendDay:
        return self.days[-1]

    @property
    def labels_close(self) -> bool:
        return abs(self.last.median_at - self.last.p95_at) < 14


def cost_trend(
    costs: Mapping[date, Sequence[int]],
    days: Days,
    *,
    counted: str,
    day_href: Callable[[date], str],
    weekly: bool = False,
) -> CostTrend | None:
    """`costs`: of each day's runs of which every call has a price, in microcents. None without any.

    `counted`: how many runs that is, in words. `weekly`: by the first days of weeks.
    """
    found = {day: sorted(of_day) for day, of_day in costs.items() if of_day and day in days}
    if not found:
        return None
    summed = {day: (percentile(of_day, 0.5), percentile(of_day, 0.95), len(of_day)) for day, of_day in found.items()}
    ticks = nice_ticks(max(p95 for _, p95, _ in summed.values()), 3)
    top = ticks[-1] or 1

    def down(value: int) -> float:
        return round(SMALL_CHART_HEIGHT - value * (SMALL_CHART_HEIGHT - HEADROOM) / top, 2)

    unit = figures.MoneyUnit.for_values([p95 for _, p95, _ in summed.values()])
    span, placed = "week" if weekly else "day", []
    for index, day in enumerate(days):
        if day in summed:
            median, p95, n = summed[day]
            since = "Week from " if weekly else ""
            tip = f"{since}{day:%a %-d %b}: median {unit.write(median)}\np95 {unit.write(p95)}\n{_runs(n)}"
            x = round(100 * (index + 0.5) / len(days), 2)
            placed.append(TrendDay(day, x, median, p95, down(median), down(p95), n, tip, day_href(day)))
    return CostTrend(
        title=_title(placed),
        measure=f"Estimated cost of a run by the {span} it began: median, and p95 above it, {days}. {counted}.",
        ticks=tuple(Tick(down(value), figures.axis_money(value, ticks[-1])) for value in ticks),
        day_ticks=tuple(
            Tick(round(100 * (index + 0.5) / len(days), 2), label)
            for index, day in enumerate(days)
            if (label := day_tick(day, days))
        ),
        days=tuple(placed),
        medians=_lines(placed, lambda one: one.median_at, 7 if weekly else 1),
        p95s=_lines(placed, lambda one: one.p95_at, 7 if weekly else 1),
        rows=tuple(
            (f"{one.day:%a %-d %b}", unit.write(one.median), unit.write(one.p95), f"{one.n:,}") for one in placed
        ),
        exact_rows=tuple((f"{one.day}", cents_text(one.median), cents_text(one.p95), one.n) for one in placed),
    )


def _runs(count: int) -> str:
    return f"{count:,} run{'' if count == 1 else 's'}"


def _lines(days: Sequence[TrendDay], place: Callable[[TrendDay], float], step: int) -> tuple[str, ...]:
    """A line for each row of days that follow each other within `step` days."""
    lines: list[list[str]] = []
    before: date | None = None
    for one in days:
        if before is None or (one.day - before).days > step:
            lines.append([])
        lines[-1].append(f"{round(one.x * 10, 1)},{place(one)}")
        before = one.day
    return tuple(" ".join(line) for line in lines if len(line) > 1)


def _title(days: Sequence[TrendDay]) -> str:
    """The later half of the days against the earlier, by the median of their medians."""
    if len(days) < 4:
        return f"A run costs {figures.money(percentile(sorted(one.median for one in days), 0.5))} in the middle"
    half = len(days) // 2
    early, late = (percentile(sorted(one.median for one in part), 0.5) for part in (days[:half], days[-half:]))
    span = f"{days[0].day:%-d %b} to {days[half - 1].day:%-d %b}"
    if abs(late - early) * 200 < early or not early:
        return f"A run costs {figures.money(late)} in the middle, as {span}"
    word = "dearer" if late > early else "cheaper"
    return f"A run is {figures.percent(abs(late - early), early)} {word} than {span}: {figures.money(late)}"
