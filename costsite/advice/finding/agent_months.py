"""What the page shows of each agent's month, so that it need not add up days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from math import ceil
from typing import Final

from agents.models import Workspace
from costsite.advice.finding.months import Month
from costsite.advice.finding.usage import Caching, Usage
from costsite.advice.models import AgentMonth, AgentUsualRun

EFFORTS_KEPT: Final = 12


def agent_months(
    workspace: Workspace,
    through: date,
    months: Mapping[int, Month],
    usage: Mapping[int, Sequence[Usage]],
    caching: Mapping[int, Sequence[Caching]],
) -> list[AgentMonth]:
    """A row for each agent that ran in the month, not saved."""
    usual = dict(AgentUsualRun.objects.filter(workspace=workspace).values_list("agent_id", "runs"))
    rows = []
    for agent_id, month in months.items():
        cached = caching.get(agent_id, ())
        efforts = [
            (
                model, effort, spend.calls, spend.cost_microcents, spend.priced_calls, spend.output_tokens,
                spend.reasoning_tokens, spend.failed_calls,
            )
            for _, model, effort, spend in usage.get(agent_id, ())
            if effort
        ]  # fmt: skip
        rows.append(
            AgentMonth(
                workspace=workspace,
                agent_id=agent_id,
                through=through,
                usual_runs=usual.get(agent_id, 0),
                input_tokens=sum(one.input_tokens for one in cached),
                cache_read_tokens=sum(one.read_tokens for one in cached),
                cache_reported=any(one.reported for one in cached),
                cache_saved_microcents=sum(one.saved_microcents for one in cached),
                efforts=sorted(efforts, key=lambda row: -row[3])[:EFFORTS_KEPT],
                growth=[
                    (number, sum(bins.values()), quantile(bins, 0.5), quantile(bins, 0.9))
                    for number, bins in sorted(month.growth.items())
                ],
                compactable=sorted(month.compactable.items()),
                **{
                    name: month.sums[name]
                    for name in (
                        "runs", "calls", "cost_microcents", "repeated_prompts", "repeated_microcents", "compactions",
                        "compaction_saved_microcents",
                    )
                },
            )
        )  # fmt: skip
    return rows


def quantile(bins: Mapping[int, int], share: float) -> int:
    """Tokens below which `share` of the calls lie, by the nearest rank, within 5 % of the true one: `scan.size_bin`."""
    wanted = max(1, ceil(share * sum(bins.values())))
    for size, count in sorted(bins.items()):
        wanted -= count
        if wanted <= 0:
            return round(2 ** (size / 8)) if size else 0
    return 0
