"""What a budget costs the agent that runs under it: the decision, the whole callback, and one event loop.

    python benchmarks/budget_decision.py [--rounds 15] [--calls 200]

1. The decision of a live lease: hold a call's worst case, and put its cost in the place of the hold; CPU time of the
   caller's thread, beside that of a call without a budget. Target: under 20 µs.
2. The callback with a lease around `model.invoke`, beside LangChain's own UsageMetadataCallbackHandler: what each adds
   to the CPU time of the caller's thread. Target: at most 1.5 times.
3. 64 `ainvoke` at once on one loop, of which five fit the budget: how long the loop stood still at most, beside the
   same 64 without the callback. Target: never over 50 ms.

A receiver in another process gives the leases and takes the batches. Medians over rounds in which the ways take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from figures import note
from handler_overhead import InstantModel, added, compare, invokes, receiver
from langchain_core.messages import BaseMessage, HumanMessage

from langchain_plugin import BudgetExceeded, CostCallbackHandler
from langchain_plugin.request import Request
from langchain_plugin.run_tree import OpenCall, OpenRun
from langchain_plugin.wire import TokenCounts

CENT = 1_000_000
PLACES = 5
KEY = "cs_0000000000_benchmark"
PROMPT: list[BaseMessage] = [HumanMessage("x" * 200)]


def handler(url: str, folder: Path, agent: str) -> CostCallbackHandler:
    """With the answer to its first question for a lease in hand. The receiver gives by the agent's name."""
    costs = CostCallbackHandler(agent=agent, api_key=KEY, url=url, state_dir=folder, held_wait_seconds=0)
    assert costs.reporter.leases is not None
    allowance = costs.reporter.leases.of(agent)
    with allowance.lock:
        assert allowance.lock.wait_for(lambda: allowance.answers > 0, 60), "the receiver gave no lease"
    return costs


# ── 1. the decision ──────────────────────────────────────────────────────────────────────────────────────────────────


def decide(costs: CostCallbackHandler, agent: str, calls: int) -> float:
    """Microseconds a call."""
    guard = costs._guard
    assert guard is not None
    request = Request(provider="openai", request_model="gpt-4o-mini", max_output_tokens=200)
    counts = TokenCounts(100, 20)
    run = OpenRun(None, agent, costs)  # type: ignore[arg-type]  # LangChain's id is of no interest here
    opened = [OpenCall(None, run, costs, request, [PROMPT]) for _ in range(calls)]  # type: ignore[arg-type]
    began = time.thread_time()
    for call in opened:
        guard.before_call(call)
        guard.after_call(call, counts, served_from_local_cache=False)
    took = (time.thread_time() - began) / calls * 1e6
    assert costs.reporter.leases is not None
    costs.reporter.leases.confirmed([call.call_id for call in opened])  # as the receipt of their batch does
    return took


def show_decision(bounded: CostCallbackHandler, free: CostCallbackHandler, rounds: int, calls: int) -> None:
    took: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        gc.collect()
        ways = [("lease", bounded, "bounded"), ("no budget", free, "free")]
        for name, costs, agent in ways if number % 2 else reversed(ways):
            each = decide(costs, agent, calls)
            if number:
                took[name].append(each)
    print("decision, µs of the caller's thread a call:")
    for name, all_of_it in took.items():
        low, high = min(all_of_it), max(all_of_it)
        print(f"  {name:12}{statistics.median(all_of_it):6.1f}   ({low:.1f} to {high:.1f})")
    note(
        "decision under a live lease", statistics.median(took["lease"]), "µs", beside="no budget",
        baseline=statistics.median(took["no budget"]), at_most=20, limits_value=True,
    )  # fmt: skip


# ── 2. the whole callback ────────────────────────────────────────────────────────────────────────────────────────────


def show_callback(costs: CostCallbackHandler, rounds: int, calls: int) -> None:
    times = compare(invokes, PROMPT, costs, rounds, calls)
    ours, theirs = added(times, "costsite"), added(times, "usage")
    note("callback with a lease", ours, "µs", beside="UsageMetadataCallbackHandler", baseline=theirs, at_most=1.5)
    print(
        f"the callback with a lease adds {ours:.0f} µs to model.invoke, UsageMetadata {theirs:.0f}: {ours / theirs:.2f}"
    )


# ── 3. one loop ──────────────────────────────────────────────────────────────────────────────────────────────────────


class SlowModel(InstantModel):
    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        await asyncio.sleep(0.2)
        return self._answer()


async def longest_gap(callbacks: list[Any]) -> tuple[float, int]:
    """Milliseconds that the loop stood still at most while 64 calls ran, and how many of them were let through."""
    gaps = [0.0]

    async def watch() -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.001)
            gaps.append(time.monotonic() - began - 0.001)

    watcher = asyncio.create_task(watch())
    await asyncio.sleep(0.02)
    model = SlowModel()
    answers = await asyncio.gather(
        *(model.ainvoke(PROMPT, {"callbacks": callbacks}) for _ in range(64)), return_exceptions=True
    )
    watcher.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watcher
    refused = sum(isinstance(answer, BudgetExceeded) for answer in answers)
    assert refused == sum(isinstance(answer, BaseException) for answer in answers), answers
    return max(gaps) * 1_000, 64 - refused


def show_loop(url: str, folder: Path, rounds: int) -> None:
    gaps: dict[str, list[float]] = defaultdict(list)
    through = set()
    for number in range(rounds + 1):
        with contextlib.ExitStack():
            gap, _ = asyncio.run(longest_gap([]))
            costs = handler(url, folder / str(number), "five-places")
            with_budget, passed = asyncio.run(longest_gap([costs]))
            costs.flush(30)
        if number:  # the first imports and warms up
            through.add(passed)
            gaps["bare"].append(gap)
            gaps["with a budget of five"].append(with_budget)
    print(f"64 ainvokes on one loop, {sorted(through)} of them let through; its longest stall in ms:")
    for name, each in gaps.items():
        print(f"  {name:24}{statistics.median(each):6.1f}   (at most {max(each):.1f})")
    note(
        "longest stall of a loop, 64 ainvokes for 5 places", statistics.median(gaps["with a budget of five"]), "ms",
        beside="no callback", baseline=statistics.median(gaps["bare"]), at_most=50, limits_value=True,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=200)
    options = parser.parse_args()
    # LangChain warns of every call that a callback stops; 59 lines a round are of no use here.
    logging.getLogger("langchain_core.callbacks.manager").setLevel(logging.ERROR)
    with receiver() as url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bounded, free = handler(url, folder / "bounded", "bounded"), handler(url, folder / "free", "free")
        show_decision(bounded, free, options.rounds, options.calls)
        show_callback(bounded, options.rounds, options.calls)
        show_loop(url, folder, options.rounds)
        for costs in (bounded, free):
            costs.flush(10)


if __name__ == "__main__":
    main()
