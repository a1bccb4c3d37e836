"""Calls that do not end as they should: cut short, cancelled, failed, answered from a cache, without usage."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import Any
from uuid import uuid4

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.messages import HumanMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import RunnableLambda

from langchain_plugin import CostCallbackHandler
from tests.langchain_plugin.conftest import Spooled, calls_of
from tests.langchain_plugin.models import ScriptedModel, StreamingModel

QUESTION = [HumanMessage("q" * 400)]  # 400 characters: about 100 tokens


def test_an_abandoned_stream_is_estimated_from_what_was_seen(handler: CostCallbackHandler, spooled: Spooled) -> None:
    stream = StreamingModel(answers=["word " * 100]).stream(QUESTION, {"callbacks": [handler]})
    for _ in range(40):
        next(stream)
    stream.close()

    [call] = calls_of(spooled())
    assert (call["status"], call["usage_basis"]) == ("abandoned", "estimated")
    assert 90 <= call["input_tokens"] <= 130  # 400 characters at about 4 a token, and what a message adds
    assert 40 <= call["output_tokens"] <= 80  # 40 words of 5 characters


def test_a_cancelled_await_is_reported_when_its_task_ends(handler: CostCallbackHandler, spooled: Spooled) -> None:
    async def give_up() -> None:
        task = asyncio.create_task(ScriptedModel(seconds=30).ainvoke(QUESTION, {"callbacks": [handler]}))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())

    [call] = calls_of(spooled())
    assert (call["status"], call["usage_basis"], call["output_tokens"]) == ("cancelled", "estimated", None)


def test_a_timed_out_await_is_reported(handler: CostCallbackHandler, spooled: Spooled) -> None:
    async def time_out() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ScriptedModel(seconds=30).ainvoke(QUESTION, {"callbacks": [handler]}), 0.05)

    asyncio.run(time_out())

    [call] = calls_of(spooled())
    assert call["status"] == "cancelled"


def test_a_timed_out_await_is_reported_by_the_next_call_of_a_task_that_lives_on(
    handler: CostCallbackHandler, spooled: Spooled
) -> None:
    async def keep_trying() -> list[str]:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await ScriptedModel(seconds=30).ainvoke(QUESTION, {"callbacks": [handler]})
        await ScriptedModel().ainvoke(QUESTION, {"callbacks": [handler]})
        return [call["status"] for call in calls_of(spooled())]

    before_the_task_ends = asyncio.run(keep_trying())

    assert before_the_task_ends == ["cancelled"] * 3 + ["ok"]
    assert not handler._tree.last_of_task


def test_two_streams_that_take_turns_in_one_task_are_both_whole(handler: CostCallbackHandler, spooled: Spooled) -> None:
    async def take_turns() -> None:
        one, two = (StreamingModel(answers=["word " * 5]).astream(QUESTION, {"callbacks": [handler]}) for _ in range(2))
        await anext(one)
        await anext(two)
        async for _ in one:
            pass
        async for _ in two:
            pass

    asyncio.run(take_turns())

    assert [call["status"] for call in calls_of(spooled())] == ["ok", "ok"]


def test_a_finished_call_is_not_reported_again_when_its_task_is_cancelled(
    handler: CostCallbackHandler, spooled: Spooled
) -> None:
    async def call_then_hang(has_ended: asyncio.Event) -> None:
        await ScriptedModel().ainvoke(QUESTION, {"callbacks": [handler]})
        has_ended.set()
        await asyncio.sleep(30)

    async def give_up() -> None:
        has_ended = asyncio.Event()
        task = asyncio.create_task(call_then_hang(has_ended))
        await asyncio.wait_for(has_ended.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())

    assert [call["status"] for call in calls_of(spooled())] == ["ok"]


def test_a_call_open_at_the_end_of_its_run_is_cancelled_and_a_late_end_replaces_it(
    handler: CostCallbackHandler, spooled: Spooled
) -> None:
    root, model = uuid4(), uuid4()
    handler.on_chain_start({}, {}, run_id=root)
    handler.on_chat_model_start({}, [QUESTION], run_id=model, parent_run_id=root, metadata={"ls_model_name": "m"})
    handler.on_chain_end({}, run_id=root)
    generation = ScriptedModel()._generate(QUESTION).generations[0]
    handler.on_llm_end(LLMResult(generations=[[generation]]), run_id=model)

    first, second = calls_of(spooled())
    assert (first["status"], first["usage_basis"]) == ("cancelled", "estimated")
    assert (second["status"], second["input_tokens"]) == ("ok", 100)
    assert first["call_id"] == second["call_id"]
    assert handler.last_run is not None
    assert handler.last_run.calls == 1


def test_a_call_the_provider_refused_cost_nothing(handler: CostCallbackHandler, spooled: Spooled) -> None:
    class RateLimitError(Exception):
        status_code = 429

    with pytest.raises(RateLimitError):
        ScriptedModel(answers=[RateLimitError()]).invoke(QUESTION, {"callbacks": [handler]})

    [call] = calls_of(spooled())
    assert (call["status"], call["error_type"]) == ("error", "RateLimitError")
    assert (call["input_tokens"], call["output_tokens"]) == (0, 0)


def test_a_call_whose_connection_broke_is_estimated(handler: CostCallbackHandler, spooled: Spooled) -> None:
    with pytest.raises(ConnectionError):
        ScriptedModel(answers=[ConnectionError("reset")]).invoke(QUESTION, {"callbacks": [handler]})

    [call] = calls_of(spooled())
    assert call["usage_basis"] == "estimated"
    assert call["input_tokens"] >= 90


def test_missing_usage_is_estimated_and_said_once_with_the_mend(
    handler: CostCallbackHandler, spooled: Spooled, caplog: pytest.LogCaptureFixture
) -> None:
    model = StreamingModel(usage=None, answers=["word " * 40])

    with caplog.at_level(logging.WARNING, "costsite"):
        for _ in range(3):
            list(model.stream(QUESTION, {"callbacks": [handler]}))

    calls = calls_of(spooled())
    assert {call["usage_basis"] for call in calls} == {"estimated"}
    assert all(40 <= call["output_tokens"] <= 80 for call in calls)
    said = [record.getMessage() for record in caplog.records if "no token usage" in record.getMessage()]
    assert len(said) == 1
    assert "stream_usage=True" in said[0]


def test_a_cost_that_is_not_known_is_of_estimated_usage_all_the_same() -> None:
    handler = CostCallbackHandler(agent="support-bot", api_key="")
    ScriptedModel(usage=None).invoke(QUESTION, {"callbacks": [handler]})
    assert str(handler.last_run).endswith("cost unknown without an API key (estimated usage)")

    ScriptedModel().invoke(QUESTION, {"callbacks": [handler]})
    assert str(handler.last_run).endswith("cost unknown without an API key")


def test_a_class_among_the_callbacks_is_said_once_to_record_nothing(caplog: pytest.LogCaptureFixture) -> None:
    callbacks: Any = [CostCallbackHandler]
    inspect.getmembers(CostCallbackHandler)  # looking at it is no mistake
    assert not caplog.records
    for _ in range(2):
        (RunnableLambda(lambda question: question) | ScriptedModel()).invoke(QUESTION, {"callbacks": callbacks})

    said = [record.getMessage() for record in caplog.records if record.name == "costsite"]
    assert said == [
        "Costsite: the callbacks hold the class CostCallbackHandler, which records nothing; "
        "make one: callbacks=[CostCallbackHandler()]."
    ]


def test_usage_that_had_to_be_mended_is_said_once_for_each_model(
    handler: CostCallbackHandler, caplog: pytest.LogCaptureFixture
) -> None:
    # 100 in and 20 out make 120; the 8 that the total has beyond them are in no other number.
    model = ScriptedModel(usage={"input_tokens": 100, "output_tokens": 20, "total_tokens": 128})

    with caplog.at_level(logging.INFO, "costsite"):
        for _ in range(3):
            model.invoke(QUESTION, {"callbacks": [handler]})

    said = [record.getMessage() for record in caplog.records if "does not add up" in record.getMessage()]
    assert len(said) == 1
    assert "total_tokens is 8 above input_tokens and output_tokens together: left as reported" in said[0]


def test_usage_that_cannot_be_believed_is_not_said_to_be_missing(
    handler: CostCallbackHandler, caplog: pytest.LogCaptureFixture
) -> None:
    model = ScriptedModel(usage={"input_tokens": 100, "output_tokens": 0, "total_tokens": 100})

    with caplog.at_level(logging.WARNING, "costsite"):
        model.invoke(QUESTION, {"callbacks": [handler]})

    assert "no output_tokens were reported" in caplog.text
    assert "The provider reported no token usage" not in caplog.text


@pytest.mark.parametrize("reader", ["read_request", "read_usage"])
def test_a_bug_in_a_reader_is_counted_and_said_once(
    reader: str, handler: CostCallbackHandler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    spooled: Spooled,
) -> None:  # fmt: skip
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(f"langchain_plugin.{reader.removeprefix('read_')}._read", broken)

    with caplog.at_level(logging.WARNING, "costsite"):
        for _ in range(2):
            ScriptedModel().invoke(QUESTION, {"callbacks": [handler]})

    assert len(calls_of(spooled())) == 2
    assert handler.reporter.losses == {"bug": 2}
    assert caplog.text.count("could not read a callback (ZeroDivisionError") == 1


def test_an_answer_from_langchains_own_cache_is_marked(handler: CostCallbackHandler, spooled: Spooled) -> None:
    set_llm_cache(InMemoryCache())
    try:
        model = ScriptedModel(cache=True)
        for _ in range(2):
            model.invoke(QUESTION, {"callbacks": [handler]})
    finally:
        set_llm_cache(None)

    paid, hit = calls_of(spooled())
    assert model.calls == 1
    assert "served_from_local_cache" not in paid
    assert (hit["served_from_local_cache"], hit["input_tokens"]) == (True, 100)


def test_a_bug_of_ours_never_reaches_the_users_call(
    handler: CostCallbackHandler, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(handler.reporter, "append", broken)

    with caplog.at_level(logging.WARNING, "costsite"):
        answer = ScriptedModel().invoke(QUESTION, {"callbacks": [handler]})

    assert answer.content == "Hello there."
    assert "ZeroDivisionError" in caplog.text


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


def test_an_error_that_cannot_be_written_reaches_the_users_call_no_more_than_others(
    handler: CostCallbackHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise UnspeakableError

    monkeypatch.setattr(handler.reporter, "append", broken)
    # As in a program of its own: pytest's log handler raises what cannot be written.
    monkeypatch.setattr(logging.getLogger("costsite"), "propagate", False)

    assert ScriptedModel().invoke(QUESTION, {"callbacks": [handler]}).content == "Hello there."
    assert handler.reporter.losses == {"bug": 1}


def test_open_ids_do_not_pile_up(handler: CostCallbackHandler) -> None:
    for _ in range(50):
        ScriptedModel().with_retry().invoke(QUESTION, {"callbacks": [handler]})

    assert not handler._tree.runs
    assert not handler._tree.calls
