"""An agent's process that never ends by itself: calls, and writes down beside the plugin what it did.

    python -m tests.chaos.worker AGENT SEED DIARY

The diary has a line before each call and one after it, each one write, so that it survives what the process does not.
The call's label is its `thread_id`, by which the ledger's rows are found again; it begins with the name of its agent.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_plugin import BudgetExceeded, CostCallbackHandler

MAX_OUTPUT_TOKENS = 200
THREADS = 3


class Model(BaseChatModel):
    """gpt-4o as its profile has it, answering after some milliseconds with a share of what it may."""

    @property
    def _llm_type(self) -> str:
        return "chaos"

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {
            "ls_provider": "openai",
            "ls_model_name": "gpt-4o",
            "ls_model_type": "chat",
            "ls_max_tokens": MAX_OUTPUT_TOKENS,
        }

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        time.sleep(random.uniform(0.005, 0.05))
        if random.random() < 0.02:
            raise ConnectionError("the provider hung up")
        counts = {"input_tokens": random.randint(50, 900), "output_tokens": random.randint(1, MAX_OUTPUT_TOKENS)}
        usage: Any = counts | {"total_tokens": sum(counts.values())}
        return ChatResult(generations=[ChatGeneration(message=AIMessage("Yes.", usage_metadata=usage))])


def main() -> None:
    agent, seed, path = sys.argv[1:]
    random.seed(int(seed))
    diary = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def note(text: str) -> None:
        os.write(diary, f"{text}\n".encode())

    costs = CostCallbackHandler(agent=agent, on_unreachable="block", held_wait_seconds=1)

    def call_for_ever(thread: int) -> None:
        model, number = Model(), 0
        while True:
            number += 1
            label = f"{agent}:{os.getpid()}-{seed}-{thread}-{number}"
            note(f"began {label}")
            try:
                model.invoke([HumanMessage("x" * 1_000)], {"callbacks": [costs], "metadata": {"thread_id": label}})
                note(f"done {label}")
            except BudgetExceeded as refusal:
                note(f"refused {label} {refusal.kind}")
                time.sleep(0.2)
            except ConnectionError:
                note(f"failed {label}")

    threads = [threading.Thread(target=call_for_ever, args=(number,), daemon=True) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()  # until whoever started it says that it is over
    costs.flush(20)


if __name__ == "__main__":
    main()
