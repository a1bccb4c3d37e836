"""Effort and compaction of a real agent, as its owner sets them at the site."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_openai import ChatOpenAI

from langchain_plugin import CostCallbackHandler, compaction_middleware, effort_middleware
from tests.langchain_plugin.models import ScriptedModel
from tests.langchain_plugin.provider_server import ProviderServer
from tests.langchain_plugin.stub_site import StubSite, receipt
from tests.langchain_plugin.ways import look_up, state

pytestmark = pytest.mark.newer_langchain

_loop = asyncio.Runner()
RUNS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "invoke": lambda agent, given, config: agent.invoke(given, config),
    # One loop for all: an HTTP connection belongs to the loop that it was made in.
    "ainvoke": lambda agent, given, config: _loop.run(agent.ainvoke(given, config)),
}


@pytest.fixture
def provider() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


def set_at_site(site: StubSite, costs: CostCallbackHandler, **settings: Any) -> None:
    site.answer = lambda batch: receipt(batch, agent_settings=[{"agent": "support-bot", **settings}])
    ScriptedModel().invoke("Hello", {"callbacks": [costs]})
    assert costs.flush(10)
    site.batches.clear()


@pytest.mark.parametrize("way", RUNS)
def test_an_agent_follows_the_effort_that_is_set_while_it_runs(
    way: str, site: StubSite, costs: CostCallbackHandler, provider: ProviderServer
) -> None:
    model = ChatOpenAI(model="gpt-5-mini", base_url=provider.openai_url, api_key="any", max_retries=0)
    agent = create_agent(model, tools=[look_up], middleware=[effort_middleware(costs=costs)])
    for effort in ("low", "high"):
        set_at_site(site, costs, effort=effort)
        RUNS[way](agent, state(), {"callbacks": [costs]})

    assert [request.body["reasoning_effort"] for request in provider.requests] == ["low", "high"]
    assert costs.flush(10)
    assert [event["effort"] for event in site.events if event["type"] == "llm_call"] == ["high"]


LONG_TALK = [
    part
    for number in range(15)
    for part in (HumanMessage(f"Question {number}: " + "why " * 50), AIMessage("Because. " * 50))
]


@pytest.mark.parametrize("way", RUNS)
def test_a_conversation_is_compacted_from_the_size_the_site_says_and_that_is_booked_as_compaction(
    way: str, site: StubSite, costs: CostCallbackHandler
) -> None:
    model, small = ScriptedModel(), ScriptedModel(model_name="small", answers=["They talked."])
    middleware = compaction_middleware(small, costs=costs, keep=("messages", 4))
    agent = create_agent(model, tools=[], middleware=[middleware])
    config = {"callbacks": [costs]}
    lengths = []
    for tokens in (None, 1_000_000, 1_000):
        set_at_site(site, costs, compact_at_tokens=tokens)
        lengths.append(len(RUNS[way](agent, {"messages": LONG_TALK}, config)["messages"]))
        assert costs.flush(10)

    # 30 messages and the answer, and once the summary, 4 messages and the answer.
    assert lengths == [31, 31, 6]
    assert small.calls == 1
    calls = [event for event in site.events if event["type"] == "llm_call"]
    assert [(call["request_model"], call.get("purpose", "agent")) for call in calls] == [
        ("small", "compaction"),
        ("scripted-1", "agent"),
    ]


def test_without_a_word_from_the_site_the_codes_own_number_holds(site: StubSite, costs: CostCallbackHandler) -> None:
    small = ScriptedModel(model_name="small", answers=["They talked."])
    middleware = compaction_middleware(small, costs=costs, trigger_tokens=1_000, keep=("messages", 4))
    agent = create_agent(ScriptedModel(), tools=[], middleware=[middleware])

    assert len(agent.invoke({"messages": LONG_TALK}, {"callbacks": [costs]})["messages"]) == 6


def test_a_fourth_of_the_trigger_is_kept_and_the_next_call_is_not_summarized_again(
    site: StubSite, costs: CostCallbackHandler
) -> None:
    small = ScriptedModel(model_name="small", answers=["They talked."])
    middleware = compaction_middleware(small, costs=costs, trigger_tokens=1_000)
    agent = create_agent(ScriptedModel(), tools=[look_up], middleware=[middleware])

    talk = agent.invoke({"messages": LONG_TALK}, {"callbacks": [costs]})["messages"]
    again = agent.invoke({"messages": [*talk, HumanMessage("And now?")]}, {"callbacks": [costs]})["messages"]

    summary, *kept, _ = talk
    assert "They talked." in summary.content
    assert 0 < count_tokens_approximately(kept) <= 250
    assert kept == LONG_TALK[-len(kept) :]
    assert len(again) == len(talk) + 2
    assert small.calls == 1


def test_a_wrong_argument_is_said_when_the_agent_is_made_and_not_in_a_run_once_the_site_has_a_number(
    costs: CostCallbackHandler,
) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        compaction_middleware(ScriptedModel(), costs=costs, keep=("messages", 0))


def test_a_number_that_is_none_is_refused_when_the_agent_is_made(costs: CostCallbackHandler) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        compaction_middleware(ScriptedModel(), costs=costs, trigger_tokens=0)
