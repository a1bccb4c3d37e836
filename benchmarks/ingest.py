"""What an event costs the server, beside the least a database can do with it.

    python benchmarks/ingest.py [--rounds 9] [--batches 12] [--size 100] [--calls 1000000]

Three ways to write the same calls to SQLite take turns within each round, each on a database of its own that grows
alike: `executemany` of finished rows into the calls' table with its indexes (nothing else: no runs, no sums, no
prices); the ledger in this process; and POST /api/v1/events to the site's own server. Every batch is one transaction
and one disk sync. Shown is CPU time per call, medians over the rounds, and the share of raw that it makes. For HTTP
it is the server's CPU time: the process tree's, from the kernel.

The same again beside a million older calls, whose indexes no longer fit a few pages. About two minutes in all.

Then an account of the ledger's and the request's parts, timed one by one in further rounds.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

CALLS_PER_RUN = 5
NOW = datetime.now(UTC).replace(microsecond=0)

serial = count(1)


def ident() -> UUID:
    """In order of time, as the plugin's are."""
    return UUID(int=(0x0190_0000_0000 << 80) | (7 << 76) | (next(serial) << 20) | 0x8000)


def batch_of(size: int, *, run_events: bool) -> Any:
    """A batch as the plugin sends it: runs of five calls of three agents on three models, tags and tools included."""
    from langchain_plugin import wire

    events: list[Any] = []
    number = 0
    while len(events) < size:
        run_id, number = ident(), number + 1
        agent = ("support-bot", "researcher", "nightly-report")[number % 3]
        model = ("gpt-4o-mini", "claude-sonnet-4-5", "gpt-4o")[number % 3]
        provider = "anthropic" if model.startswith("claude") else "openai"
        run = {"run_id": run_id, "agent": agent}
        started_at = NOW - timedelta(seconds=90, microseconds=number)
        calls = [
            {
                **run, "type": "llm_call", "call_id": ident(), "langchain_run_id": ident(), "call_index": index,
                "step": "model", "provider": provider, "request_model": model, "response_model": model,
                "started_at": started_at + timedelta(milliseconds=137 * index),
                "ended_at": started_at + timedelta(milliseconds=137 * index + 100),
                "input_tokens": 3_000 + 37 * index, "output_tokens": 180 + index, "cache_read_tokens": 2_048,
                "reasoning_tokens": 64, "max_output_tokens": 4_096, "prompt_messages": 6 + index,
                "prompt_hash": "0123456789abcdef0123456789abcdef", "tags": ["production"],
                "tool_calls": [["search", "fedcba9876543210"]] if index < 4 else [], "thread_id": f"thread-{number}",
            }
            for index in range(CALLS_PER_RUN)
        ]  # fmt: skip
        if run_events:
            events.append({**run, "type": "run_started", "started_at": started_at, "langchain_run_id": ident()})
        events += calls
        if run_events:
            ended_at = started_at + timedelta(seconds=1)
            events.append({**run, "type": "run_ended", "started_at": started_at, "ended_at": ended_at, "status": "ok"})
    facts = {"batch_id": ident(), "client_id": UUID(int=1), "sent_at": datetime.now(UTC), "events": events[:size]}
    return wire.EventBatch.model_validate(facts)


def calls_in(batch: Any) -> int:
    return sum(event.type == "llm_call" for event in batch.events)


# ── the three ways ───────────────────────────────────────────────────────────────────────────────────────────────────


class Raw:
    """sqlite3 alone: the rows are ready, the statement is prepared once."""

    def __init__(self, path: Path) -> None:
        from django.conf import settings

        from agents import arrivals
        from agents.models import LLMCall

        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.executescript(settings.DATABASES["default"]["OPTIONS"]["init_command"])
        self.connection.execute("PRAGMA foreign_keys = ON")  # as Django opens every connection
        places = ", ".join("?" * len(arrivals.COLUMNS))
        columns = ", ".join(arrivals.COLUMNS)
        self.insert = f"INSERT INTO {LLMCall._meta.db_table} ({columns}) VALUES ({places})"

    def write(self, rows: list[tuple[Any, ...]]) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(self.insert, rows)
        self.connection.execute("COMMIT")


def finished_rows(batch: Any, agent_id: int) -> list[tuple[Any, ...]]:
    """The rows the ledger would insert for a batch."""
    from agents.arrivals import call_arrival
    from agents.price_books import price_book
    from agents.storage import storage

    book, store = price_book(1), storage()
    rows = []
    for index, event in enumerate(batch.events):
        if event.type == "llm_call":
            call = call_arrival(index, event, timedelta(0), NOW, NOW)
            call.price(book)
            rows.append(call.row(1, agent_id, None, store.time(NOW), store.day(NOW.date()), store))
    return rows


class Server:
    """The site's own web server, on a database of its own."""

    def __init__(self, state: Path, port: int, key: str) -> None:
        import httpx

        environment = {**os.environ, "COSTSITE_STATE_DIR": str(state), "COSTSITE_LOG_LEVEL": "WARNING"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "costsite.serve.web", "--host", "127.0.0.1", "--port", str(port),
             "--threads", "8", "--no-access-log"],
            env=environment, stdin=subprocess.PIPE,
        )  # fmt: skip
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=30
        )
        for _ in range(200):
            try:
                self.client.get("/api/v1/agents")
                break
            except httpx.TransportError:
                time.sleep(0.1)
        else:
            raise SystemExit("The server did not start.")

    def post(self, body: bytes) -> None:
        answer = self.client.post("/api/v1/events", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 200, answer.text
        assert not answer.json()["rejected"], answer.text

    def cpu_seconds(self) -> float:
        return sum(_nanoseconds(pid) for pid in _tree(self.process.pid)) / 1e9

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=20)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _tree(int(child))


def _nanoseconds(pid: int) -> int:
    """On a processor, all threads together; finer than the ticks of /proc/<pid>/stat."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat"))


# ── the account ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Account:
    """CPU time inside of named functions, without what other named functions took within them."""

    def __init__(self) -> None:
        self.spent: dict[str, int] = defaultdict(int)
        self._within = [0]

    @contextmanager
    def of(self, *parts: tuple[str, object, str]) -> Iterator[None]:
        plain = [(owner, name, getattr(owner, name)) for _, owner, name in parts]
        for (label, owner, name), (_, _, function) in zip(parts, plain, strict=True):
            setattr(owner, name, self._timed(label, function))
        try:
            yield
        finally:
            for owner, name, function in plain:
                setattr(owner, name, function)

    def _timed(self, label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._within.append(0)
            begun = time.thread_time_ns()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.thread_time_ns() - begun
                self.spent[label] += took - self._within.pop()
                self._within[-1] += took

        return timed


def account(bodies: list[bytes], key: str) -> dict[str, float]:
    """Microseconds per call by part, of requests through the whole application but for the socket."""
    from django.db import connection
    from django.test import Client

    from agents import arrivals, ledger
    from agents.storage import storage
    from costsite.api import authentication, events

    kept, store = Account(), type(storage())
    client = Client(headers={"Authorization": f"Bearer {key}"}, SERVER_NAME="localhost")

    def post(body: bytes) -> None:
        assert client.post("/api/v1/events", data=body, content_type="application/json").status_code == 200

    post(bodies[0])
    calls = sum(body.count(b'"llm_call"') for body in bodies[1:])
    with kept.of(
        ("parse and validate", events, "read_batch"),
        ("find the key", authentication, "find_key"),
        ("note the client", events, "note_client"),
        ("receipt", events, "_receipt"),
        ("ledger: the rest", ledger, "record"),
        ("ledger: settle times", ledger, "call_arrival"),
        ("ledger: price", arrivals.CallArrival, "price"),
        ("ledger: make rows", arrivals.CallArrival, "row"),
        ("ledger: add up", ledger._Batch, "_book"),
        ("ledger: agents", ledger, "agents_named"),
        ("SQL: known calls", store, "find"),
        ("SQL: insert calls", store, "insert"),
        ("SQL: known runs", store, "claim_runs"),
        ("SQL: write runs", store, "save_runs"),
        ("SQL: write rollups", store, "add_up"),
        ("SQL: commit", connection, "_commit"),
    ):
        begun = time.thread_time_ns()
        for body in bodies[1:]:
            post(body)
        total = time.thread_time_ns() - begun
    kept.spent["Django, ninja, test client"] = total - sum(kept.spent.values())
    return {label: spent / calls / 1_000 for label, spent in kept.spent.items() if spent}


# ── the run ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def prepare(state: Path) -> str:
    """A migrated site in `state` with a workspace; its key."""
    code = (
        "import django; django.setup()\n"
        "from django.core.management import call_command; call_command('migrate', verbosity=0)\n"
        "from agents.models import Agent, LedgerState, Workspace; from agents.keys import create_key\n"
        "acme = Workspace.objects.create(slug='acme', name='Acme'); LedgerState.current()\n"
        "Agent.objects.create(workspace=acme, slug='support-bot'); print(create_key(acme)[1])"
    )
    environment = {**os.environ, "COSTSITE_STATE_DIR": str(state)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]


def fill(path: Path, row: tuple[Any, ...], calls: int) -> None:
    """Put `calls` older ones like `row` into the calls' table: five to a run, spread over the year before."""
    from agents import arrivals
    from agents.models import LLMCall

    own = {
        "call_id": "printf('018%029x', i)",
        "run_id": "printf('018%029x', i / 5)",
        "day": f"date('{NOW:%Y-%m-%d}', printf('-%d days', 1 + ({calls} - i) * 365 / {calls}))",
    }
    values = ", ".join(own.get(column, "?") for column in arrivals.COLUMNS)
    given = [value for column, value in zip(arrivals.COLUMNS, row, strict=True) if column not in own]
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {calls})"
            f" INSERT INTO {LLMCall._meta.db_table} ({', '.join(arrivals.COLUMNS)}) SELECT {values} FROM n",
            given,
        )
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def compare(arguments: argparse.Namespace, raw: Raw, server: Server, *, run_events: bool) -> None:
    from agents import ledger
    from agents.models import Agent, Workspace

    workspace, agent = Workspace.objects.get(), Agent.objects.earliest("pk")
    took: dict[str, list[float]] = defaultdict(list)
    for turn in range(arguments.rounds + 1):
        batches = [batch_of(arguments.size, run_events=run_events) for _ in range(arguments.batches)]
        calls = sum(map(calls_in, batches))
        rows = [finished_rows(batch, agent.pk) for batch in batches]
        bodies = [batch.model_dump_json(exclude_defaults=False).encode() for batch in batches]
        ways: dict[str, Callable[[], None]] = {
            "raw executemany": lambda rows=rows: [raw.write(each) for each in rows],  # type: ignore[misc]
            "ledger, in process": lambda batches=batches: [  # type: ignore[misc]
                ledger.record(workspace, list(enumerate(each.events)), client=None, received_at=NOW) for each in batches
            ],
            "HTTP": lambda bodies=bodies: [server.post(body) for body in bodies],  # type: ignore[misc]
        }
        for name in sorted(ways, key=lambda name: hash((name, turn))):
            clock = server.cpu_seconds if name == "HTTP" else time.process_time
            begun = clock()
            ways[name]()
            if turn:  # the first warms up
                took[name].append((clock() - begun) / calls * 1e6)
    share = "70 calls and 30 run events" if run_events else "calls alone"
    print(f"\nbatches of {arguments.size}, {share}: CPU µs per call, median of {arguments.rounds} rounds")
    base = took["raw executemany"]
    for name in ways:
        shares = [one / other for one, other in zip(base, took[name], strict=True)]
        low, high = min(took[name]), max(took[name])
        print(
            f"  {name:<20}{statistics.median(took[name]):>8.1f}   ({low:.1f} to {high:.1f})"
            f"   {statistics.median(shares):>6.0%} of raw"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--batches", type=int, default=12, help="per round and way")
    parser.add_argument("--size", type=int, default=100, help="events per batch")
    parser.add_argument(
        "--calls", type=int, default=1_000_000, help="older ones in the table for the second half; 0: none"
    )
    parser.add_argument("--port", type=int, default=8137)
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="costsite-ingest-") as folder:
        root = Path(folder)
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costsite.settings")
        os.environ["DATABASE_URL"] = ""
        keys = {name: prepare(root / name) for name in ("raw", "ledger", "http")}
        os.environ["COSTSITE_STATE_DIR"] = str(root / "ledger")
        import django

        django.setup()
        logging.getLogger().setLevel(logging.WARNING)
        from agents.models import Agent

        raw = Raw(root / "raw" / "costsite.sqlite3")
        server = Server(root / "http", arguments.port, keys["http"])
        try:
            compare(arguments, raw, server, run_events=False)
            compare(arguments, raw, server, run_events=True)
            if arguments.calls:
                row = finished_rows(batch_of(1, run_events=False), Agent.objects.earliest("pk").pk)[0]
                for name in keys:
                    fill(root / name / "costsite.sqlite3", row, arguments.calls)
                print(f"\nwith {arguments.calls:,} older calls in the table:", end="")
                compare(arguments, raw, server, run_events=False)
        finally:
            server.stop()
        bodies = [
            batch_of(arguments.size, run_events=False).model_dump_json().encode() for _ in range(arguments.batches * 3)
        ]
        print("\nwhere the time of a request goes, CPU µs per call (timing itself adds some):")
        parts = account(bodies, keys["ledger"])
        for label, each in sorted(parts.items(), key=lambda part: -part[1]):
            print(f"  {label:<28}{each:>8.2f}")
        print(f"  {'together':<28}{sum(parts.values()):>8.2f}")


if __name__ == "__main__":
    checkout = str(Path(__file__).resolve().parent.parent)
    sys.path.insert(0, checkout)
    os.environ["PYTHONPATH"] = os.pathsep.join([checkout, os.environ.get("PYTHONPATH", "")])
    main()
