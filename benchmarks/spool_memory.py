"""How much memory the plugin takes when no server answers: 20,000 calls, each with a prompt to hash.

    python benchmarks/spool_memory.py [calls]

Compares a process that makes the calls with the callback to one that makes them without; the difference at the end,
in resident memory, is what an outage costs. It must stay under 10 MB more than with a server that was never needed,
and must not grow with the number of calls. Linux only (/proc).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from figures import note

LIMIT_MB = 10.0


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1_000_000


def measure(calls: int, url: str | None) -> dict[str, float]:
    """Resident MB before the callback, after the first 100 calls, at half, and at the end."""
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.messages.ai import UsageMetadata
    from langchain_core.outputs import ChatGeneration, ChatResult

    from langchain_plugin import CostCallbackHandler

    class Model(BaseChatModel):
        @property
        def _llm_type(self) -> str:
            return "benchmark"

        def _generate(self, *args: object, **kwargs: object) -> ChatResult:
            usage = UsageMetadata(input_tokens=1200, output_tokens=300, total_tokens=1500)
            return ChatResult(generations=[ChatGeneration(message=AIMessage("Yes.", usage_metadata=usage))])

    model = Model()
    prompt = "How much is the fish? " * 50
    for _ in range(100):
        model.invoke(prompt)
    found = {"before": resident_mb()}
    callbacks: list[BaseCallbackHandler] = []
    if url is not None:
        callbacks.append(CostCallbackHandler("benchmark", api_key="cs_0123456789_benchmark", url=url))
    for number in range(1, calls + 1):
        model.invoke(f"{prompt}{number}", config={"callbacks": callbacks})
        if number == 100:
            time.sleep(2)  # the sender has imported httpx and seen that nobody answers
            found["after 100"] = resident_mb()
        if number == calls // 2:
            found["at half"] = resident_mb()
    time.sleep(2)
    found["at the end"] = resident_mb()
    return found


def in_a_process(calls: int, url: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "COSTSITE_STATE_DIR": folder, "PYTHONPATH": str(Path(__file__).parents[1])}
        output = subprocess.run(
            [sys.executable, __file__, "--measure", str(calls), url],
            env=environment, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        measured: dict[str, float] = json.loads(output)
        return measured


def main() -> int:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{listener.getsockname()[1]}"  # bound, and nobody listens
        runs = {"without the callback": in_a_process(calls, ""), "no server answers": in_a_process(calls, dead)}
    for name, found in runs.items():
        print(f"{name:22}" + "".join(f"  {moment} {mb:6.1f} MB" for moment, mb in found.items()))
    bare, outage = runs.values()
    base = outage["after 100"] - outage["before"]
    growth = (outage["at the end"] - outage["after 100"]) - (bare["at the end"] - bare["after 100"])
    print(
        f"\nThe callback itself, httpx included: {base:.1f} MB. {calls:,} calls without a server: {growth:.1f} MB more."
    )
    note(f"memory of {calls:,} calls that no server takes", growth, "MB", at_most=LIMIT_MB)
    if growth > LIMIT_MB:
        print(f"More than {LIMIT_MB} MB.")
        return 1
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(int(sys.argv[2]), sys.argv[3] or None)))
    else:
        sys.exit(main())
