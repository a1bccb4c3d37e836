"""How long an agent's answers get, for calls that set no maximum themselves."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from agents.recent_calls import recent_calls

RECENT_RUNS: Final = 200
LEAST_TOKENS: Final = 4_096
"""What providers took for the maximum of an answer before models said more: no bound is below it."""


def output_bounds(workspace_id: int, agent_id: int) -> dict[str, int]:
    """Tokens by request model: twice the 99th percentile of its recent answers, and never under `LEAST_TOKENS`.

    By the calls of its last 200 runs (`recent_calls`).
    """
    lengths: dict[str, list[int]] = defaultdict(list)
    columns = ("request_model", "output_tokens", "served_from_local_cache")
    for model, tokens, from_local_cache in recent_calls(workspace_id, agent_id, columns, runs=RECENT_RUNS):
        if not from_local_cache:
            lengths[model].append(tokens)
    return {model: max(LEAST_TOKENS, 2 * _percentile_99(tokens)) for model, tokens in lengths.items()}


def _percentile_99(numbers: list[int]) -> int:
    """The smallest number that at least 99 of 100 do not exceed."""
    return sorted(numbers)[-(-len(numbers) * 99 // 100) - 1]
