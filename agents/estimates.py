"""What a call probably used when nobody can tell: a stream that broke off, an await that was cancelled."""

from __future__ import annotations

from collections import defaultdict
from statistics import median_low
from typing import Final, NamedTuple

from django.db import connection

from agents.models import AgentRunLog, LLMCall

RECENT_RUNS: Final = 50
RECENT_CALLS: Final = 2_000


class Typical(NamedTuple):
    """Medians over an agent's recent measured calls of one model, in tokens; zeros where it made none."""

    calls: int
    input_tokens: int
    output_tokens: int


NOTHING_KNOWN: Final = Typical(0, 0, 0)


def typical_usage(workspace_id: int, agent_id: int) -> dict[str, Typical]:
    """What the agent's calls used lately, by model: of its last 50 runs, at most 2,000 calls are looked at.

    Through the runs, because they are indexed by agent and time: the cost is bounded however long a run, and however
    old or busy the site. All models at once, since a batch may name a thousand.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT c.model, c.input_tokens, c.output_tokens, c.status, c.provisional, c.served_from_local_cache
            FROM (
                SELECT run_id FROM {AgentRunLog._meta.db_table}
                WHERE agent_id = %s AND calls > 0 ORDER BY started_at DESC, id DESC LIMIT {RECENT_RUNS}
            ) AS recent
            JOIN {LLMCall._meta.db_table} AS c ON c.workspace_id = %s AND c.run_id = recent.run_id
            LIMIT {RECENT_CALLS}
            """,
            [agent_id, workspace_id],
        )
        measured: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for model, input_tokens, output_tokens, status, provisional, from_local_cache in cursor.fetchall():
            if status == "ok" and not provisional and not from_local_cache:
                measured[model].append((input_tokens, output_tokens))
    return {
        model: Typical(len(rows), median_low(row[0] for row in rows), median_low(row[1] for row in rows))
        for model, rows in measured.items()
    }
