"""What writing to PostgreSQL costs beside the least it could, and what eight writers at once do to each other.

    python benchmarks/postgresql_writers.py [--rounds 7] [--batches 20] [--size 100] [--writers 8]

A throwaway server (`tests/postgresql.py`: fsync off, so that no disk hides what is compared). Two comparisons, the ways
of each taking turns within every round:

- Eight processes at once write batches of 18 agents under 20 budgets, each call under a lease: with everything; the
  same without rollups, leases and budget counters ("calls, runs"); and rows of calls alone, of the same events. Then
  the books are read: no deadlock, no lost update. Target: everything at least 60 % of calls and runs.
- One process writes finished rows to the calls' table: by the ledger's statement, which also tells which were there
  already, or by COPY. Target: at least 55 % of COPY.

Shown are microseconds of CPU time per call, clients and server together, and of elapsed time; medians over the rounds,
and the median of the ratios within each. On a machine that does other things too, CPU time is the one to believe. About
two minutes.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from figures import note

ELSEWHERE = "elsewhere"
"""The workspace in which sums are left out."""


class Cost(NamedTuple):
    """Microseconds per call."""

    cpu: float
    elapsed: float


# ── a writer ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Writer:
    """In a process of its own, told by lines of standard input: WAY BATCHES SIZE; makes its batches, says "ready",
    writes them at the next line, and says what CPU time it took, in nanoseconds.
    """

    def __init__(self) -> None:
        import django

        django.setup()
        from ingest_with_budgets import take_leases

        from agents.models import Agent, Workspace

        self.workspace, self.elsewhere = Workspace.objects.order_by("pk")
        self.agent = Agent.objects.earliest("pk")
        self.leases = take_leases()

    def serve(self) -> None:
        print("ready", flush=True)
        for line in sys.stdin:
            way, batches, size = line.split()
            write = self.prepared(way.replace("_", " "), int(batches), int(size))
            gc.collect()
            print("ready", flush=True)
            sys.stdin.readline()
            begun = time.process_time_ns()
            for one in write:
                one()
            print(time.process_time_ns() - begun, flush=True)

    def prepared(self, way: str, batches: int, size: int) -> list[Callable[[], object]]:
        from ingest import batch_in, finished_rows
        from ingest_with_budgets import body_of

        read = [batch_in(body_of(size, self.leases)) for _ in range(batches)]
        if way == "everything":
            return [lambda batch=batch: self.record(self.workspace, batch) for batch in read]  # type: ignore[misc]
        if way == "calls, runs":
            return [lambda batch=batch: self.without_sums(batch) for batch in read]  # type: ignore[misc]
        if way == "calls alone":
            return [lambda batch=batch: self.insert(finished_rows(batch, self.agent.pk)) for batch in read]  # type: ignore[misc]
        rows = [finished_rows(batch, self.agent.pk) for batch in read]
        if way == "insert":
            return [lambda each=each: self.insert(each) for each in rows]  # type: ignore[misc]
        ready = [[tuple(map(_as_copied, row)) for row in each] for each in rows]
        return [lambda each=each: self.copy(each) for each in ready]  # type: ignore[misc]

    def record(self, workspace: Any, batch: Any) -> None:
        from ingest import NOW

        from agents import ledger

        ledger.record(workspace, batch.events, client=None, received_at=NOW)

    def without_sums(self, batch: Any) -> None:
        from agents.rollups import Postings
        from agents.signals import usage_recorded
        from budgets.receivers import count_usage

        post, Postings.post_rollups = Postings.post_rollups, lambda *_: []  # type: ignore[method-assign]
        usage_recorded.disconnect(count_usage)
        try:
            self.record(self.elsewhere, batch)
        finally:
            Postings.post_rollups = post  # type: ignore[method-assign]
            usage_recorded.connect(count_usage)

    def insert(self, rows: list[tuple[Any, ...]]) -> None:
        from django.db import transaction

        from agents import arrivals
        from agents.models import LLMCall
        from agents.storage import storage

        with transaction.atomic():
            storage().insert(LLMCall, arrivals.COLUMNS, "call_id", rows)

    def copy(self, rows: list[tuple[Any, ...]]) -> None:
        from django.db import connection, transaction

        from agents import arrivals
        from agents.models import LLMCall

        into = f"COPY {LLMCall._meta.db_table} ({', '.join(arrivals.COLUMNS)}) FROM STDIN"
        with transaction.atomic(), connection.cursor() as cursor, cursor.cursor.copy(into) as copying:
            for row in rows:
                copying.write_row(row)


def _as_copied(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | tuple) else value


class Team:
    """Writers that work at the same time."""

    def __init__(self, size: int, server: Path) -> None:
        self.server = server
        self.writers = [
            subprocess.Popen(
                [sys.executable, __file__, "--writer"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(size)
        ]
        self._answers()

    def take_turn(self, way: str, batches: int, size: int) -> Cost:
        self._say(f"{way.replace(' ', '_')} {batches} {size}")
        self._answers()
        begun, server = time.perf_counter(), server_nanoseconds(self.server)
        self._say("go")
        clients = sum(map(int, self._answers()))
        elapsed = time.perf_counter() - begun
        calls = batches * size * len(self.writers)
        cpu = clients + server_nanoseconds(self.server) - server
        return Cost(cpu / 1_000 / calls, elapsed * 1e6 / calls)

    def go_home(self) -> None:
        for writer in self.writers:
            assert writer.stdin is not None
            writer.stdin.close()
        for writer in self.writers:
            writer.wait(timeout=60)

    def _say(self, line: str) -> None:
        for writer in self.writers:
            assert writer.stdin is not None
            writer.stdin.write(line + "\n")
            writer.stdin.flush()

    def _answers(self) -> list[str]:
        answers = [writer.stdout.readline().strip() for writer in self.writers if writer.stdout is not None]
        if not all(answers):
            raise SystemExit("A writer ended; what it said is above.")
        return answers


def server_nanoseconds(data: Path) -> int:
    """On a processor, of all processes of the server that live. The writers' sessions last as long as they do."""
    leader = int((data / "postmaster.pid").read_text().split()[0])
    processes = [leader, *map(int, Path(f"/proc/{leader}/task/{leader}/children").read_text().split())]
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in processes)


# ── the run ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def compare(team: Team, bases: dict[str, float], other: str, arguments: argparse.Namespace) -> None:
    """`bases`: what `other` is held against, with the target; 0 for none."""
    took: dict[str, list[Cost]] = defaultdict(list)
    ways = [*bases, other]
    for turn in range(arguments.rounds + 1):
        for way in random.sample(ways, len(ways)):
            cost = team.take_turn(way, arguments.batches, arguments.size)
            if turn:  # the first warms up
                took[way].append(cost)
    for way in ways:
        print(
            f"  {way:<12} {statistics.median(cost.cpu for cost in took[way]):7.1f} µs of CPU a call"
            f" {statistics.median(cost.elapsed for cost in took[way]):7.1f} µs elapsed"
        )
    for base, target in bases.items():
        for name in Cost._fields:
            ratios = [getattr(one, name) / getattr(two, name) for one, two in zip(took[base], took[other], strict=True)]
            print(
                f"  {other}, of {base}, by {name}: {statistics.median(ratios):.1%}"
                f"   ({min(ratios):.1%} to {max(ratios):.1%}{f'; target {target:.0%}' if target else ''})"
            )
            mine, theirs = (statistics.median(getattr(cost, name) for cost in took[way]) for way in (other, base))
            writers = f"{arguments.writers} writers" if other == "everything" else "one writer"
            clock = "CPU" if name == "cpu" else "by the clock"
            note(
                f"{other}, {writers}, beside {base}: {clock}", mine, "µs a call", beside=f"share of {base}",
                baseline=theirs, ratio=statistics.median(ratios), at_least=target or None,
            )  # fmt: skip


def read_the_books() -> None:
    """Say what went wrong among the writers; end with 1 when anything did."""
    from django.core.management import call_command
    from django.db import connection

    from agents.models import LLMCall

    # Calls that were written alone belong to no run: they go before the others are counted.
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        (deadlocks,) = cursor.fetchone()
        cursor.execute(
            f"DELETE FROM {LLMCall._meta.db_table} AS c WHERE NOT EXISTS"
            " (SELECT FROM agents_agentrunlog AS r WHERE r.workspace_id = c.workspace_id AND r.run_id = c.run_id)"
        )
    written = LLMCall.objects.exclude(workspace__slug=ELSEWHERE).count()
    print(f"  {deadlocks} deadlocks among the writers; {written:,} calls in the books:")
    if deadlocks:
        raise SystemExit(1)
    call_command("rebuild_rollups", "--check", "--workspace", "acme")
    call_command("rebuild_budget_periods", "--check")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=20, help="per round, way and writer")
    parser.add_argument("--size", type=int, default=100, help="events per batch")
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--writer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costsite.settings")
    if arguments.writer:
        Writer().serve()
        return
    import tempfile

    from ingest import prepare

    from tests.postgresql import running_server, why_not

    if missing := why_not():
        print(f"Not measured: {missing}.")
        return
    with running_server() as server, tempfile.TemporaryDirectory(prefix="costsite-writers-") as folder:
        os.environ |= {"DATABASE_URL": server.url, "COSTSITE_LOG_LEVEL": "WARNING", "COSTSITE_STATE_DIR": folder}
        prepare(Path(folder))
        import django

        django.setup()
        from ingest import batch_in
        from ingest_with_budgets import body_of, set_budgets

        record_first(batch_in(body_of(90, {})))
        set_budgets()
        print(f"{arguments.writers} writers, batches of {arguments.size}; medians of {arguments.rounds} rounds:")
        team = Team(arguments.writers, server.data)
        compare(team, {"calls, runs": 0.60, "calls alone": 0}, "everything", arguments)
        team.go_home()
        read_the_books()
        print(f"one writer, finished rows, batches of {arguments.size}:")
        team = Team(1, server.data)
        compare(team, {"copy": 0.55}, "insert", arguments)
        team.go_home()


def record_first(batch: Any) -> None:
    """So that every agent is known, in both workspaces."""
    from ingest import NOW
    from msgspec.structs import replace

    from agents import ledger
    from agents.models import Workspace

    Workspace.objects.create(slug=ELSEWHERE, name="Elsewhere")
    for workspace in Workspace.objects.all():
        events = [(at, replace(event, call_id=uuid4().hex, run_id=uuid4().hex)) for at, event in batch.events]
        ledger.record(workspace, events, client=None, received_at=NOW + timedelta(seconds=1))


if __name__ == "__main__":
    here = Path(__file__).resolve().parent
    sys.path[:0] = [str(here.parent), str(here)]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(here.parent), os.environ.get("PYTHONPATH", "")])
    main()
