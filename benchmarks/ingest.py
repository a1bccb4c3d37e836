"""What an event costs the server, beside the least a database can do with it.

    python benchmarks/ingest.py [--rounds 9] [--batches 12] [--size 100] [--calls 1000000]

Four ways to write calls to SQLite take turns within each round: `executemany` of finished rows into the calls' table
with its indexes (nothing else: no runs, no sums, no prices); the ledger in this process; the application around it,
from the body to the Receipt, likewise; and POST /api/v1/events to the site's own server. Raw, those in this process,
and the server have a database each. Every batch is one transaction and one disk sync. Shown is CPU time per call,
medians over the rounds, and the share of raw that it makes. For HTTP it is the server's CPU time: the process tree's,
from the kernel.

Then an account of the request's parts, timed one by one in further rounds, and the same four ways again: with the
events of runs among the calls, and beside a million older calls, whose indexes no longer fit a few pages. About two
minutes in all.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import os
import random
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
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4
from wsgiref.util import setup_testing_defaults

from figures import note
from processes import cpu_nanoseconds

CALLS_PER_RUN = 5
LEAST_SHARE = 0.30
"""Of raw, of the site's own server."""
POSTED = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
ASK_AGAIN_SECONDS = 1.1
"""Bodies are made beforehand, and one that is over a minute old is asked for once more: a client's clock may be off."""
NOW = datetime.now(UTC).replace(microsecond=0)

serial = count(1)
seconds = count()


def ident() -> UUID:
    """In order of time, then random, as the plugin's are."""
    return UUID(int=(0x0190_0000_0000 + next(serial) << 80) | (7 << 76) | (2 << 62) | random.getrandbits(62))


def body_of(size: int, *, run_events: bool) -> bytes:
    """A batch as the plugin sends it, packed by its own code: gzip, Unix times, and no field that is at its default.

    Runs of five calls of three agents on three models, tags, tools and hashes included, all begun within a second:
    the next after that of the batch before.
    """
    from langchain_plugin.batch import Batch
    from langchain_plugin.json_lines import to_line

    events: list[dict[str, Any]] = []
    number, second = 0, NOW.timestamp() - 6 * 3_600 + next(seconds)
    while len(events) < size:
        number += 1
        agent = ("support-bot", "researcher", "nightly-report")[number % 3]
        model = ("gpt-4o-mini", "claude-sonnet-4-5", "gpt-4o")[number % 3]
        provider = "anthropic" if model.startswith("claude") else "openai"
        run = {"run_id": ident(), "agent": agent}
        shown = {"thread_id": f"thread-{random.getrandbits(32)}", "tags": ["production"]}
        started_at = second + random.random()
        calls = [
            {
                "type": "llm_call", **run, "call_id": ident(), "langchain_run_id": uuid4(), "call_index": index,
                "provider": provider, "request_model": model,
                "started_at": started_at + 0.137 * index, "ended_at": started_at + 0.137 * index + 0.1, "status": "ok",
                "input_tokens": 3_000 + 37 * index, "output_tokens": 180 + index, "prompt_messages": 6 + index,
                "cache_read_tokens": 2_048, "reasoning_tokens": 64, "step": "model", "max_output_tokens": 4_096,
                **shown, "response_model": model, "prompt_hash": random.randbytes(16).hex(),
                **({"tool_calls": [["search", random.randbytes(16).hex()]]} if index < 4 else {}),
            }
            for index in range(CALLS_PER_RUN)
        ]  # fmt: skip
        if run_events:
            begun = {"started_at": started_at, "langchain_run_id": uuid4(), **shown}
            events.append({"type": "run_started", **run, **begun})
        events += calls
        if run_events:
            ended = {"started_at": started_at, "ended_at": started_at + 1, "status": "ok", "error_type": ""}
            events.append({"type": "run_ended", **run, **ended})
    return Batch(lines=[to_line(event)[:-1] for event in events[:size]]).body(UUID(int=1), {})


def batch_in(body: bytes) -> Any:
    """The batch as the API reads it."""
    from costsite.api.batch import read_batch

    return read_batch(gzip.decompress(body))


def calls_in(batch: Any) -> int:
    from agents.reports import CallReport

    return sum(isinstance(event, CallReport) for _, event in batch.events)


# ── the four ways ────────────────────────────────────────────────────────────────────────────────────────────────────


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
    from agents.reports import CallReport
    from agents.storage import storage

    book, store = price_book(1), storage()
    rows = []
    for index, event in batch.events:
        if isinstance(event, CallReport):
            call = call_arrival(index, event, timedelta(0), NOW, NOW)
            call.price(book)
            call.day = NOW.date()
            rows.append(call.row(1, agent_id, None, store.time(NOW), store))
    return rows


class Application:
    """What the server calls, in this process."""

    def __init__(self, key: str) -> None:
        from costsite.wsgi import application

        self.application = application
        self.key = key
        self.status = ""

    def post(self, body: bytes) -> None:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "POST", "PATH_INFO": "/api/v1/events", "HTTP_AUTHORIZATION": f"Bearer {self.key}",
            "CONTENT_TYPE": POSTED["Content-Type"], "HTTP_CONTENT_ENCODING": POSTED["Content-Encoding"],
            "CONTENT_LENGTH": str(len(body)), "wsgi.input": BytesIO(body), "HTTP_HOST": "localhost",
        }  # fmt: skip
        setup_testing_defaults(environ)
        answer = self.application(environ, self._start)
        content = b"".join(answer)
        answer.close()
        if b'"clock_unsure"' in content:
            time.sleep(ASK_AGAIN_SECONDS)
            self.post(body)
            return
        assert self.status == "200 OK", content

    def _start(self, status: str, _headers: Any, _error: Any = None) -> Any:
        self.status = status


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
        answer = self.client.post("/api/v1/events", content=body, headers=POSTED)
        if b'"clock_unsure"' in answer.content:
            time.sleep(ASK_AGAIN_SECONDS)
            self.post(body)
            return
        assert answer.status_code == 200, answer.text
        assert not answer.json()["rejected"], answer.text

    def cpu_seconds(self) -> float:
        return cpu_nanoseconds(self.process.pid) / 1e9

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=20)


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
    """Microseconds per call by part, of requests through the application."""
    from django.db import connection

    from agents import ledger
    from agents.rollups import Postings
    from agents.storage import storage
    from costsite.api import authentication, events

    kept, store, application = Account(), type(storage()), Application(key)
    application.post(bodies[0])
    calls = sum(calls_in(batch_in(body)) for body in bodies[1:])
    with kept.of(
        ("inflate", events, "read_body"),
        ("parse and validate", events, "read_batch"),
        ("find the key", authentication, "find_key"),
        ("note the client", events, "note_client"),
        ("receipt", events, "_receipt"),
        ("ledger: the rest", ledger, "record"),
        ("ledger: settle times", ledger, "call_arrival"),
        ("ledger: price", ledger._Batch, "_price"),
        ("ledger: make rows", ledger._Batch, "_rows"),
        ("ledger: add up", ledger._Batch, "_book"),
        ("ledger: agents", ledger, "agents_named"),
        ("ledger: zone and price list", store, "ledger_state"),
        ("ledger: zone and price list", ledger, "price_book"),
        ("ledger: runs", ledger._Batch, "_claim_runs"),
        ("ledger: runs", ledger._Batch, "_write_runs"),
        ("ledger: rollups", Postings, "post_rollups"),
        ("SQL: insert calls", store, "insert"),
        ("SQL: known runs", store, "claim_runs"),
        ("SQL: write runs", store, "save_runs"),
        ("SQL: write rollups", store, "add_up"),
        ("SQL: commit", connection, "_commit"),
    ):
        begun = time.thread_time_ns()
        for body in bodies[1:]:
            application.post(body)
        total = time.thread_time_ns() - begun
    kept.spent["Django, ninja"] = total - sum(kept.spent.values())
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


def over(things: list[Any], do: Callable[[Any], object]) -> Callable[[], None]:
    def work() -> None:
        for thing in things:
            do(thing)

    return work


def compare(
    arguments: argparse.Namespace,
    raw: Raw,
    application: Application,
    server: Server,
    *,
    run_events: bool,
    older: int = 0,
) -> None:
    from agents import ledger
    from agents.models import Agent, Workspace

    workspace, agent = Workspace.objects.get(), Agent.objects.earliest("pk")
    took: dict[str, list[float]] = defaultdict(list)
    for turn in range(arguments.rounds + 1):
        bodies = [body_of(arguments.size, run_events=run_events) for _ in range(arguments.batches)]
        others = [body_of(arguments.size, run_events=run_events) for _ in range(arguments.batches)]
        batches = [batch_in(body) for body in bodies]
        calls = sum(map(calls_in, batches))
        rows = [finished_rows(batch, agent.pk) for batch in batches]
        ways: dict[str, Callable[[], None]] = {
            "raw executemany": over(rows, raw.write),
            "ledger, in process": over(
                batches, lambda batch: ledger.record(workspace, batch.events, client=None, received_at=NOW)
            ),
            "application": over(others, application.post),
            "HTTP": over(bodies, server.post),
        }
        gc.collect()
        for name in random.sample(list(ways), len(ways)):
            clock = server.cpu_seconds if name == "HTTP" else time.process_time
            begun = clock()
            ways[name]()
            if turn:  # the first warms up
                took[name].append((clock() - begun) / calls * 1e6)
    share = "70 calls and 30 run events" if run_events else "calls alone"
    what = f"{share}, beside {older:,} older calls" if older else share
    print(f"\nbatches of {arguments.size}, {share}: CPU µs per call, median of {arguments.rounds} rounds")
    base = took["raw executemany"]
    for name in ways:
        shares = [one / other for one, other in zip(base, took[name], strict=True)]
        low, high = min(took[name]), max(took[name])
        print(
            f"  {name:<20}{statistics.median(took[name]):>8.1f}   ({low:.1f} to {high:.1f})"
            f"   {statistics.median(shares):>6.1%} of raw"
        )
        if name != "raw executemany":
            note(
                f"{name}, {what}", statistics.median(took[name]), "CPU µs a call", beside="share of raw executemany",
                baseline=statistics.median(base), ratio=statistics.median(shares),
                at_least=LEAST_SHARE if name == "HTTP" else None,
            )  # fmt: skip


def show_account(arguments: argparse.Namespace, key: str) -> None:
    parts = account([body_of(arguments.size, run_events=False) for _ in range(arguments.batches * 5)], key)
    print("\nwhere the time of the application goes, CPU µs per call (timing itself adds some):")
    for label, each in sorted(parts.items(), key=lambda part: -part[1]):
        print(f"  {label:<28}{each:>8.2f}")
    print(f"  {'together':<28}{sum(parts.values()):>8.2f}")


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
        os.environ |= {"DATABASE_URL": "", "COSTSITE_LOG_LEVEL": "WARNING"}
        keys = {name: prepare(root / name) for name in ("raw", "ledger", "http")}
        os.environ["COSTSITE_STATE_DIR"] = str(root / "ledger")
        import django

        django.setup()
        from agents.models import Agent
        from costsite.serve.web import OBJECTS_BETWEEN_COLLECTIONS

        gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)  # as the server has it

        raw = Raw(root / "raw" / "costsite.sqlite3")
        application = Application(keys["ledger"])
        server = Server(root / "http", arguments.port, keys["http"])
        try:
            compare(arguments, raw, application, server, run_events=False)
            show_account(arguments, keys["ledger"])
            compare(arguments, raw, application, server, run_events=True)
            if arguments.calls:
                row = finished_rows(batch_in(body_of(1, run_events=False)), Agent.objects.earliest("pk").pk)[0]
                for name in keys:
                    fill(root / name / "costsite.sqlite3", row, arguments.calls)
                print(f"\nwith {arguments.calls:,} older calls in the table:", end="")
                compare(arguments, raw, application, server, run_events=False, older=arguments.calls)
        finally:
            server.stop()


if __name__ == "__main__":
    checkout = str(Path(__file__).resolve().parent.parent)
    sys.path.insert(0, checkout)
    os.environ["PYTHONPATH"] = os.pathsep.join([checkout, os.environ.get("PYTHONPATH", "")])
    main()
