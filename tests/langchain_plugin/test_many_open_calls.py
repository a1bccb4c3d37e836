"""More calls open at once than are looked after, and calls that take longer: none is lost, none is counted twice."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from langchain_plugin import CostCallbackHandler, run_tree
from langchain_plugin import handler as handler_module
from tests.langchain_plugin.conftest import Spooled, calls_of

USAGE = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}


@pytest.fixture(autouse=True)
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_tree, "MAX_OPEN_IDS", 100)


def start(handler: CostCallbackHandler, count: int, parent: UUID | None = None) -> list[UUID]:
    ids = [uuid4() for _ in range(count)]
    for run_id in ids:
        handler.on_chat_model_start({}, [[HumanMessage("q" * 40)]], run_id=run_id, parent_run_id=parent)
    return ids


def end(handler: CostCallbackHandler, run_id: UUID) -> None:
    message = AIMessage("Hello.", usage_metadata=USAGE)
    handler.on_llm_end(LLMResult(generations=[[ChatGeneration(message=message)]]), run_id=run_id)


def last_reports(events: list[dict[str, Any]]) -> dict[str, str]:
    """By LangChain's id, how the report that came last was made."""
    return {call["langchain_run_id"]: call.get("usage_basis", "measured") for call in calls_of(events)}


def test_calls_beyond_the_bound_are_measured_when_they_end(handler: CostCallbackHandler, spooled: Spooled) -> None:
    ids = start(handler, 200)
    for run_id in ids:
        end(handler, run_id)

    events = spooled()
    assert last_reports(events) == {str(run_id): "measured" for run_id in ids}
    assert len({call["call_id"] for call in calls_of(events)}) == 200, "each under one id, so it is counted once"
    assert handler.reporter.losses == {}


def test_calls_far_beyond_the_bound_stay_estimated(handler: CostCallbackHandler, spooled: Spooled) -> None:
    ids = start(handler, 350)
    for run_id in ids:
        end(handler, run_id)

    reports = last_reports(spooled())
    assert reports.keys() == {str(run_id) for run_id in ids}
    assert list(reports.values()).count("estimated") == 150
    assert not handler._tree.calls
    assert not handler._tree.given_up


def test_a_call_that_was_known_twice_at_once_is_given_up_with_its_double(
    handler: CostCallbackHandler, spooled: Spooled
) -> None:
    (run_id,) = start(handler, 1)
    handler.on_chat_model_start({}, [[HumanMessage("q" * 40)]], run_id=run_id)
    start(handler, 100)
    assert len(calls_of(spooled())) == 2
    end(handler, run_id)
    end(handler, run_id)
    assert [call.get("usage_basis", "measured") for call in calls_of(spooled())] == ["estimated"] * 2 + ["measured"] * 2


def test_a_call_of_more_than_an_hour_is_measured_when_it_ends(
    handler: CostCallbackHandler, spooled: Spooled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler_module, "STALE_AFTER_SECONDS", -1.0)
    monkeypatch.setattr(handler_module, "STALE_LOOK_SECONDS", 0.0)
    (run_id,) = start(handler, 1)
    for _ in range(3):  # each start looks for what is old
        start(handler, 1)
    assert last_reports(spooled())[str(run_id)] == "estimated"
    end(handler, run_id)
    assert last_reports(spooled())[str(run_id)] == "measured"


def test_runs_beyond_the_bound_are_counted_as_forgotten(handler: CostCallbackHandler, spooled: Spooled) -> None:
    runs = [uuid4() for _ in range(101)]
    for run_id in runs:
        handler.on_chain_start({"name": "chain"}, {}, run_id=run_id)
        for call_id in start(handler, 1, parent=run_id):
            end(handler, call_id)
    assert len(calls_of(spooled())) == 101
    assert handler.reporter.losses == {"run_forgotten": 10}
