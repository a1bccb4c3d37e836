"""Every way LangChain has of running a model or an agent, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool

from tests.langchain_plugin.models import ScriptedModel

QUESTION = [HumanMessage("How are you?")]


def invoke(model: Any, config: Any) -> None:
    model.invoke(QUESTION, config)


def ainvoke(model: Any, config: Any) -> None:
    asyncio.run(model.ainvoke(QUESTION, config))


def stream(model: Any, config: Any) -> None:
    list(model.stream(QUESTION, config))


def astream(model: Any, config: Any) -> None:
    async def consume() -> None:
        async for _ in model.astream(QUESTION, config):
            pass

    asyncio.run(consume())


def astream_events(model: Any, config: Any) -> None:
    async def consume() -> None:
        async for _ in model.astream_events(QUESTION, config, version="v2"):
            pass

    asyncio.run(consume())


def batch(model: Any, config: Any) -> None:
    model.batch([QUESTION], config)


def abatch(model: Any, config: Any) -> None:
    asyncio.run(model.abatch([QUESTION], config))


def generate(model: Any, config: Any) -> None:
    model.generate([QUESTION], callbacks=config["callbacks"])


def agenerate(model: Any, config: Any) -> None:
    asyncio.run(model.agenerate([QUESTION], callbacks=config["callbacks"]))


def lcel(model: Any, config: Any) -> None:
    (ChatPromptTemplate.from_messages([("human", "{question}")]) | model).invoke({"question": "How?"}, config)


def with_retry(model: Any, config: Any) -> None:
    model.with_retry().invoke(QUESTION, config)


def with_fallbacks(model: Any, config: Any) -> None:
    model.with_fallbacks([ScriptedModel()]).invoke(QUESTION, config)


WAYS = [
    invoke,
    ainvoke,
    stream,
    astream,
    astream_events,
    batch,
    abatch,
    generate,
    agenerate,
    lcel,
    with_retry,
    with_fallbacks,
]


# ── agents ───────────────────────────────────────────────────────────────────────────────────────────────────────


@tool
def look_up(order: str) -> str:
    """Look an order up."""
    return f"{order} is on its way"


def tool_call(name: str = "look_up", **arguments: Any) -> AIMessage:
    return AIMessage(content="", tool_calls=[{"name": name, "args": arguments, "id": f"call-{uuid4()}"}])


def support_agent(model: type[ScriptedModel] = ScriptedModel) -> Any:
    return create_agent(model(answers=[tool_call(order="A-1"), "It is on its way."]), tools=[look_up])


def state() -> dict[str, Any]:
    return {"messages": [HumanMessage("Where is A-1?")]}


async def consume(stream: Any) -> None:
    async for _ in stream:
        pass


AGENT_WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "invoke": lambda agent, config: agent.invoke(state(), config),
    "ainvoke": lambda agent, config: asyncio.run(agent.ainvoke(state(), config)),
    "stream": lambda agent, config: list(agent.stream(state(), config)),
    "stream messages": lambda agent, config: list(agent.stream(state(), config, stream_mode="messages")),
    "astream": lambda agent, config: asyncio.run(consume(agent.astream(state(), config))),
    "astream_events": lambda agent, config: asyncio.run(consume(agent.astream_events(state(), config, version="v2"))),
    "batch": lambda agent, config: agent.batch([state()], config),
    "abatch": lambda agent, config: asyncio.run(agent.abatch([state()], config)),
}
