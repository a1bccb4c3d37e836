"""What a call probably used when nobody can tell: a stream that broke off, an await that was cancelled."""

from __future__ import annotations

from collections import defaultdict
from statistics import median_low
from typing import Final, NamedTuple

from agents.recent_calls import recent_calls

RECENT_RUNS: Final = 50


class Typical(NamedTuple):
    """Medians over an agent's recent measured calls of one model, in tokens; zeros where it made none."""

    calls: int
    input_tokens: int
    output_tokens: int


NOTHING_KNOWN: Final = Typical(0, 0, 0)


def typical_usage(workspace_id: int, agent_id: int) -> dict[str, Typical]:
    """What the agent's calls used lately, by model: those of its last 50 runs (`recent_calls`).

    All models at once, since a batch may name a thousand.
    """
    measured: dict[str, list[tuple[int, int]]] = defaultdict(list)
    columns = ("model", "input_tokens", "output_tokens", "status", "provisional", "served_from_local_cache")
    for model, input_tokens, output_tokens, status, provisional, from_local_cache in recent_calls(
        workspace_id, agent_id, columns, runs=RECENT_RUNS
    ):
        if status == "ok" and not provisional and not from_local_cache:
            measured[model].append((input_tokens, output_tokens))
    return {
        model: Typical(len(rows), median_low(row[0] for row in rows), median_low(row[1] for row in rows))
        for model, rows in measured.items()
    }
