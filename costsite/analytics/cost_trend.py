"""Whether a run gets dearer: the median and the 95th percentile of a day's runs, day by day. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from agents.figures import many
from agents.spend import cents_text
from costsite.analytics import figures
from costsite.analytics.charts import LogScale, Tick, log_scale, percentile
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
    last: TrendDay
    """What the lines are labelled by: the last that is over, so that a morning's few runs do not speak for a month."""
    last_named: str
    rows: tuple[tuple[str, ...], ...]
    exact_rows: tuple[tuple[object, ...], ...]
    height: float = SMALL_CHART_HEIGHT

    head = ("Day", "Median run", "p95", "Runs")
    exact_head = ("Day", "median_cents", "p95_cents", "runs")

    @property
    def labels_close(self) -> bool:
        return abs(self.last.median_at - self.last.p95_at) < 14


def cost_trend(
    costs: Mapping[date, Sequence[int]],
    days: Days,
    *,
    today: date,
    counted: str,
    day_href: Callable[[date], str],
    weekly: bool = False,
) -> CostTrend | None:
    """`costs`: of each day's runs of which every call has a price, in microcents. None without any.

    `counted`: how many runs that is, in words. `weekly`: by the first days of weeks. A day or week that `today` is in
    is drawn, and speaks neither in the title nor at the ends of the lines, unless there is no other.
    """
    found = {day: sorted(of_day) for day, of_day in costs.items() if of_day and day in days}
    if not found:
        return None
    summed = {day: (percentile(of_day, 0.5), percentile(of_day, 0.95), len(of_day)) for day, of_day in found.items()}
    scale = log_scale(
        [value for median, p95, _ in summed.values() for value in (median, p95)],
        height=SMALL_CHART_HEIGHT,
        headroom=HEADROOM,
    )

    def down(value: int) -> float:
        return scale.at(value) if scale else SMALL_CHART_HEIGHT

    unit = figures.MoneyUnit.for_values([p95 for _, p95, _ in summed.values()])
    span, placed = "week" if weekly else "day", []
    for index, day in enumerate(days):
        if day in summed:
            median, p95, n = summed[day]
            since = "Week from " if weekly else ""
            so_far = "" if _is_over(day, today, weekly) else ", so far"
            begun = f"{since}{day:%a %-d %b}{so_far}"
            tip = f"{begun}: median {unit.write(median)}\np95 {unit.write(p95)}\n{many(n, 'run')}"
            x = round(100 * (index + 0.5) / len(days), 2)
            placed.append(TrendDay(day, x, median, p95, down(median), down(p95), n, tip, day_href(day)))
    over = [one for one in placed if _is_over(one.day, today, weekly)]
    last = (over or placed)[-1]
    return CostTrend(
        title=_title(over, found) if over else f"The median run costs {unit.write(last.median)} so far",
        measure=_measure(span, days, scale, counted, free=any(not one.median for one in placed)),
        ticks=scale.ticks(figures.axis_money) if scale else (Tick(SMALL_CHART_HEIGHT, "0"),),
        day_ticks=tuple(
            Tick(round(100 * (index + 0.5) / len(days), 2), label)
            for index, day in enumerate(days)
            if (label := day_tick(day, days))
        ),
        days=tuple(placed),
        medians=_lines(placed, lambda one: one.median_at, 7 if weekly else 1),
        p95s=_lines(placed, lambda one: one.p95_at, 7 if weekly else 1),
        rows=tuple(
            (_name_of(one.day, today, weekly), unit.write(one.median), unit.write(one.p95), f"{one.n:,}")
            for one in placed
        ),
        last=last,
        last_named=f"{'week from ' if weekly else ''}{last.day:%-d %b}{'' if over else ', so far'}",
        exact_rows=tuple((f"{one.day}", cents_text(one.median), cents_text(one.p95), one.n) for one in placed),
    )


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


def _is_over(day: date, today: date, weekly: bool) -> bool:
    """Whether the day, or the week that `day` is the first of in the range, is past."""
    return day + timedelta(days=7 - day.weekday() if weekly else 1) <= today


def _name_of(day: date, today: date, weekly: bool) -> str:
    return f"{day:%a %-d %b}{'' if _is_over(day, today, weekly) else ', so far'}"


def _measure(span: str, days: Days, scale: LogScale | None, counted: str, *, free: bool) -> str:
    measure = f"Estimated cost of a run by the {span} it began: median, and p95 above it, {days}"
    measure += ", logarithmic scale" if scale else ""
    measure += ", on the ground where it is 0" if scale and free else ""
    return f"{measure}. {counted}."


def _title(days: Sequence[TrendDay], costs: Mapping[date, Sequence[int]]) -> str:
    """The later half of the days against the earlier, each by the median of its runs."""

    def median(part: Sequence[TrendDay]) -> int:
        return percentile(sorted(cost for one in part for cost in costs[one.day]), 0.5)

    if len(days) < 4:
        return f"The median run costs {figures.money(median(days))}"
    half = len(days) // 2
    early, late = median(days[:half]), median(days[-half:])
    span = f"{days[0].day:%-d %b} to {days[half - 1].day:%-d %b}"
    since = f"{days[-half].day:%-d %b}"
    if abs(late - early) * 200 < early or not early:
        return f"The median run since {since} costs {figures.money(late)}, level with {span}"
    word = "dearer" if late > early else "cheaper"
    change = f"{figures.percent(abs(late - early), early)} {word}"
    return f"The median run since {since} is {change} than {span}: {figures.money(late)}"
