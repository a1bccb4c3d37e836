"""Whether memory stays flat under steady load: web, background work, and the agents' processes.

    python benchmarks/soak.py [--minutes 30] [--rate 50] [--processes 2]

A site as people run it (`manage.py serve`, SQLite), and agents in processes of their own: runs of four calls under
budgets, with growing prompts, tools, tags and threads, some calls that fail and some streams that are left half-way, at
a steady rate over all of them together. Somebody signed in reads every page in turn, one every two seconds, and
Prometheus the gauges.

Every minute a line says the memory of each, of a service the sum over its processes: its own, and beside it what is
resident of files, which the system takes back when it needs it. Of the web service that is the database, of which a
connection maps 256 MB; it grows with the database. The verdict is on its own, by medians: the last third of the time
with the third before. The first third is for what is read once and kept. At the end the books are read: every call is
in the ledger once.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])

from figures import note  # noqa: E402  (found once the checkout is on the path, as a script or from a test)
from processes import tree  # noqa: E402

if TYPE_CHECKING:
    from tests.end_to_end.live_site import LiveSite

MOST_GROWTH = 1.1
"""Of the last third's median over that of the third before. Not less: each connection to SQLite keeps up to 64 MB of
the database at hand, which grows all the while.
"""
CALLS_PER_RUN = 4
THREADS = 4
SAMPLE_SECONDS = 5.0
PAGE_SECONDS = 2.0
PAGES = (
    "/", "/?by=agent&range=90-days", "/?range=24-hours", "/analytics/", "/analytics/1/", "/workspaces/",
    "/workspaces/acme/", "/runs/", "/runs/?status=error", "/runs/1/", "/runs/export.csv", "/budgets/", "/budgets/1/",
    "/prices/", "/keys/", "/inbox/", "/optimization/", "/admin/agents/agent/", "/admin/agents/agentrunlog/", "/metrics",
    "/readyz",
)  # fmt: skip
NAMES = ("web", "background", "client")
METRICS_TOKEN = "only-prometheus-knows"
PROMETHEUS = {"Authorization": f"Bearer {METRICS_TOKEN}"}
SET_UP = """
from django.contrib.auth import get_user_model
from agents.models import Agent, Workspace
from budgets.policies import By, set_budget
acme, by = Workspace.objects.get(slug="acme"), By(command="benchmark")
for of in (*(Agent.objects.create(workspace=acme, slug=f"agent-{number}") for number in range(4)), acme, None):
    set_budget(of, by=by, limit_cents=10**8)
get_user_model().objects.create_superuser("root", password="benchmark-1")
"""


# ── the agents ───────────────────────────────────────────────────────────────────────────────────────────────────────


def be_a_client(number: int, rate: float) -> None:
    """Make calls at so many a second until standard input ends; then say how many, as a line of JSON."""
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
    from langchain_core.runnables import RunnableLambda

    from langchain_plugin import CostCallbackHandler

    class Model(BaseChatModel):
        """Answers after some milliseconds; one call in fifty fails."""

        @property
        def _llm_type(self) -> str:
            return "benchmark"

        def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
            return {"ls_provider": "openai", "ls_model_name": "gpt-4o-mini", "ls_model_type": "chat",
                    "ls_max_tokens": 400}  # fmt: skip

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            time.sleep(random.uniform(0.005, 0.05))
            if random.random() < 0.02:
                raise ConnectionError("the provider hung up")
            counts = {"input_tokens": sum(len(one.content) for one in messages) // 4, "output_tokens": 180}
            usage: Any = counts | {"total_tokens": sum(counts.values())}
            calls = [{"name": "search", "args": {"q": str(random.random())}, "id": "1", "type": "tool_call"}]
            message = AIMessage("Yes.", usage_metadata=usage, tool_calls=calls)
            return ChatResult(generations=[ChatGeneration(message=message)])

        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            for word in ("Yes, ", "that ", "is ", "so."):
                yield ChatGenerationChunk(message=AIMessageChunk(content=word))

    stop = threading.Event()
    made = [0] * THREADS
    costs = [CostCallbackHandler(agent=f"agent-{turn}") for turn in range(THREADS)]

    def work(thread: int) -> None:
        model, due = Model(), time.monotonic() + random.random()
        while not stop.is_set():

            def run(question: str, config: Any) -> None:
                prompts: list[Any] = [HumanMessage(question)]
                for index in range(CALLS_PER_RUN):
                    made[thread] += 1
                    if index == 3 and random.random() < 0.1:
                        next(iter(model.stream(prompts, config)))  # and left there
                        continue
                    try:
                        prompts.append(model.invoke(prompts, config))
                    except ConnectionError:
                        return
                    prompts.append(HumanMessage("and then? " * random.randint(10, 200)))

            handler = costs[thread]
            RunnableLambda(run).invoke(
                f"{random.random()} " + "How much is the fish? " * random.randint(1, 50),
                {"callbacks": [handler], "tags": ["soak"], "metadata": {"thread_id": f"thread-{random.random()}"}},
            )
            due += CALLS_PER_RUN * THREADS / rate
            stop.wait(max(0.0, due - time.monotonic()))

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for one in threads:
        one.start()
    sys.stdin.read()
    stop.set()
    for one in threads:
        one.join()
    for handler in costs:
        handler.flush(60)
    print(json.dumps({"calls": sum(made), "lost": sum(costs[0].reporter.losses.values())}), flush=True)


# ── what is measured ─────────────────────────────────────────────────────────────────────────────────────────────────


class Memory(NamedTuple):
    """MB resident."""

    own: float
    of_files: float


def memory_of(pid: int) -> Memory:
    """Of a process and all it started. What forked processes share counts for each."""
    resident = of_files = 0
    for one in tree(pid):
        try:
            pages = Path(f"/proc/{one}/statm").read_text().split()
        except FileNotFoundError:
            continue  # it ended meanwhile
        resident, of_files = resident + int(pages[1]), of_files + int(pages[2])
    page = os.sysconf("SC_PAGE_SIZE") / 1e6
    return Memory((resident - of_files) * page, of_files * page)


def services(serve: int) -> dict[str, int]:
    """The processes that the supervisor started, by what they are."""
    found = {}
    for task in Path(f"/proc/{serve}/task").iterdir():
        for child in (task / "children").read_text().split():
            line = Path(f"/proc/{child}/cmdline").read_bytes()
            for name in ("web", "background"):
                if f"costsite.serve.{name}".encode() in line:
                    found[name] = int(child)
    return found


class Reader(threading.Thread):
    """Somebody signed in, who reads one page after the other."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url, self.read, self.wrong = url, 0, defaultdict[str, int](int)
        self.over = threading.Event()

    def run(self) -> None:
        import httpx

        with httpx.Client(base_url=self.url, timeout=60, headers={"Origin": self.url}) as client:
            token = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get("/login/").text)[0]
            form = {"username": "root", "password": "benchmark-1", "csrfmiddlewaretoken": token}
            assert client.post("/login/", data=form).status_code == 302
            for page in cycle(PAGES):
                if self.over.wait(PAGE_SECONDS):
                    return
                try:
                    answer = client.get(page, headers=PROMETHEUS if page == "/metrics" else {})
                except httpx.HTTPError as error:
                    self.wrong[f"{page}: {type(error).__name__}"] += 1
                    continue
                self.read += 1
                if answer.status_code != 200:
                    self.wrong[f"{page}: {answer.status_code}"] += 1


def third(samples: list[tuple[float, float]], minutes: float, which: int) -> float:
    """Median MB of one third of the time."""
    within = [mb for at, mb in samples if which * minutes / 3 <= at < (which + 1) * minutes / 3]
    return statistics.median(within)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--rate", type=float, default=50, help="calls a second, over all processes")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--client", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        be_a_client(int(options.client[0]), float(options.client[1]))
        return
    from tests.end_to_end.live_site import LiveSite

    with tempfile.TemporaryDirectory(prefix="costsite-soak-") as name:
        folder = Path(name)
        site = LiveSite(folder)
        site.prepare()
        site.manage("migrate", "--database", "queue", "-v0")
        site.manage("shell", "-v0", "-c", SET_UP)
        with (folder / "serve.log").open("ab") as log:
            serve = subprocess.Popen(
                site.manage_command("serve", "--port", str(site.port), "--no-access-log"),
                cwd=ROOT, env=site.environment() | {"COSTSITE_METRICS_TOKEN": METRICS_TOKEN},
                stdin=subprocess.PIPE, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            while not site._answers():
                assert serve.poll() is None, (folder / "serve.log").read_text()
                time.sleep(0.2)
            soak(site, serve.pid, options.minutes, options.rate, options.processes)
        finally:
            serve.send_signal(signal.SIGTERM)
            serve.wait(timeout=120)


def soak(site: LiveSite, serve: int, minutes: float, rate: float, processes: int) -> None:
    environment = os.environ | {
        "COSTSITE_URL": site.url,
        "COSTSITE_API_KEY": site.key,
        "COSTSITE_STATE_DIR": str(site.state_dir / "clients"),
    }
    clients = [
        subprocess.Popen(
            [sys.executable, __file__, "--client", str(number), str(rate / processes)],
            cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for number in range(processes)
    ]  # fmt: skip
    reader = Reader(site.url)
    reader.start()
    memory: dict[str, list[tuple[float, float]]] = defaultdict(list)
    began, next_line = time.monotonic(), 0.0
    print(f"{'minute':>6}{'web':>16}{'background':>16}{'client':>16}   MB of its own (and of files)", flush=True)
    while (at := (time.monotonic() - began) / 60) < minutes:
        found = services(serve)
        of = {name: memory_of(found[name]) for name in ("web", "background")}
        of["client"] = memory_of(clients[0].pid)
        for name in NAMES:
            memory[name].append((at, of[name].own))
        if at >= next_line:
            next_line += 1
            shown = "".join(f"{f'{of[name].own:.1f} ({of[name].of_files:.0f})':>16}" for name in NAMES)
            print(f"{at:>6.0f}{shown}", flush=True)
        time.sleep(min(SAMPLE_SECONDS, minutes * 60 / 12))
    for client in clients:
        assert client.stdin is not None
        client.stdin.close()
    said = [json.loads(client.stdout.read()) for client in clients]  # type: ignore[union-attr]
    for client in clients:
        client.wait(timeout=60)
    reader.over.set()
    reader.join(60)
    made = sum(one["calls"] for one in said)
    recorded = int(
        site.manage("shell", "-v0", "-c", "from agents.models import LLMCall; print(LLMCall.objects.count())")
    )
    print(f"{made:,} calls made, {recorded:,} in the ledger; counted as lost: {sum(one['lost'] for one in said):,}")
    print(site.manage("rebuild_rollups", "--check").strip(), site.manage("rebuild_budget_periods", "--check").strip())
    print(f"{reader.read:,} pages read; not answered with 200: {dict(reader.wrong) or 'none'}")
    print(f"web's log: {(site.state_dir / 'serve.log').stat().st_size:,} bytes")
    flat = made == recorded and not reader.wrong
    for name in NAMES:
        before, last = third(memory[name], minutes, 1), third(memory[name], minutes, 2)
        figure = note(
            f"memory of {name}, last third of {minutes:.0f} minutes", last, "MB", beside="the third before",
            baseline=before, at_most=MOST_GROWTH,
        )  # fmt: skip
        flat &= bool(figure.met)
        verdict = "flat" if figure.met else "GROWS"
        print(f"{name:<12}{before:8.1f} MB, then {last:8.1f} MB: {last / before:.3f} times, {verdict}")
    print("flat" if flat else "NOT as it should be")
    sys.exit(not flat)


if __name__ == "__main__":
    main()
