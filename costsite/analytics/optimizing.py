"""What the page of advice draws and adds up. No Django."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from costsite.analytics import charts, figures
from costsite.analytics.stacks import SMALL_CHART_HEIGHT, Bar, LegendEntry, Stack


class Promise(Protocol):
    @property
    def section(self) -> str: ...
    @property
    def month(self) -> int: ...


@dataclass(frozen=True)
class SectionSum:
    id: str
    title: str
    short: str
    month: int
    """Microcents of its open advice."""
    count: int


def section_sums(titles: Mapping[str, str], short: Mapping[str, str], advices: Iterable[Promise]) -> list[SectionSum]:
    by_section: dict[str, list[int]] = {section: [] for section in titles}
    for advice in advices:
        by_section[advice.section].append(advice.month)
    return [
        SectionSum(section, titles[section], short[section], sum(found), len(found))
        for section, found in by_section.items()
    ]


def call_label(number: int) -> str:
    """The calls that a number of `scan.call_number` stands for."""
    return {11: "11–15", 16: "16–20", 21: "21–30", 31: "31–50", 51: "51+"}.get(number, str(number))


LEAST_CALLS = 5
"""A median of fewer says nothing: the later calls of a few long runs are left out."""


def growth_chart(name: str, agent: str, growth: Sequence[Sequence[int]], href: str) -> Stack | None:
    """Input tokens by call number as [number, n, median, p90]; None without two numbers to compare.

    `href`: the runs it is of.
    """
    shown = [row for row in growth if row[1] >= LEAST_CALLS]
    if len(shown) < 2:
        return None
    parts = [(median, max(0, p90 - median)) for _, _, median, p90 in shown]
    chart = charts.stacked_columns(parts, [1, 4], height=SMALL_CHART_HEIGHT, label=figures.axis_tokens)
    bars = tuple(
        Bar(
            column,
            call_label(number),
            (
                f"Call {call_label(number)}: median {figures.tokens_short(median)} input tokens",
                f"p90 {figures.tokens_short(p90)}, n {n:,}",
            ),
            href,
            False,
        )
        for (number, n, median, p90), column in zip(shown, chart.columns, strict=True)
    )
    first, last = shown[0], max(shown, key=lambda row: row[2])
    answer = f"Context of {agent} stays at {figures.tokens_short(first[2])} tokens"
    if last[2] * 4 > first[2] * 5:
        grown = f"from {figures.tokens_short(first[2])} to {figures.tokens_short(last[2])} tokens"
        answer = f"Context of {agent} grows {grown} by call {call_label(last[0])}"
    calls = sum(row[1] for row in shown)
    return Stack(
        id=name,
        title=answer,
        measure=f"Input tokens by call number of a run, median and p90, last 30 days. n {calls:,} calls.",
        chart=chart,
        bars=bars,
        legend=(LegendEntry("median", 1, "", ""), LegendEntry("up to p90", 4, "", "")),
        head=("Call", "Median input tokens", "p90", "Calls"),
        rows=tuple(
            (call_label(number), figures.tokens(median), figures.tokens(p90), f"{n:,}")
            for number, n, median, p90 in shown
        ),
        empty=False,
        exact_rows=tuple((call_label(number), median, p90, n) for number, n, median, p90 in shown),
    )
