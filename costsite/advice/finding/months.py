"""Advice from every run: what went in circles, failed, was sent again, or grew too long."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from agents.models import Workspace
from costsite.advice import kinds
from costsite.advice.finding.found import EVIDENCE, Found
from costsite.advice.models import Advice, ReviewedDay


@dataclass
class Month:
    """What an agent's runs of the month come to."""

    sums: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    compactable: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    growth: dict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    """By call number and size bin, how many calls."""
    named: dict[str, list[list[int]]] = field(default_factory=lambda: defaultdict(list))


_SUMMED: Final = (
    "runs", "calls", "cost_microcents", "looped_calls", "looped_microcents", "failed_calls", "failed_microcents",
    "uncached_calls", "uncached_microcents", "repeated_prompts", "repeated_microcents", "compactions",
    "compaction_saved_microcents",
)  # fmt: skip
_NAMED: Final = ("looped_runs", "failing_runs", "longest_runs", "uncached_runs", "repeated_runs")


def read_months(workspace: Workspace, first: date, through: date) -> dict[int, Month]:
    months: dict[int, Month] = defaultdict(Month)
    rows = ReviewedDay.objects.filter(workspace=workspace, day__gte=first, day__lte=through)
    columns = ("agent_id", "compactable", "growth", *_SUMMED, *_NAMED)
    for agent_id, compactable, growth, *rest in rows.values_list(*columns).iterator(2_000):
        month = months[agent_id]
        for name, value in zip(_SUMMED, rest, strict=False):
            month.sums[name] += value
        for trigger, saved in compactable.items():
            month.compactable[int(trigger)] += saved
        for number, bins in growth.items():
            for size, count in bins.items():
                month.growth[int(number)][int(size)] += count
        for name, value in zip(_NAMED, rest[len(_SUMMED) :], strict=True):
            month.named[name] = sorted([*month.named[name], *value], reverse=True)[:EVIDENCE]
    return months


def from_months(months: Mapping[int, Month]) -> Iterator[Found]:
    for agent_id, month in months.items():
        sums_of_month = month.sums

        def evidence(name: str, month: Month = month) -> list[int]:
            return [run for _, run in month.named[name]]

        calls = {"of_calls": sums_of_month["calls"]}
        yield Found(
            agent_id, kinds.LOOPS, "", sums_of_month["looped_microcents"],
            {"calls": sums_of_month["looped_calls"]} | calls, evidence("looped_runs"), Advice.Confidence.HIGH,
        )  # fmt: skip
        yield Found(
            agent_id, kinds.FAILED, "", sums_of_month["failed_microcents"],
            {"calls": sums_of_month["failed_calls"]} | calls, evidence("failing_runs"), Advice.Confidence.MEDIUM,
        )  # fmt: skip
        yield Found(
            agent_id, kinds.UNCACHED, "", sums_of_month["uncached_microcents"],
            {"calls": sums_of_month["uncached_calls"]} | calls, evidence("uncached_runs"), Advice.Confidence.MEDIUM,
        )  # fmt: skip
        yield Found(
            agent_id, kinds.REPEATED, "", sums_of_month["repeated_microcents"],
            {"calls": sums_of_month["repeated_prompts"]} | calls, evidence("repeated_runs"), Advice.Confidence.HIGH,
        )  # fmt: skip
        if month.compactable:
            trigger, saved = max(month.compactable.items(), key=lambda item: (item[1], item[0]))
            figures = {
                "trigger": trigger, "saved": saved, "spent": sums_of_month["cost_microcents"],
                "runs": sums_of_month["runs"], "by_trigger": sorted(month.compactable.items()),
            }  # fmt: skip
            yield Found(agent_id, kinds.COMPACT_AT, "", saved, figures, evidence("longest_runs"))
