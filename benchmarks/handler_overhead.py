"""What the callback adds to the caller, beside handlers that only keep a sum in memory.

    python benchmarks/handler_overhead.py [--rounds 15] [--calls 100]

A chat model that answers at once is invoked with no handler, with an empty one, with LangChain's own
UsageMetadataCallbackHandler, with CostCallbackHandler (every event appended to its spool file, a real receiver in
another process taking the batches), and with those of Langfuse, LangSmith and OpenInference where they are installed
(benchmarks/other_handlers.py; the receiver takes what they send). They take turns within each round, so that a noisy
machine disturbs all of them alike; shown are medians over the rounds, and ratios to UsageMetadataCallbackHandler's
added time.

Times are the processor's, of the thread that invokes: what the caller pays. By the clock on the wall stands beside
it, with whatever else the machine does, and with the sender's thread at work for thousands of calls a second, which
no model that thinks leaves room for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from figures import note
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from other_handlers import Other, installed

from langchain_plugin import CostCallbackHandler

MOST_TIMES = 1.5
"""What UsageMetadataCallbackHandler adds, and what concurrent calls take without a callback."""
CONTEXTS = {"0.2 kB": (1, 200), "10 kB": (10, 1_000), "400 kB": (40, 10_000)}


class InstantModel(BaseChatModel):
    """Answers at once, with the usage a real integration reports."""

    @property
    def _llm_type(self) -> str:
        return "instant"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {"ls_provider": "openai", "ls_model_name": "gpt-4o-mini", "ls_model_type": "chat"}

    def _answer(self) -> ChatResult:
        message = AIMessage(
            content="Yes.",
            usage_metadata={
                "input_tokens": 100,
                "output_tokens": 20,
                "total_tokens": 120,
                "input_token_details": {"cache_read": 64},
                "output_token_details": {"reasoning": 0},
            },
            response_metadata={"model_name": "gpt-4o-mini-2024-07-18"},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        return self._answer()

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        await asyncio.sleep(0)
        return self._answer()


class EmptyHandler(BaseCallbackHandler):
    """What any handler costs: LangChain calls it, it does nothing."""

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        pass

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        pass


class _Receiver(BaseHTTPRequestHandler):
    """Takes a batch and says it was accepted; gives every agent leave to go on: `bounded` a lease that never ends,
    `five-places` one for five calls of some 200 characters, all others without bound.
    """

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/api/v1/leases"):
            self._say(_lease(json.loads(body)))
            return
        if not self.path.startswith("/api/v1/events"):
            self._say({})  # another tool's
            return
        batch = json.loads(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
        self._say(
            {
                "batch_id": batch["batch_id"],
                "accepted": list(range(len(batch["events"]))),
                "duplicates": [],
                "rejected": [],
                "hash_key": "0" * 32,
            }
        )

    def do_GET(self) -> None:
        self._say({})

    def _say(self, told: dict[str, Any]) -> None:
        answer = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: Any) -> None:
        pass


PRICES = {
    "input": 15_000_000, "output": 60_000_000, "cache_read": 7_500_000, "cache_write_5m": 15_000_000,
    "cache_write_1h": 15_000_000, "reasoning": 60_000_000, "input_audio": 15_000_000, "output_audio": 60_000_000,
}  # fmt: skip
"""Of gpt-4o-mini, in microcents a million tokens."""


def _lease(asked: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"agent": asked.get("agent", ""), "valid_for_seconds": 120}
    if told["agent"] in ("bounded", "five-places"):
        # 232 tokens in at most, 4,096 out, at the prices above: 249,240 microcents.
        all_in_all = 10**15 if told["agent"] == "bounded" else 5 * 249_240
        card = [{"provider": "openai", "model": "gpt-4o-mini", "prices": PRICES, "output_bound_tokens": 4_096}]
        told |= {
            "lease_id": "019a9f00-0000-7000-8000-000000000001",
            "available_microcents": max(0, all_in_all - asked.get("outstanding_microcents", 0)),
            "price_card": card,
            "fallback": PRICES,
        }
    return told


def _serve(port: Any) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Receiver)
    port.put(server.server_port)
    server.serve_forever()


@contextlib.contextmanager
def receiver() -> Iterator[str]:
    """The address of a receiver in a process of its own."""
    context = multiprocessing.get_context("spawn")
    port: Any = context.Queue()
    process = context.Process(target=_serve, args=(port,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{port.get(timeout=30)}"
    finally:
        process.terminate()


class Took(NamedTuple):
    """Microseconds a call."""

    thread: float
    """Of the processor, on the thread that calls."""
    wall: float


def time_each(work: Callable[[], None], calls: int) -> Took:
    wall, thread = time.perf_counter(), time.thread_time()
    work()
    return Took((time.thread_time() - thread) / calls * 1e6, (time.perf_counter() - wall) / calls * 1e6)


def invokes(messages: list[BaseMessage], handlers: list[BaseCallbackHandler], calls: int) -> Callable[[], None]:
    model, config = InstantModel(), {"callbacks": handlers}

    def work() -> None:
        for _ in range(calls):
            model.invoke(messages, config)  # type: ignore[arg-type]

    return work


def concurrent_ainvokes(
    messages: list[BaseMessage], handlers: list[BaseCallbackHandler], calls: int
) -> Callable[[], None]:
    model, config = InstantModel(), {"callbacks": handlers}

    async def together() -> None:
        await asyncio.gather(*(model.ainvoke(messages, config) for _ in range(calls)))  # type: ignore[arg-type]

    return lambda: asyncio.run(together())


def compare(
    make: Callable[..., Callable[[], None]],
    messages: list[BaseMessage],
    costs: CostCallbackHandler,
    rounds: int,
    calls: int,
    others: Sequence[Other] = (),
) -> dict[str, list[Took]]:
    variants: dict[str, list[BaseCallbackHandler]] = {
        "bare": [],
        "empty": [EmptyHandler()],
        "usage": [UsageMetadataCallbackHandler()],
        "costsite": [costs],
        **{other.name: [other.handler] for other in others},
    }
    times: dict[str, list[Took]] = {name: [] for name in variants}
    for handlers in variants.values():
        make(messages, handlers, calls)()
    costs.flush(10)  # the first batch has the sender import its HTTP client; that is the import's cost, not a call's
    for number in range(rounds):
        names = list(variants)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            times[name].append(time_each(make(messages, variants[name], calls), calls))
            for other in others:
                if other.name == name:
                    other.flush()  # its queue is bounded, and what does not fit would cost nothing
    return times


def added(times: dict[str, list[Took]], name: str, clock: str = "thread") -> float:
    differences: list[float] = [
        getattr(one, clock) - getattr(bare, clock) for one, bare in zip(times[name], times["bare"], strict=True)
    ]
    return statistics.median(differences)


def import_milliseconds(rounds: int = 7) -> float:
    """CPU time of importing the plugin after langchain-core's chat models and callbacks, compiled as by an install."""
    code = (
        "import langchain_core.callbacks, langchain_core.language_models.chat_models, time; t = time.process_time();"
        "from langchain_plugin import CostCallbackHandler; print((time.process_time() - t) * 1000)"
    )
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
        times = [
            float(subprocess.check_output([sys.executable, "-c", code], env=environment, text=True))
            for _ in range(rounds + 1)
        ]
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=100)
    options = parser.parse_args()
    with receiver() as url, tempfile.TemporaryDirectory() as folder, installed(url) as others:
        costs = CostCallbackHandler(agent="benchmark", api_key="cs_0000000000_benchmark", url=url, state_dir=folder)
        columns = f"{'bare':>8}{'empty':>8}{'usage':>8}{'costsite':>10}{'ratio':>8}{'wall':>8}"
        columns += "".join(f"{other.name:>15}" for other in others)
        print(f"{'added to model.invoke, us':28}{columns}")
        for label, (count, length) in CONTEXTS.items():
            messages: list[BaseMessage] = [HumanMessage("x" * length) for _ in range(count)]
            times = compare(invokes, messages, costs, options.rounds, options.calls, others)
            bare = statistics.median(took.thread for took in times["bare"])
            ours, theirs = added(times, "costsite"), added(times, "usage")
            print(
                f"{label:28}{bare:8.0f}{added(times, 'empty'):8.0f}{theirs:8.0f}{ours:10.0f}{ours / theirs:8.2f}"
                f"{added(times, 'costsite', 'wall'):8.0f}"
                + "".join(f"{added(times, other.name):>15.0f}" for other in others)
            )
            usage = {"beside": "UsageMetadataCallbackHandler", "baseline": theirs}
            note(f"callback, {label} of prompt", ours, "µs", **usage, at_most=MOST_TIMES)  # type: ignore[arg-type]
            for other in others:
                what = f"{other.name} {other.version}, {label} of prompt"
                note(what, added(times, other.name), "µs", **usage)  # type: ignore[arg-type]
        prompt: list[BaseMessage] = [HumanMessage("x" * 1_000)]
        times = compare(concurrent_ainvokes, prompt, costs, options.rounds, options.calls)
        ratios = {
            name: statistics.median(a.wall / b.wall for a, b in zip(times[name], times["bare"], strict=True))
            for name in times
        }
        print(
            "\n100 concurrent ainvokes by the clock, times bare: "
            + ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
        )
        walls = {name: statistics.median(took.wall for took in times[name]) for name in ("bare", "costsite")}
        note(
            "100 concurrent ainvokes with the callback, by the clock", walls["costsite"], "µs a call",
            beside="without one", baseline=walls["bare"], ratio=ratios["costsite"], at_most=MOST_TIMES,
        )  # fmt: skip
        importing = import_milliseconds()
        print(f"import after langchain-core: {importing:.0f} ms of CPU")
        note("import of the plugin after langchain-core", importing, "ms of CPU", at_most=60)
        costs.flush(10)


if __name__ == "__main__":
    main()
