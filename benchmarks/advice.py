"""What Cost optimization costs: the nightly review, its memory, a what-if of a month, and the page.

    python benchmarks/advice.py [--calls 1000000] [--older 0] [--rounds 20]

On a site of its own, SQLite in a temporary folder: so many calls of 20 agents in the last 30 days, five to a run, with
tools and hashes, and `--older` ones before them, in the same tables. The review is timed once, as the first night does
it: it reads every day. Its memory is the highest resident size of its process, measured in a fresh one for a tenth of
the days and for the rest of them, so that what grows with the calls would show. Of the pages it is CPU time, the 95th
percentile over the rounds.
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from figures import note

MOST_SECONDS, MOST_GROWTH, PAGE_MS, WHAT_IF_MS = 60, 1.1, 100, 300
"""Of CPU for a million calls; of memory with all days over that with three."""
CALLS_PER_RUN = 5
CHUNK = 200_000
AGENTS = 20
NOW = datetime.now(UTC).replace(microsecond=0)


def insert(connection: sqlite3.Connection, table: Any, values: dict[str, str], rest: str) -> None:
    """INSERT … SELECT `values`, an expression for each column, and a default of its kind for each that is not named."""
    defaults = {"bigint": "0", "integer": "0", "integer unsigned": "0", "bool": "0", "text": "'[]'"}
    columns = connection.execute(f"PRAGMA table_info({table._meta.db_table})").fetchall()
    chosen = {
        name: values.get(name) or defaults.get(kind.lower(), "''")
        for _, name, kind, required, _, key in columns
        if not key and (required or name in values)
    }
    connection.execute(
        f"INSERT INTO {table._meta.db_table} ({', '.join(chosen)}) SELECT {', '.join(chosen.values())} {rest}"
    )


def fill(path: Path, workspace_id: int, first_agent: int, calls: int, older: int) -> None:
    from agents.models import AgentDay, AgentRunLog, LLMCall, ModelDay, UsageDay, WorkspaceDay
    from agents.models.sums import SUM_COLUMNS

    connection = sqlite3.connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    parts = [(calls, 30, 1), (older, 330, calls + 10)]
    chunks = [
        (min(CHUNK, start + count - first), days, first)
        for count, days, start in parts
        for first in range(start, start + count, CHUNK)
    ]
    for count, days, start in chunks:
        run = f"(i / {CALLS_PER_RUN})"
        turn = f"(i % {CALLS_PER_RUN})"
        # Every run within one day, hours spread over it; the number of a run decides everything about it.
        back = f"(1 + {run} % {days} + {0 if days == 30 else 30})"
        day = f"'{NOW:%Y-%m-%d}', '-' || {back} || ' days'"
        at = f"strftime('%Y-%m-%d %H:%M:%S', {day}, ({run} * 7919 % 70000 + {turn}) || ' seconds')"
        size = f"(1200 + {run} * 31 % 1500 + {turn} * (300 + {run} * 17 % 400))"
        cached = f"(CASE WHEN {turn} > 0 AND {run} % 3 THEN 1024 ELSE 0 END)"
        cost = f"(({size} - {cached}) * 15 + {cached} * 2 + 180 * 60)"
        values = {
            "workspace_id": str(workspace_id),
            "agent_id": f"{first_agent} + {run} % {AGENTS}",
            "call_id": "printf('018%029x', i)",
            "run_id": f"printf('018%029x', {run})",
            "call_index": turn,
            "purpose": "'agent'",
            "provider": "'openai'",
            "model": "'gpt-4o-mini'",
            "request_model": "'gpt-4o-mini'",
            "started_at": at,
            "ended_at": at,
            "received_at": at,
            "day": f"date({day})",
            "status": "CASE WHEN i % 97 = 0 THEN 'error' ELSE 'ok' END",
            "input_tokens": size,
            "output_tokens": f"150 + {run} % 60",
            "cache_read_tokens": cached,
            "usage_basis": "'measured'",
            "cost_basis": "'measured'",
            "cost_microcents": cost,
            "saved_microcents": f"{cached} * 7",
            "prompt_hash": "lower(hex(randomblob(16)))",
            "tool_calls": "json_array(json_array('search', lower(hex(randomblob(16)))))",
            "tags": "'[\"production\"]'",
        }
        numbers = (
            f"FROM (WITH RECURSIVE n(i) AS (SELECT {start} UNION ALL SELECT i + 1 FROM n WHERE i < {start + count - 1})"
            " SELECT i FROM n)"
        )
        insert(connection, LLMCall, values, numbers)
        connection.commit()  # so that the log does not hold all of it
    of_call = {
        "calls": "COUNT(*)",
        "failed_calls": "SUM(status <> 'ok')",
        "estimated_calls": "0",
        "unpriced_calls": "0",
        "local_cache_hits": "0",
    }
    added = {name: of_call.get(name) or f"SUM({name})" for name in SUM_COLUMNS}
    here = {"workspace_id": "workspace_id", "agent_id": "agent_id", "day": "day"}
    table = f"FROM {LLMCall._meta.db_table} GROUP BY"
    run_values = added | here | {"agent_id": "MIN(agent_id)", "day": "MIN(day)", "run_id": "run_id", "status": "'ok'"}
    insert(connection, AgentRunLog, run_values | {"started_at": "MIN(started_at)"}, f"{table} workspace_id, run_id")
    usage = added | here | {name: name for name in ("provider", "model", "status", "effort")}
    insert(connection, UsageDay, usage, f"{table} workspace_id, day, agent_id, provider, model, status, effort")
    insert(connection, AgentDay, added | here, f"{table} workspace_id, day, agent_id")
    of_model = added | {name: name for name in ("workspace_id", "day", "provider", "model", "status")}
    insert(connection, ModelDay, of_model, f"{table} workspace_id, day, provider, model, status")
    insert(connection, WorkspaceDay, added | here | {"runs": "COUNT(DISTINCT run_id)"}, f"{table} workspace_id, day")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


REVIEW = """
import resource, sys, time
import django
django.setup()
from datetime import date
from agents.models import Workspace
from costsite.advice.nightly import review
through, most = date.fromisoformat(sys.argv[1]), int(sys.argv[2])
days = []
began = time.perf_counter()
said = review(through, on_day=lambda where, day, calls: days.append(calls), is_over=lambda: len(days) >= most)
most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(time.perf_counter() - began, time.process_time(), sum(days), most)
"""


class Reviewed(NamedTuple):
    """What a review took."""

    seconds: float
    busy: float
    """Seconds of CPU."""
    calls: int
    megabytes: int
    """At most."""

    def __str__(self) -> str:
        took = f"{self.seconds:6.1f} s, {self.busy:6.1f} s of them CPU"
        return f"{took}, for {self.calls:9,} calls; at most {self.megabytes} MB"


def reviewed(days: int) -> Reviewed:
    """A review that ends after so many days, in a process of its own."""
    through = f"{NOW - timedelta(days=1):%Y-%m-%d}"
    done = subprocess.run(
        [sys.executable, "-c", REVIEW, through, str(days)], capture_output=True, text=True, check=True
    )
    seconds, busy, calls, megabytes = done.stdout.split()
    return Reviewed(float(seconds), float(busy), int(calls), int(megabytes))


def cpu_ms(rounds: int, act: Callable[[], object]) -> list[float]:
    """Of each round, after one for the caches."""
    took = []
    for _ in range(rounds + 1):
        began = time.process_time()
        act()
        took.append(1_000 * (time.process_time() - began))
    return took[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1_000_000, help="of the last 30 days")
    parser.add_argument("--older", type=int, default=0, help="of the eleven months before")
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="costsite-advice-") as folder:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "costsite.settings", "DATABASE_URL": "", "COSTSITE_LOG_LEVEL": "WARNING",
            "COSTSITE_STATE_DIR": folder, "COSTSITE_TIME_ZONE": "UTC", "COSTSITE_DEBUG": "false",
        }  # fmt: skip
        import django

        django.setup()
        from django.contrib.auth.models import User
        from django.core.management import call_command
        from django.test import Client

        from agents.models import Agent, LedgerState, Workspace

        call_command("migrate", verbosity=0)
        workspace = Workspace.objects.create(slug="acme", name="Acme")
        LedgerState.current()
        agents = [
            Agent.objects.create(workspace=workspace, slug=f"agent-{number}", last_run_at=NOW)
            for number in range(AGENTS)
        ]
        began = time.perf_counter()
        fill(Path(folder) / "costsite.sqlite3", workspace.pk, agents[0].pk, arguments.calls, arguments.older)
        print(f"{arguments.calls + arguments.older:,} calls made in {time.perf_counter() - began:.0f} s")

        some, rest = reviewed(3), reviewed(99)
        print(f"review of 3 days:   {some}")
        print(f"review of the rest: {rest}")
        print(f"review again:       {reviewed(99)}")
        read = some.calls + rest.calls
        of = f"{read:,} calls, of {arguments.calls + arguments.older:,}"
        seconds = MOST_SECONDS * arguments.calls / 1_000_000
        note(f"first review, {of}", some.busy + rest.busy, "s of CPU", at_most=seconds)
        note(
            f"memory of that review, {rest.calls:,} calls", rest.megabytes, "MB", beside=f"{some.calls:,} calls",
            baseline=some.megabytes, at_most=MOST_GROWTH,
        )  # fmt: skip

        client = Client()
        client.force_login(User.objects.create_superuser("root"))
        what_if = f"/optimization/what-if/?agent={agents[0].pk}&model=anthropic/claude-haiku-4-5"
        for name, address, limit in (
            ("Cost optimization", "/optimization/", PAGE_MS),
            ("what-if of a month", what_if, WHAT_IF_MS),
        ):

            def load(address: str = address) -> None:
                assert client.get(address, headers={"host": "localhost"}).status_code == 200

            took = sorted(cpu_ms(arguments.rounds, load))
            p95 = took[max(0, -(-95 * len(took) // 100) - 1)]
            print(f"{name}: {statistics.median(took):.0f} ms, 95 % within {p95:.0f} ms")
            note(f"{name}, {arguments.calls + arguments.older:,} calls: p95", p95, "ms", at_most=limit)
        print(f"this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    checkout = str(Path(__file__).resolve().parent.parent)
    sys.path.insert(0, checkout)
    os.environ["PYTHONPATH"] = os.pathsep.join([checkout, os.environ.get("PYTHONPATH", "")])
    main()
