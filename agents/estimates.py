"""What a call probably used when nobody can tell: a stream that broke off, an await that was cancelled."""

from __future__ import annotations

from statistics import median_low
from typing import Final, NamedTuple

from django.db import connection

from agents.models import AgentRunLog, LLMCall

RECENT_RUNS: Final = 50
RECENT_CALLS: Final = 500


class Typical(NamedTuple):
    """Medians over an agent's recent measured calls of one model, in tokens; zeros where it made none."""

    calls: int
    input_tokens: int
    output_tokens: int


def typical_usage(workspace_id: int, agent_id: int, model: str) -> Typical:
    """What the agent's calls of the model used lately: of its last 50 runs, at most 500 calls.

    Through the runs, because they are indexed by agent and time: the cost is bounded however old or busy the site.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT c.input_tokens, c.output_tokens
            FROM (
                SELECT run_id FROM {AgentRunLog._meta.db_table}
                WHERE agent_id = %s AND calls > 0 ORDER BY started_at DESC, id DESC LIMIT {RECENT_RUNS}
            ) AS recent
            JOIN {LLMCall._meta.db_table} AS c ON c.workspace_id = %s AND c.run_id = recent.run_id
            WHERE c.model = %s AND c.status = 'ok' AND NOT c.provisional AND NOT c.served_from_local_cache
            LIMIT {RECENT_CALLS}
            """,
            [agent_id, workspace_id, model],
        )
        rows = cursor.fetchall()
    if not rows:
        return Typical(0, 0, 0)
    return Typical(len(rows), median_low(row[0] for row in rows), median_low(row[1] for row in rows))
