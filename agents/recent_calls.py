"""An agent's newest calls, however old or busy the site."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from django.db import connection

from agents.models import AgentRunLog, LLMCall

RECENT_CALLS: Final = 2_000


def recent_calls(
    workspace_id: int, agent_id: int, columns: Sequence[str], *, runs: int, before: datetime | None = None
) -> list[tuple[Any, ...]]:
    """`columns` of the calls of the agent's last `runs` runs, at most `RECENT_CALLS` of them. `before`: of runs that
    began before it alone.

    Through the runs, because they are indexed by agent and time. No condition on the calls: with one, the limit would
    bound what is found and not what is looked at, and one long run of calls that do not match would be read whole.
    """
    begun = " AND started_at < %s" if before else ""
    names = ", ".join(f"c.{column}" for column in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT {names}
            FROM (
                SELECT run_id FROM {AgentRunLog._meta.db_table}
                WHERE agent_id = %s AND calls > 0{begun} ORDER BY started_at DESC, id DESC LIMIT {runs}
            ) AS recent
            JOIN {LLMCall._meta.db_table} AS c ON c.workspace_id = %s AND c.run_id = recent.run_id
            LIMIT {RECENT_CALLS}
            """,
            [agent_id, *([connection.ops.adapt_datetimefield_value(before)] if before else []), workspace_id],
        )
        return list(cursor.fetchall())
