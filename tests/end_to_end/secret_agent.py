"""A process with an agent that handles secrets: everything it is told, does and learns has the word MARK in it.

It logs as much as can be of what the callback does, to standard error.
"""

from __future__ import annotations

import contextlib
import logging
import os
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from langchain_plugin import CostCallbackHandler

MARK = "xylophone"
"""Not in names of agents, models, steps and tools: those travel."""


@tool
def look_up(customer: str) -> str:
    """Look a customer up."""
    if "broken" in customer:
        raise ValueError(f"no such customer: {MARK}-in-an-error")
    return f"{customer} lives at {MARK}-in-a-result"


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    for name in ("langchain_plugin", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    costs = CostCallbackHandler()
    model = ChatOpenAI(
        model="gpt-5", base_url=os.environ["PROVIDER_URL"], api_key=f"sk-{MARK}", max_retries=0,
        user=f"{MARK}-user", default_headers={"X-Customer": f"{MARK}-header"}, metadata={"of": f"{MARK}-request"},
    )  # fmt: skip
    agent = create_agent(model, [look_up], system_prompt=f"You keep {MARK}-in-the-system-prompt.")
    config: Any = {
        "callbacks": [costs],
        "metadata": {"customer": f"{MARK}-in-metadata"},
        "configurable": {"password": f"{MARK}-configurable"},
    }
    asked = {"messages": [HumanMessage(f"Who is {MARK}-in-a-prompt?", name=f"{MARK}-person")]}
    agent.invoke(asked, config)
    list(agent.stream(asked, config))
    with contextlib.suppress(Exception):  # the tool fails
        agent.invoke(asked, config)
    with contextlib.suppress(Exception):  # the provider refuses
        model.invoke(f"Again, {MARK}-in-a-prompt", config)
    RunnableLambda(lambda text: model.invoke(text)).invoke(f"{MARK}-by-a-lambda", config)
    print(costs.flush(float(os.environ["FLUSH_SECONDS"])), flush=True)


if __name__ == "__main__":
    main()
