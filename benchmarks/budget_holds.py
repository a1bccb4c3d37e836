"""Whether a budget holds under many processes, what it costs in trips to the site, and what it leaves unspent.

    python benchmarks/budget_holds.py [--processes 8] [--threads 8] [--budgets 5 50 500] [--kill server|clients]
                                      [--on-unreachable allow|block]

A site of its own (SQLite, the site's web service), one agent with a `hard` budget of so many times a call's hold, and
processes whose threads call a model that takes 20 ms and uses between a third and all of what each call holds. They
stop when they are refused for good. Printed: what was spent of the limit by the site's own books, calls, trips to the
site for each call, what was left, and when the first refusal came. The last column is what may at most be over.

`--kill server` kills the web service when a quarter of the budget is spent, and again at half of it. Clients block
while the site cannot be asked; with `--on-unreachable allow` they go on, and what the site's books say was spent
outside of any lease is what may be over.

`--kill clients` kills half of the processes when a third is spent, and reads then, from the rows of leases, what
those of the killed hold: what may be over. What they had not reported yet is kept from the site until all others are
done, who spend what the leases of the killed free at their end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures import note

if TYPE_CHECKING:
    from tests.end_to_end.live_site import LiveSite

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

INPUT_CHARACTERS = 2_000
MAX_OUTPUT_TOKENS = 200
# gpt-4o: 2.50 USD a million tokens in, 10 USD out. 2,000 characters and one message's frame are at most 2,032 tokens.
HOLD_MICROCENTS = 2_032 * 250 + MAX_OUTPUT_TOKENS * 1_000
CALL_SECONDS = 0.02
LONGEST_SECONDS = 240
MOST_TRIPS = 0.1
"""To the site for each call, of eight processes on a thousand times a hold."""


def worker(url: str, key: str, folder: str, threads: int, seed: int, unreachable: str, patience: str) -> None:
    """One client process: calls until it is refused for good, then says how it went as a line of JSON."""
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, HumanMessage
    from langchain_core.outputs import ChatGeneration, ChatResult

    from langchain_plugin import BudgetExceeded, CostCallbackHandler

    class Model(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "benchmark"

        def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
            return {
                "ls_provider": "openai",
                "ls_model_name": "gpt-4o",
                "ls_model_type": "chat",
                "ls_max_tokens": MAX_OUTPUT_TOKENS,
            }

        def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
            time.sleep(CALL_SECONDS)
            share = dice.uniform(1 / 3, 1)
            counts = {"input_tokens": int(2_000 * share), "output_tokens": int(MAX_OUTPUT_TOKENS * share)}
            usage: Any = counts | {"total_tokens": sum(counts.values())}
            return ChatResult(generations=[ChatGeneration(message=AIMessage("Yes.", usage_metadata=usage))])

    dice = random.Random(seed)
    costs = CostCallbackHandler(
        agent="busy",
        api_key=key,
        url=url,
        state_dir=folder,
        held_wait_seconds=3 if patience == "short" else 20,
        on_unreachable=unreachable,
    )
    assert costs.reporter.leases is not None
    allowance = costs.reporter.leases.of("busy")
    with allowance.lock:
        allowance.lock.wait_for(lambda: allowance.answers > 0, 20)
    made = [0] * threads
    first_refusal: list[float] = []
    kinds: dict[str, int] = {}
    deadline = time.monotonic() + LONGEST_SECONDS

    def call(number: int) -> None:
        model, prompt = Model(), [HumanMessage("x" * INPUT_CHARACTERS)]
        while time.monotonic() < deadline:
            try:
                model.invoke(prompt, {"callbacks": [costs]})
                made[number] += 1
            except BudgetExceeded as refusal:
                if refusal.kind == "unreachable":
                    time.sleep(0.5)
                    continue
                first_refusal.append(time.time())
                kinds[refusal.kind] = kinds.get(refusal.kind, 0) + 1
                if patience == "long" and refusal.kind == "held":
                    continue  # what killed processes hold is free again when their leases end
                return

    running = [threading.Thread(target=call, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    asked = allowance.answers
    costs.flush(30)
    said = {"calls": sum(made), "trips": asked, "first_refusal": min(first_refusal, default=0.0), "kinds": kinds}
    said["client_id"] = costs.reporter._spool.client_id.hex
    print(json.dumps(said), flush=True)


def measure(times_hold: int, processes: int, threads: int, kill: str, unreachable: str, *, impatient: bool) -> None:
    from tests.end_to_end.live_site import LiveSite

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        site = LiveSite(folder)
        site.prepare()
        limit_cents = -(-times_hold * HOLD_MICROCENTS // 1_000_000)
        limit = limit_cents * 1_000_000
        site.manage("shell", "-v0", "-c", SET_UP.format(limit_cents=limit_cents))
        site.start()
        began = time.time()
        patience = "short" if impatient else "long" if kill == "clients" else "some"
        clients = [
            # A folder each: a killed one's events are not sent by another.
            subprocess.Popen(
                [sys.executable, __file__, "--worker", site.url, site.key, str(folder / "clients" / str(seed)),
                 str(threads), str(seed), unreachable, patience],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT,
            )
            for seed in range(processes)
        ]  # fmt: skip
        killed: list[int] = []
        held: dict[str, int] = {}
        if kill == "server":
            for share in (1 / 4, 1 / 2):
                wait_until_spent(folder, limit * share)
                site.kill()
                time.sleep(3 if unreachable == "allow" else 1)
                site.start()
        elif kill == "clients":
            wait_until_spent(folder, limit / 3)
            while len(killed) < processes // 2:
                killed.append(kill_who_holds(folder, clients))
            held = held_by_client(folder)
            time.sleep(1)  # a renewal that was under way may have been granted to a process that is gone
            for client_id, microcents in held_by_client(folder).items():
                held[client_id] = max(microcents, held.get(client_id, 0))
        said = [json.loads(out) for client in clients if (out := client.communicate()[0])]
        for seed in killed:
            flush(site, folder / "clients" / str(seed))
        books = json.loads(site.manage("shell", "-v0", "-c", BOOKS))
        site.stop()
    survivors = {one["client_id"] for one in said}
    at_most = sum(microcents for client_id, microcents in held.items() if client_id not in survivors)
    if unreachable == "allow":
        at_most = books["outside"]
    calls = sum(one["calls"] for one in said)
    trips = sum(one["trips"] for one in said)
    refused = [one["first_refusal"] for one in said if one["first_refusal"]]
    over = max(0, books["spent"] - limit)
    print(
        f"{processes:>2} x {threads}, budget {times_hold:>4} holds{', killing ' + kill if kill else '':17}"
        f" spent {books['spent'] / limit:7.2%}  over {over / 1e6:8.4f}¢  calls {books['calls']:>6,}"
        f"  trips a call {trips / max(1, calls):6.3f}"
        f"  left {max(0, limit - books['spent']) / HOLD_MICROCENTS:5.1f} holds"
        f"  first refusal {min(refused, default=began) - began:5.1f} s  counters {books['counters']}"
        f"  at most {at_most / 1e6:.4f}¢: {'holds' if over <= at_most else 'BROKEN'}",
        flush=True,
    )
    what = f"{processes} x {threads}, {times_hold:,} holds{', killing the ' + kill if kill else ''}"
    note(f"{what}: overspend", over / 1e6, "¢", at_most=at_most / 1e6)
    note(f"{what}: spent", books["spent"] / limit, "of the limit")
    fleet = times_hold >= 1_000 and processes == 8
    note(f"{what}: trips", trips / max(1, calls), "a call", at_most=MOST_TRIPS if fleet else None)


def in_the_database(folder: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(f"file:{folder / 'costsite.sqlite3'}?mode=ro", uri=True, timeout=20)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def wait_until_spent(folder: Path, microcents: float) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        ((spent,),) = in_the_database(folder, "SELECT COALESCE(SUM(spent_microcents), 0) FROM budgets_budgetperiod")
        if spent >= microcents:
            return
        time.sleep(0.02)
    raise SystemExit("Clients did not spend that much in time; the machine is too busy for this benchmark.")


def kill_who_holds(folder: Path, clients: list[subprocess.Popen[bytes]]) -> int:
    """Kill a process while a lease of its holds something, and give its number. One that is starved of processors may
    have none yet, or have spent all of it.
    """
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        for number, client in enumerate(clients):
            if client.poll() is not None:
                continue
            client.send_signal(signal.SIGSTOP)  # what it holds grows no smaller while it is looked at
            held = held_by_client(folder)
            spools = (folder / "clients" / str(number)).glob("*/*-*.jsonl")
            if any(held.get(spool.name.partition(".")[0].replace("-", ""), 0) > 0 for spool in spools):
                client.kill()
                client.wait()
                return number
            client.send_signal(signal.SIGCONT)
        time.sleep(0.02)
    raise SystemExit("No client held anything in time; the machine is too busy for this benchmark.")


def held_by_client(folder: Path) -> dict[str, int]:
    """Microcents that leases hold, by the id of their process: rows as they are now."""
    rows = in_the_database(
        folder,
        "SELECT client_id, SUM(granted_microcents - used_microcents) FROM budgets_spendlease"
        " WHERE granted_microcents > used_microcents GROUP BY client_id",
    )
    return {str(client_id): int(held) for client_id, held in rows}


def flush(site: LiveSite, folder: Path) -> None:
    """Send what a killed client left in its spool, as the next process would."""
    environment = os.environ | {
        "COSTSITE_URL": site.url,
        "COSTSITE_API_KEY": site.key,
        "COSTSITE_STATE_DIR": str(folder),
    }
    subprocess.run(
        [sys.executable, "-m", "langchain_plugin.cli", "flush"], env=environment, cwd=ROOT, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


SET_UP = """
from agents.models import Agent, Workspace
from budgets.policies import By, set_budget
agent = Agent.objects.create(workspace=Workspace.objects.get(slug="acme"), slug="busy")
set_budget(agent, by=By(command="benchmark"), limit_cents={limit_cents})
"""
BOOKS = """
import json
from django.db.models import Sum
from agents.models import LLMCall
from budgets.counters import differences
total = LLMCall.objects.aggregate(spent=Sum("cost_microcents"))["spent"]
outside = LLMCall.objects.filter(lease_id=None).aggregate(spent=Sum("cost_microcents"))["spent"]
counters = "WRONG" if list(differences()) else "right"
calls = LLMCall.objects.count()
print(json.dumps({"spent": total or 0, "outside": outside or 0, "calls": calls, "counters": counters}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--budgets", type=int, nargs="+", default=[5, 50, 500], help="in holds of one call")
    parser.add_argument("--kill", choices=["", "server", "clients"], default="")
    parser.add_argument("--on-unreachable", choices=["allow", "block"], default="block")
    parser.add_argument("--impatient", action="store_true", help="give up soon where others hold the rest")
    parser.add_argument("--worker", nargs=7, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        url, key, folder, threads, seed, unreachable, patience = options.worker
        worker(url, key, folder, int(threads), int(seed), unreachable, patience)
        return
    for times_hold in options.budgets:
        measure(
            times_hold,
            options.processes,
            options.threads,
            options.kill,
            options.on_unreachable,
            impatient=options.impatient,
        )


if __name__ == "__main__":
    main()
