"""What budgets add to an event's cost at the server.

    python benchmarks/ingest_with_budgets.py [--rounds 15] [--batches 12] [--size 100]

Batches of calls of 18 agents go through the application, from the body to the Receipt, in this process, to a
database of its own: with 20 active budgets, those of each agent, the workspace and the site, and with none. Both take
turns within each round; shown are medians of CPU time per call, and of the ratios. Once more with a lease named by each
call, as under `hard` budgets, whose use the same transaction raises. Target: at most 1.15 times.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from uuid import UUID, uuid4

from figures import note
from ingest import NOW, Application, ident, prepare, seconds

MOST_TIMES = 1.15
AGENTS = [f"agent-{number}" for number in range(18)]
MODEL = ("openai", "gpt-4o-mini")


def body_of(size: int, leases: dict[str, str]) -> bytes:
    """A batch as the plugin sends it: runs of five calls, the agents in turn."""
    from langchain_plugin.batch import Batch
    from langchain_plugin.json_lines import to_line

    lines = []
    second = NOW.timestamp() - 3_600 + next(seconds)
    for number in range(size):
        agent = AGENTS[number // 5 % len(AGENTS)]
        if number % 5 == 0:
            run_id = ident()
        event = {
            "type": "llm_call", "run_id": run_id, "agent": agent, "call_id": ident(), "langchain_run_id": uuid4(),
            "call_index": number % 5, "provider": MODEL[0], "request_model": MODEL[1], "response_model": MODEL[1],
            "started_at": second + number / size, "ended_at": second + number / size + 0.1, "input_tokens": 3_000,
            "output_tokens": 180, "cache_read_tokens": 2_048, "prompt_messages": 6, "step": "model",
            "tags": ["production"], "prompt_hash": random.randbytes(16).hex(),
        }  # fmt: skip
        if agent in leases:
            event["lease_id"] = leases[agent]
        lines.append(to_line(event)[:-1])
    return Batch(lines=lines).body(UUID(int=1), {})


def set_budgets() -> None:
    from agents.models import Workspace
    from budgets.policies import By, set_budget

    by, workspace = By(command="benchmark"), Workspace.objects.earliest("pk")
    for of in (*workspace.agents.filter(slug__in=AGENTS), workspace, None):
        set_budget(of, by=by, limit_cents=10**9)


def take_leases() -> dict[str, str]:
    from agents.models import Agent
    from budgets.enforcement import BudgetEnforcementService, Permit

    leases = {}
    for name in AGENTS:
        permit = BudgetEnforcementService().lease(Agent.objects.filter(slug=name).earliest("pk"), uuid4(), least=10**9)
        assert isinstance(permit, Permit)
        assert permit.lease is not None
        leases[name] = str(permit.lease.lease_id)
    return leases


def compare(arguments: argparse.Namespace, application: Application, leases: dict[str, str]) -> None:
    from budgets.models import BudgetPolicy

    took: dict[str, list[float]] = defaultdict(list)
    for turn in range(arguments.rounds + 1):
        for name in random.sample(["none", "20 budgets"], 2):
            BudgetPolicy.objects.update(archived_at=NOW if name == "none" else None)
            named = leases if name != "none" else {}
            bodies = [body_of(arguments.size, named) for _ in range(arguments.batches)]
            gc.collect()
            begun = time.process_time()
            for body in bodies:
                application.post(body)
            if turn:  # the first warms up
                calls = arguments.batches * arguments.size
                took[name].append((time.process_time() - begun) / calls * 1e6)
    ratios = [one / other for one, other in zip(took["20 budgets"], took["none"], strict=True)]
    print(
        f"  none {statistics.median(took['none']):6.1f} µs a call"
        f"   20 budgets{' with leases' if leases else '':12} {statistics.median(took['20 budgets']):6.1f} µs"
        f"   {statistics.median(ratios):5.3f} times   ({min(ratios):.3f} to {max(ratios):.3f})"
    )
    note(
        f"batches with 20 budgets{' and 18 leases' if leases else ''}", statistics.median(took["20 budgets"]),
        "CPU µs a call", beside="no budget", baseline=statistics.median(took["none"]), ratio=statistics.median(ratios),
        at_most=MOST_TIMES,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batches", type=int, default=12, help="per round and way")
    parser.add_argument("--size", type=int, default=100, help="events per batch")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="costsite-budgets-") as folder:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costsite.settings")
        os.environ |= {"DATABASE_URL": "", "COSTSITE_LOG_LEVEL": "WARNING", "COSTSITE_STATE_DIR": folder}
        key = prepare(Path(folder))
        import django

        django.setup()
        application = Application(key)
        application.post(body_of(len(AGENTS) * 5, {}))
        set_budgets()
        print(f"batches of {arguments.size}: CPU time, median of {arguments.rounds} rounds")
        compare(arguments, application, {})
        compare(arguments, application, take_leases())


if __name__ == "__main__":
    checkout = str(Path(__file__).resolve().parent.parent)
    sys.path.insert(0, checkout)
    os.environ["PYTHONPATH"] = os.pathsep.join([checkout, os.environ.get("PYTHONPATH", "")])
    main()
