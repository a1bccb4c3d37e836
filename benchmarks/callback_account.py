"""Where the callback's time goes: one call's way through it, each step alone.

    python benchmarks/callback_account.py [--rounds 60] [--turns 200]

The arguments are those LangChain handed over for a call of 200 characters. Each step is turned so many times in a
loop, so all it needs lies in the processor's caches, which inside of a run it does not: beside
`handler_overhead.py`, which times the callback in its place, this says how large the parts are to each other, and what
the least is that an append needs. All of UsageMetadataCallbackHandler's work, timed alike, stands above. CPU time of
the thread, medians over the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from figures import note
from handler_overhead import InstantModel, receiver
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.messages import HumanMessage

from langchain_plugin import CostCallbackHandler
from langchain_plugin.call_event import call_event, settle
from langchain_plugin.json_lines import to_line
from langchain_plugin.last_run import CountedCall
from langchain_plugin.request import read_request
from langchain_plugin.run_tree import new_id
from langchain_plugin.usage import read_usage

Step = Callable[[], object]


class Captured(BaseCallbackHandler):
    """What LangChain hands a callback."""

    def __init__(self) -> None:
        self.start: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
        self.end: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.start = args, kwargs

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.end = args, kwargs


def steps(costs: CostCallbackHandler, leased: CostCallbackHandler, file: Path) -> dict[str, Step]:
    """Of the same call: LangChain's own handler, the parts of ours, what a lease adds, and the least an append is."""
    seen = Captured()
    for handler in (costs, leased):
        InstantModel().invoke([HumanMessage("x" * 200)], {"callbacks": [seen, handler]})
        handler.flush(10)  # the sender's imports are done, and the site has answered
    (serialized, messages), start = seen.start
    (response,), end = seen.end
    usage_handler = UsageMetadataCallbackHandler()

    guard, lease, reporter = costs._guard, leased._guard, costs.reporter
    assert guard is not None
    assert lease is not None
    langchain_id = start["run_id"]
    request = read_request(serialized, start)
    usage = read_usage(response, request)

    def opened(handler: CostCallbackHandler) -> Any:
        agent = handler.config.agent or ""
        call = handler._tree.open_call(langchain_id, None, agent, handler, request, messages)
        handler._tree.close_call(langchain_id, handler)
        return call

    call, other = opened(costs), opened(leased)
    settled = settle(call, "ok", usage, refused_by_provider=False)
    event = call_event(call, "ok", "", usage, settled)
    line = to_line(event)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def under_a_lease() -> None:
        lease.before_call(other)
        lease.after_call(other, usage.counts, served_from_local_cache=False)

    def sum_up() -> None:
        counted = CountedCall(request.provider, request.request_model, "", usage.counts, False, False)
        costs._sums(call.run).add(counted)
        costs._show(call.run, "ok")

    return {
        "UsageMetadataCallbackHandler": lambda: usage_handler.on_llm_end(response, **end),
        "start: read the request": lambda: read_request(serialized, start),
        "start: its run and call, known and forgotten again": lambda: opened(costs),
        "start: the budget, where there is none": lambda: guard.before_call(call),
        "end: read the usage": lambda: read_usage(response, request),
        "end: measured or estimated": lambda: settle(call, "ok", usage, refused_by_provider=False),
        "end: the event": lambda: call_event(call, "ok", "", usage, settled),
        "end: as JSON": lambda: to_line(event),
        "end: appended": lambda: reporter._spool.append(line, 1),
        "end: the prompt on its way to be hashed": lambda: reporter.fingerprint(call.call_id, messages, ()),
        "end: sums of `last_run`": sum_up,
        "a lease: held, settled, priced": under_a_lease,
        "at least: an id": new_id,
        "at least: JSON": lambda: to_line(event),
        "at least: the system's write": lambda: os.write(descriptor, line),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--turns", type=int, default=200)
    options = parser.parse_args()
    with receiver() as url, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        costs, leased = (
            CostCallbackHandler(agent, api_key=f"cs_0000000000_{agent}", url=url, state_dir=folder / agent)
            for agent in ("free", "bounded")
        )
        parts = steps(costs, leased, folder / "file")
        took: dict[str, list[float]] = {part: [] for part in parts}
        for _ in range(options.rounds):
            for part, step in parts.items():
                began = time.thread_time()
                for _ in range(options.turns):
                    step()
                took[part].append((time.thread_time() - began) / options.turns * 1e6)
            costs.flush(10)
        each = {part: statistics.median(times) for part, times in took.items()}
    print("µs of the caller's thread a call:")
    for part, median in each.items():
        print(f"  {part:52}{median:6.2f}")
    theirs = each["UsageMetadataCallbackHandler"]
    for what in ("start", "end", "at least"):
        together = sum(median for part, median in each.items() if part.startswith(f"{what}: "))
        print(f"  {what + ', together':52}{together:6.2f}")
        note(f"callback taken apart, {what}", together, "µs", beside="UsageMetadataCallbackHandler", baseline=theirs)
    lease = each["a lease: held, settled, priced"]
    note("callback taken apart, what a lease adds", lease, "µs", beside="UsageMetadataCallbackHandler", baseline=theirs)


if __name__ == "__main__":
    main()
