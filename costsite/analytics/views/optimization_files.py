"""The tables of the page of cost optimization as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agents.spend import cents_text
from costsite.analytics.queries import advice
from costsite.analytics.views.page import Export


def advice_file(rows: Sequence[advice.AdviceRow]) -> Export:
    head = ("advice", "agent", "workspace", "cents_a_month", "confidence", "text", "first_found")
    return Export(
        head,
        [
            (row.label, row.agent_name, row.workspace_name, cents_text(row.month), row.confidence, row.text,
             row.first_found)
            for row in rows
        ],
    )  # fmt: skip


def efforts_file(rows: Sequence[Mapping[str, Any]]) -> Export:
    head = (
        "agent", "model", "effort", "calls", "cost_cents", "cost_cents_a_call", "output_tokens", "reasoning_tokens",
        "failed_calls",
    )  # fmt: skip
    return Export(
        head,
        [
            (row["agent_name"], row["model"], row["effort"], row["calls"], cents_text(row["cost"]),
             cents_text(row["each"]), row["output"], row["reasoning"], row["failed"])
            for row in rows
        ],
    )  # fmt: skip


def tasks_file(rows: Sequence[advice.Task]) -> Export:
    return Export(
        ("task", "name", "effort", "model_tier"), [(row.task, row.name, row.effort, row.tier) for row in rows]
    )


def marked_file(rows: Sequence[advice.MarkedRun]) -> Export:
    return Export(
        ("run", "started_at", "agent", "over_cents", "likely_cause", "text"),
        [(row.id, row.started_at, row.agent_name, cents_text(row.over), row.label, row.text) for row in rows],
    )


def compacting_file(rows: Sequence[Sequence[int]]) -> Export:
    return Export(("tokens", "saved_cents_a_month"), [(trigger, cents_text(saved)) for trigger, saved in rows])


def compacted_file(months: Sequence[advice.MonthOfAgent]) -> Export:
    return Export(
        ("agent", "summaries", "saved_cents"),
        [
            (month.agent_name, month.row.compactions, cents_text(month.row.compaction_saved_microcents))
            for month in months
        ],
    )


def caching_file(months: Sequence[advice.MonthOfAgent]) -> Export:
    """Empty where the provider says neither reads nor writes: that is not the same as none."""
    return Export(
        ("agent", "input_tokens", "cache_read_tokens", "net_saved_cents", "identical_prompts", "they_cost_cents"),
        [
            (
                month.agent_name,
                month.row.input_tokens,
                month.row.cache_read_tokens if month.row.cache_reported else None,
                cents_text(month.row.cache_saved_microcents) if month.row.cache_reported else None,
                month.row.repeated_prompts,
                cents_text(month.row.repeated_microcents),
            )
            for month in months
        ],
    )


def decided_file(rows: Sequence[tuple[advice.AdviceRow, advice.Measured | None]]) -> Export:
    """With the mean cost of a run before the decision and since, where there is one."""
    head = (
        "advice", "agent", "state", "decided_on", "promised_cents_a_month", "run_before_cents", "runs_before",
        "run_after_cents", "runs_after", "reason",
    )  # fmt: skip
    return Export(
        head,
        [
            (row.label, row.agent_name, row.state, row.decided_on, cents_text(row.month),
             *((cents_text(mean.before), mean.before_runs, cents_text(mean.after), mean.after_runs) if mean
               else (None,) * 4), row.reason)
            for row, mean in rows
        ],
    )  # fmt: skip
