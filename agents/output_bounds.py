"""How long an agent's answers get, for calls that set no maximum themselves."""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from django.db import connection

from agents.models import AgentRunLog, LLMCall

RECENT_RUNS: Final = 200
RECENT_CALLS: Final = 2_000
LEAST_TOKENS: Final = 4_096
"""What providers took for the maximum of an answer before models said more: no bound is below it."""


def output_bounds(workspace_id: int, agent_id: int) -> dict[str, int]:
    """Tokens by request model: twice the 99th percentile of its recent answers, and never under `LEAST_TOKENS`.

    Of the agent's last 200 runs, at most 2,000 calls: found by index, so the cost is bounded at any traffic.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT c.request_model, c.output_tokens
            FROM (
                SELECT run_id FROM {AgentRunLog._meta.db_table}
                WHERE agent_id = %s AND calls > 0 ORDER BY started_at DESC, id DESC LIMIT {RECENT_RUNS}
            ) AS recent
            JOIN {LLMCall._meta.db_table} AS c ON c.workspace_id = %s AND c.run_id = recent.run_id
            WHERE NOT c.served_from_local_cache
            LIMIT {RECENT_CALLS}
            """,
            [agent_id, workspace_id],
        )
        lengths: dict[str, list[int]] = defaultdict(list)
        for model, tokens in cursor.fetchall():
            lengths[model].append(tokens)
    return {model: max(LEAST_TOKENS, 2 * _percentile_99(tokens)) for model, tokens in lengths.items()}


def _percentile_99(numbers: list[int]) -> int:
    """The smallest number that at least 99 of 100 do not exceed."""
    return sorted(numbers)[-(-len(numbers) * 99 // 100) - 1]
