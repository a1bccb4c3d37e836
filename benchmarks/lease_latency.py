"""How long a lease takes while a SQLite site is busy with everything else.

    python benchmarks/lease_latency.py [--seconds 60] [--calls 200000]

A site of its own with so many calls in the ledger; beside the leases that are timed run, all the while: the
background service (qcluster and its tick), `rebuild_rollups` and `rebuild_budget_periods` one after the other,
somebody who saves agents in the admin, and four clients that report batches of 100 as fast as they are taken. Leases
are asked for by four threads over kept connections, as processes of agents do, of ten agents under budgets of their
own, the workspace and the site. Printed: the latency's median, 99th percentile and maximum, first of a site with
nothing else to do, in the same run, then of the busy one; what the others did meanwhile; and every error of a lock.
Target: p99 under 1 s, no error.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from figures import note

if TYPE_CHECKING:
    import httpx

    from tests.end_to_end.live_site import LiveSite

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])

AGENTS = [f"agent-{number}" for number in range(10)]
SET_UP = """
from django.contrib.auth import get_user_model
from agents.models import Agent, Workspace
from budgets.policies import By, set_budget
acme, by = Workspace.objects.get(slug="acme"), By(command="benchmark")
for of in (*(Agent.objects.create(workspace=acme, slug=name) for name in {agents}), acme, None):
    set_budget(of, by=by, limit_cents=10**8)
get_user_model().objects.create_superuser("root", password="benchmark-1")
"""


def http(site: LiveSite) -> httpx.Client:
    import httpx

    return httpx.Client(base_url=site.url, headers={"Authorization": f"Bearer {site.key}"}, timeout=60)


class Asking:
    """Leases, one after another on four threads, each timed."""

    def __init__(self, site: LiveSite, until: float) -> None:
        self.site, self.until = site, until
        self.took: list[float] = []
        self.answers: Counter[int] = Counter()

    def run(self) -> None:
        threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _ask(self, number: int) -> None:
        client_id = uuid4()
        with http(self.site) as client:
            turn = number
            while time.monotonic() < self.until:
                turn += 1
                body = {"agent": AGENTS[turn % len(AGENTS)], "client_id": str(client_id), "least_microcents": 400_000}
                began = time.monotonic()
                answer = client.post("/api/v1/leases", json=body)
                self.took.append(time.monotonic() - began)
                self.answers[answer.status_code] += 1
                time.sleep(0.05)

    def percentile(self, percent: int) -> float:
        """Seconds."""
        took = sorted(self.took)
        return took[min(len(took) - 1, len(took) * percent // 100)]

    def __str__(self) -> str:
        took = [self.percentile(percent) * 1_000 for percent in (50, 99, 100)]
        return (
            f"{len(self.took):>6,} leases   median {took[0]:7.1f} ms   p99 {took[1]:7.1f} ms"
            f"   at most {took[2]:7.1f} ms   answers {dict(self.answers)}"
        )


@contextmanager
def all_the_while(*works: Callable[[], str], errors: list[str]) -> Iterator[Counter[str]]:
    """Do each work again and again on a thread of its own; how often each was done, by what it says."""
    done: Counter[str] = Counter()
    stop = threading.Event()

    def run(work: Callable[[], str]) -> None:
        while not stop.is_set():
            try:
                done[work()] += 1
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}"[:300])
                time.sleep(0.2)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def reporting(site: LiveSite, number: int) -> Callable[[], str]:
    from ingest import POSTED

    from langchain_plugin.batch import Batch
    from langchain_plugin.json_lines import to_line

    client, client_id = http(site), UUID(int=number + 1)

    def report() -> str:
        at = time.time()
        events = [
            {
                "type": "llm_call", "run_id": uuid4(), "agent": AGENTS[(number + index // 5) % len(AGENTS)],
                "call_id": uuid4(), "provider": "openai", "request_model": "gpt-4o-mini", "started_at": at,
                "ended_at": at, "input_tokens": 3_000, "output_tokens": 180, "tags": ["production"],
            }
            for index in range(100)
        ]  # fmt: skip
        body = Batch(lines=[to_line(event)[:-1] for event in events]).body(client_id, {})
        answer = client.post("/api/v1/events", content=body, headers=POSTED)
        answer.raise_for_status()
        return "batches"

    return report


def saving(site: LiveSite) -> Callable[[], str]:
    """Somebody signed in, who saves one agent's form after the other."""
    import httpx

    client = httpx.Client(base_url=site.url, timeout=60, headers={"Origin": site.url})
    form = client.get("/login/").text
    signed_in = client.post(
        "/login/", data={"username": "root", "password": "benchmark-1", "csrfmiddlewaretoken": _token(form)}
    )
    assert signed_in.status_code == 302, signed_in.text[:500]
    turn = iter(range(1, 10**9))

    def save() -> str:
        number = next(turn)
        page = f"/admin/agents/agent/{number % len(AGENTS) + 1}/change/"
        shown = client.get(page)
        shown.raise_for_status()
        data = {
            "csrfmiddlewaretoken": _token(shown.text), "name": f"Agent {number}", "active": "on", "effort": "",
            "default_model": "", "monthly_budget_cents": str(10**8 + number),
            "initial-monthly_budget_cents": re.findall(
                r'name="initial-monthly_budget_cents" value="(\d*)"', shown.text
            )[0],
        }  # fmt: skip
        saved = client.post(page, data=data)
        assert saved.status_code == 302, saved.text[:2_000]
        return "admin saves"

    return save


def _token(page: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert found is not None, page[:2_000]
    return found[1]


def rebuilding(site: LiveSite) -> Callable[[], str]:
    turn = iter(range(10**9))

    def rebuild() -> str:
        name = ("rebuild_rollups", "rebuild_budget_periods")[next(turn) % 2]
        site.manage(name)
        return name

    return rebuild


@contextmanager
def background_service(site: LiveSite) -> Iterator[None]:
    with (site.state_dir / "background.log").open("ab") as log:
        service = subprocess.Popen(
            [sys.executable, "-m", "costsite.serve.background"], cwd=ROOT, env=site.environment(),
            stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        service.send_signal(signal.SIGTERM)
        try:
            service.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(service.pid, signal.SIGKILL)


def fill(site: LiveSite, calls: int) -> None:
    """Put so many older calls into the ledger, by its own code."""
    code = f"""
import datetime, uuid
from agents import ledger
from agents.models import Workspace
from langchain_plugin import wire
acme = Workspace.objects.get(slug="acme")
now = datetime.datetime.now(datetime.UTC)
for number in range({calls} // 1000):
    at = now - datetime.timedelta(minutes=7 * number)
    ledger.record(acme, [(index, wire.LLMCall(
        type="llm_call", call_id=uuid.uuid4(), run_id=uuid.uuid4(), agent={AGENTS}[index % 10], provider="openai",
        request_model="gpt-4o-mini", started_at=at, ended_at=at, input_tokens=3000, output_tokens=180,
    )) for index in range(1000)], client=None, received_at=now)
"""
    site.manage("shell", "-v0", "-c", code)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--calls", type=int, default=200_000, help="older ones in the ledger")
    options = parser.parse_args()
    from tests.end_to_end.live_site import LiveSite

    with tempfile.TemporaryDirectory() as folder:
        site = LiveSite(Path(folder))
        site.prepare()
        site.manage("migrate", "--database", "queue", "-v0")
        site.manage("shell", "-v0", "-c", SET_UP.format(agents=AGENTS))
        fill(site, options.calls)
        site.start()
        idle = Asking(site, time.monotonic() + options.seconds / 4)
        idle.run()
        errors: list[str] = []
        works = [*(reporting(site, number) for number in range(4)), saving(site), rebuilding(site)]
        with background_service(site), all_the_while(*works, errors=errors) as done:
            busy = Asking(site, time.monotonic() + options.seconds)
            busy.run()
        counters = site.manage("rebuild_budget_periods", "--check").strip()
        site.stop()
        logs = "\n".join(path.read_text(errors="replace") for path in Path(folder).glob("*.log"))
    locked = len(re.findall(r"(?i)database is locked|held the ledger for|locked out", logs + "\n".join(errors)))
    print(f"idle   {idle}\nbusy   {busy}")
    note(
        "a lease while everything else goes on: p99", busy.percentile(99) * 1_000, "ms", beside="an idle site",
        baseline=idle.percentile(99) * 1_000, at_most=1_000, limits_value=True,
    )  # fmt: skip
    note("errors of a lock meanwhile", locked, "errors", at_most=0)
    print(f"meanwhile: {', '.join(f'{count:,} {what}' for what, count in done.items())}")
    print(f"errors of locks: {locked}; other errors: {len(errors)} {Counter(errors).most_common(3)}; {counters}")


if __name__ == "__main__":
    main()
