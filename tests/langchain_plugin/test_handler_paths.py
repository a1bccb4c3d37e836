"""Every way of running a model or an agent is counted once, with the usage the provider reported."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

from langchain_plugin import CostCallbackHandler
from tests.langchain_plugin.conftest import Spooled, calls_of
from tests.langchain_plugin.models import ScriptedModel, StreamingModel
from tests.langchain_plugin.ways import AGENT_WAYS, QUESTION, WAYS, state, support_agent, tool_call


@pytest.mark.parametrize("model", [ScriptedModel, StreamingModel], ids=["whole", "streaming"])
@pytest.mark.parametrize("run", WAYS, ids=lambda way: way.__name__)
def test_one_call_is_reported_once_with_its_usage(
    run: Callable[[Any, Any], None], model: Callable[[], ScriptedModel], handler: CostCallbackHandler, spooled: Spooled
) -> None:
    run(model(), {"callbacks": [handler]})

    [call] = calls_of(spooled())
    assert (call["agent"], call["provider"], call["request_model"]) == ("support-bot", "acme", "scripted-1")
    assert (call["input_tokens"], call["output_tokens"], call["status"]) == (100, 20, "ok")
    assert "usage_basis" not in call
    assert handler.last_run is not None
    assert (handler.last_run.calls, handler.last_run.input_tokens) == (1, 100)


def test_a_batch_of_three_is_three_runs(handler: CostCallbackHandler, spooled: Spooled) -> None:
    ScriptedModel().batch([QUESTION] * 3, {"callbacks": [handler]})

    calls = calls_of(spooled())
    assert len({call["call_id"] for call in calls}) == 3
    assert len({call["run_id"] for call in calls}) == 3


# ── agents ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", AGENT_WAYS)
def test_an_agent_is_one_run_however_it_is_started(way: str, handler: CostCallbackHandler, spooled: Spooled) -> None:
    AGENT_WAYS[way](support_agent(), {"callbacks": [handler]})

    events = spooled()
    assert [event["type"] for event in events] == ["run_started", "llm_call", "llm_call", "run_ended"]
    assert len({event["run_id"] for event in events}) == 1
    first, second = calls_of(events)
    assert (first["call_index"], second["call_index"]) == (0, 1)
    assert [name for name, _ in first["tool_calls"]] == ["look_up"]
    assert first["step"] == "model"
    assert events[-1]["status"] == "ok"


@pytest.mark.newer_langchain
def test_a_nested_agent_is_part_of_the_run_that_called_it(handler: CostCallbackHandler, spooled: Spooled) -> None:
    inner = create_agent(ScriptedModel(answers=["Forty-two."], model_name="inner-model"), tools=[], name="researcher")

    @tool
    def research(question: str) -> str:
        """Ask the researcher."""
        return str(inner.invoke({"messages": [HumanMessage(question)]})["messages"][-1].content)

    outer = create_agent(
        ScriptedModel(answers=[tool_call("research", question="?"), "42."]), tools=[research], name="boss"
    )

    outer.invoke(state(), {"callbacks": [handler]})

    calls = calls_of(spooled())
    assert len({call["run_id"] for call in calls}) == 1
    assert {call["agent"] for call in calls} == {"support-bot"}
    assert [call["request_model"] for call in calls] == ["scripted-1", "inner-model", "scripted-1"]
    assert calls[1]["sub_agent"] == "researcher"


def test_a_failing_agent_ends_as_an_error(handler: CostCallbackHandler, spooled: Spooled) -> None:
    agent = create_agent(ScriptedModel(answers=["unused", RuntimeError("out of answers")][1:]), tools=[])

    with pytest.raises(RuntimeError, match="out of answers"):
        agent.invoke(state(), {"callbacks": [handler]})

    events = spooled()
    assert (events[-1]["type"], events[-1]["status"], events[-1]["error_type"]) == (
        "run_ended",
        "error",
        "RuntimeError",
    )
    assert calls_of(events)[0]["status"] == "error"


def test_the_root_may_name_the_agent_of_its_run(handler: CostCallbackHandler, spooled: Spooled) -> None:
    support_agent().invoke(state(), {"callbacks": [handler], "metadata": {"costsite_agent": "night-shift"}})

    assert {event["agent"] for event in spooled()} == {"night-shift"}


# ── retries, fallbacks, threads, twice ───────────────────────────────────────────────────────────────────────────


def test_every_attempt_of_a_retry_is_a_call_of_one_run(handler: CostCallbackHandler, spooled: Spooled) -> None:
    model = ScriptedModel(answers=[ConnectionError("reset"), "There."])

    model.with_retry(wait_exponential_jitter=False).invoke(QUESTION, {"callbacks": [handler]})

    calls = calls_of(spooled())
    assert [call["status"] for call in calls] == ["error", "ok"]
    assert len({call["run_id"] for call in calls}) == 1


def test_a_fallback_is_a_call_of_the_same_run(handler: CostCallbackHandler, spooled: Spooled) -> None:
    model = ScriptedModel(answers=[ConnectionError("reset")]).with_fallbacks([ScriptedModel(model_name="spare")])

    model.invoke(QUESTION, {"callbacks": [handler]})

    calls = calls_of(spooled())
    assert [(call["request_model"], call["status"]) for call in calls] == [("scripted-1", "error"), ("spare", "ok")]
    assert len({call["run_id"] for call in calls}) == 1


def test_two_handlers_on_one_call_count_it_once_and_both_show_it(
    handler: CostCallbackHandler, spooled: Spooled
) -> None:
    second = CostCallbackHandler(
        agent="other-name", api_key="cs_0123456789_test", url="http://127.0.0.1:9", state_dir=handler.config.state_dir
    )

    support_agent().invoke(state(), {"callbacks": [handler, second]})

    assert len(calls_of(spooled())) == 2
    assert second.last_run is handler.last_run is not None


def test_a_handler_on_the_model_and_one_on_the_run_count_a_call_once(
    handler: CostCallbackHandler, spooled: Spooled
) -> None:
    second = CostCallbackHandler(
        agent="other-name", api_key="cs_0123456789_test", url="http://127.0.0.1:9", state_dir=handler.config.state_dir
    )
    chain = RunnableLambda(lambda question: question) | ScriptedModel(callbacks=[second])

    chain.invoke(QUESTION, {"callbacks": [handler]})

    [call] = calls_of(spooled())
    assert call["agent"] == "support-bot"


def test_a_run_id_used_twice_is_two_runs(handler: CostCallbackHandler, spooled: Spooled) -> None:
    same = uuid4()
    for _ in range(2):
        ScriptedModel().invoke(QUESTION, {"callbacks": [handler], "run_id": same})

    calls = calls_of(spooled())
    assert len({call["run_id"] for call in calls}) == len({call["call_id"] for call in calls}) == 2
    assert {call["langchain_run_id"] for call in calls} == {str(same)}


def test_a_run_id_used_twice_at_once_loses_no_call(handler: CostCallbackHandler, spooled: Spooled) -> None:
    same = uuid4()

    async def both() -> None:
        model = ScriptedModel(seconds=0.05)
        await asyncio.gather(*(model.ainvoke(QUESTION, {"callbacks": [handler], "run_id": same}) for _ in range(2)))

    asyncio.run(both())

    calls = calls_of(spooled())
    assert [call["status"] for call in calls] == ["ok", "ok"]
    assert len({call["call_id"] for call in calls}) == 2


def test_a_handler_handed_into_the_users_own_threads_sees_their_calls(
    handler: CostCallbackHandler, spooled: Spooled
) -> None:
    model = ScriptedModel()
    threads = [threading.Thread(target=model.invoke, args=(QUESTION, {"callbacks": [handler]})) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({call["call_id"] for call in calls_of(spooled())}) == 8


def test_twenty_concurrent_awaits_are_twenty_runs(handler: CostCallbackHandler, spooled: Spooled) -> None:
    async def all_of_them() -> None:
        model = ScriptedModel(seconds=0.01)
        await asyncio.gather(*(model.ainvoke(QUESTION, {"callbacks": [handler]}) for _ in range(20)))

    asyncio.run(all_of_them())

    assert len({call["run_id"] for call in calls_of(spooled())}) == 20
