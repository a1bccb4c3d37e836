"""What a run costs: the median of them, and each as a dot. No Django.

Only runs of which every call has a price count; how many are left out for the want of one is said beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from costsite.analytics import charts, figures
from costsite.analytics.periods import Days
from costsite.analytics.stacks import SMALL_CHART_HEIGHT, day_tick


@dataclass(frozen=True)
class PerRun:
    """The median run, in microcents, with its n. None: no run has a price."""

    median: int | None
    n: int
    unpriced: int
    cut: bool
    """There are more runs than were read: these are the newest."""

    @property
    def counted(self) -> str:
        return f"newest {self.n:,} runs" if self.cut else f"n {self.n:,}"

    @property
    def left_out(self) -> str:
        return figures.unpriced_runs(self.unpriced) if self.unpriced else ""


def per_run(runs: Sequence[tuple[int | None, int]], *, cut: bool) -> PerRun:
    """Of runs as (microcents or None, unpriced calls)."""
    costs = sorted(cost for cost, _ in runs if cost is not None)
    median = charts.percentile(costs, 0.5) if costs else None
    return PerRun(median, len(costs), sum(1 for _, unpriced in runs if unpriced), cut)


@dataclass(frozen=True)
class PlacedRun:
    place: float
    """From 0 to 1, between the ends of the range."""
    cost: int | None
    """Microcents; None where it is not known, or no call was made."""
    unpriced_calls: int
    when: str
    href: str


@dataclass(frozen=True)
class RunDot:
    dot: charts.Dot
    tip: str
    href: str


@dataclass(frozen=True)
class RunPlot:
    title: str
    measure: str
    plot: charts.Dots
    dots: tuple[RunDot, ...]
    day_ticks: tuple[charts.Tick, ...]
    rows: tuple[tuple[str, ...], ...]

    head = ("Started", "Estimated cost")

    @property
    def labels_close(self) -> bool:
        median_at, p95_at = self.plot.median_at, self.plot.p95_at
        return median_at is not None and p95_at is not None and abs(median_at - p95_at) < 14


def run_plot(runs: Sequence[PlacedRun], usual: PerRun, *, days: Days) -> RunPlot | None:
    """Cost of runs over time, newest first, with what is `usual` of them. None without a cost to place."""
    priced = [(run, run.cost) for run in runs if run.cost is not None]
    plot = charts.log_dots(
        [(run.place, cost) for run, cost in priced], height=SMALL_CHART_HEIGHT, label=figures.axis_money
    )
    if plot is None:
        return None
    title = f"Median {figures.money(plot.median)} per run"
    if outliers := [priced[dot.index][1] for dot in plot.dots if dot.outlier]:
        title += f"; {len(outliers):,} over {charts.OUTLIER_MEDIANS} × that, the dearest {figures.money(max(outliers))}"
    counted = f"The newest {usual.n:,} runs alone" if usual.cut else f"n {usual.n:,}"
    measure = f"Estimated cost of each run, {days}, logarithmic scale. {counted}"
    measure += f" + {usual.left_out}." if usual.left_out else "."
    measure += f" p95 {figures.money(plot.p95)}."
    if free := len(priced) - len(plot.dots):
        measure += f" {free:,} that cost nothing {'has' if free == 1 else 'have'} no dot."
    return RunPlot(
        title=title,
        measure=measure,
        plot=plot,
        dots=tuple(
            RunDot(dot, f"{run.when}: {figures.money(cost)}", run.href)
            for dot in plot.dots
            for run, cost in (priced[dot.index],)
        ),
        day_ticks=tuple(
            charts.Tick(round(100 * (index + 0.5) / len(days), 2), label)
            for index, day in enumerate(days)
            if (label := day_tick(day, days))
        ),
        rows=tuple((run.when, figures.money(cost)) for run, cost in priced[:50]),
    )
