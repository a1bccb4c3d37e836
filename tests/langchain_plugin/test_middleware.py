from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent

from langchain_plugin.middleware import BudgetMiddleware
from tests.langchain_plugin.models import ScriptedModel
from tests.langchain_plugin.stub_site import StubSite, refusal
from tests.langchain_plugin.test_guard import CENT, PRICES, handler_of, with_prices
from tests.langchain_plugin.ways import look_up, state, tool_call

pytestmark = pytest.mark.newer_langchain

DOCS = Path(__file__).resolve().parents[2] / "docs" / "budgets.md"

RUNS: dict[str, Callable[[Any, Any], Any]] = {
    "invoke": lambda agent, config: agent.invoke(state(), config),
    "ainvoke": lambda agent, config: asyncio.run(agent.ainvoke(state(), config)),
    "stream": lambda agent, config: list(agent.stream(state(), config, stream_mode="values"))[-1],
}


@pytest.mark.parametrize("way", RUNS)
def test_a_spent_budget_is_answered_with_a_message(way: str, site: StubSite, tmp_path: Path) -> None:
    site.lease_answer = refusal("exhausted", blocked_until_text="1 December 00:00 (UTC)")
    costs, model = handler_of(site, tmp_path), ScriptedModel()
    agent = create_agent(model, tools=[look_up], middleware=[BudgetMiddleware(costs, message="Sorry. {reason}")])

    answer = RUNS[way](agent, {"callbacks": [costs]})["messages"][-1]

    assert answer.content == (
        "Sorry. Blocked until 1 December 00:00 (UTC): 47.90¢ of the 50.00¢ budget of support-bot is spent."
    )
    assert model.calls == 0
    assert costs.flush(60)
    assert [event["kind"] for event in site.events if event["type"] == "refused"] == ["exhausted"]


@pytest.mark.parametrize("way", RUNS)
def test_the_warning_that_langchain_writes_of_a_refusal_is_left_out_as_the_docs_say(
    way: str, site: StubSite, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(asked: dict[str, Any]) -> Any:
        if asked["least_microcents"]:
            return refusal("too_large", left_microcents=0)(asked)
        return with_prices(asked, asked["keep_microcents"] // CENT)

    site.lease_answer = answer
    costs = handler_of(site, tmp_path, held_wait_seconds=60)
    agent = create_agent(ScriptedModel(), tools=[look_up], middleware=[BudgetMiddleware(costs)])
    ((code, name),) = re.findall(r'^(logging\.getLogger\("(.+?)"\)\.addFilter.+)$', DOCS.read_text(), re.MULTILINE)
    logger = logging.getLogger(name)

    RUNS[way](agent, {"callbacks": [costs]})
    assert "Error in CostCallbackHandler.on_chat_model_start callback: BudgetExceeded(" in caplog.text
    caplog.clear()
    exec(code, {"logging": logging})
    try:
        RUNS[way](agent, {"callbacks": [costs]})
        logger.warning("Error in another callback: ValueError()")
    finally:
        del logger.filters[:]

    assert [record.getMessage() for record in caplog.records] == ["Error in another callback: ValueError()"]


@pytest.mark.parametrize("way", RUNS)
def test_a_budget_that_ends_within_a_run_ends_it_with_a_message(way: str, site: StubSite, tmp_path: Path) -> None:
    answers = iter([True, *[False] * 100])

    def answer(asked: dict[str, Any]) -> Any:
        if asked["least_microcents"] and not next(answers):
            return refusal("too_large", left_microcents=0)(asked)
        return with_prices(asked, 2_000 if asked["least_microcents"] else asked["keep_microcents"] // CENT)

    site.lease_answer = answer
    usage = {"input_tokens": 1_900, "output_tokens": 20, "total_tokens": 1_920}
    model = ScriptedModel(answers=[tool_call(order="A-1"), "never said"], usage=usage)
    costs = handler_of(site, tmp_path, held_wait_seconds=60)

    messages = RUNS[way](
        create_agent(model, tools=[look_up], middleware=[BudgetMiddleware(costs)]), {"callbacks": [costs]}
    )["messages"]

    assert model.calls == 1
    assert messages[-1].content.startswith("I cannot go on: Blocked: ")


@pytest.mark.parametrize("way", RUNS)
@pytest.mark.parametrize(("spent", "used"), [(79, "dear"), (80, "cheap")])
def test_from_a_share_of_the_budget_on_the_cheaper_model_is_asked(
    way: str, spent: int, used: str, site: StubSite, tmp_path: Path
) -> None:
    budget = {"agent": "support-bot", "spent_microcents": spent * CENT, "limit_microcents": 100 * CENT}
    site.lease_answer = lambda asked: with_prices(asked, None, lease_id=None, budget=budget)
    models = {"dear": ScriptedModel(), "cheap": ScriptedModel(model_name="cheap")}
    costs = handler_of(site, tmp_path)
    middleware = BudgetMiddleware(costs, cheaper_model=models["cheap"])

    RUNS[way](create_agent(models["dear"], tools=[look_up], middleware=[middleware]), {"callbacks": [costs]})

    assert {name: model.calls for name, model in models.items()} == {"dear": 0, "cheap": 0} | {used: 1}


@pytest.mark.parametrize("way", RUNS)
def test_a_call_too_large_for_what_is_left_goes_to_the_cheaper_model(way: str, site: StubSite, tmp_path: Path) -> None:
    def answer(asked: dict[str, Any]) -> Any:
        card = [
            {"provider": "acme", "model": "scripted-1", "prices": PRICES, "output_bound_tokens": 20},
            {"provider": "acme", "model": "cheap", "prices": dict.fromkeys(PRICES, 1), "output_bound_tokens": 20},
        ]
        if asked["least_microcents"] > CENT:
            return refusal("too_large", left_microcents=CENT)(asked)
        return with_prices(asked, 1, price_card=card)

    site.lease_answer = answer
    dear, cheap = ScriptedModel(), ScriptedModel(model_name="cheap")
    costs = handler_of(site, tmp_path, held_wait_seconds=60)  # on a loop the site's answer is waited for here
    middleware = BudgetMiddleware(costs, cheaper_model=cheap)

    RUNS[way](create_agent(dear, tools=[look_up], middleware=[middleware]), {"callbacks": [costs]})

    assert (dear.calls, cheap.calls) == (0, 1)


@pytest.mark.parametrize("way", RUNS)
@pytest.mark.parametrize(("tokens", "calls"), [(20, 1), (2_000_000, 0)], ids=["it fits", "too large at its own price"])
def test_the_first_call_of_a_process_is_decided_by_its_own_price_and_not_by_the_fallbacks(
    way: str, tokens: int, calls: int, site: StubSite, tmp_path: Path
) -> None:
    """The middleware has the site asked before any model is known; the fallback is dearer than what is left."""
    left = 1_000_000

    def answer(asked: dict[str, Any]) -> Any:
        if asked["least_microcents"] > left:
            return refusal("too_large", left_microcents=left, asked_microcents=asked["least_microcents"])(asked)
        card = [
            {**model, "prices": dict.fromkeys(PRICES, 100_000_000), "output_bound_tokens": tokens}  # 1 USD a million
            for model in asked["models"]
        ]
        return with_prices(asked, None, available_microcents=left, price_card=card)

    site.lease_answer = answer
    costs, model = handler_of(site, tmp_path, held_wait_seconds=60), ScriptedModel()
    agent = create_agent(model, tools=[look_up], middleware=[BudgetMiddleware(costs)])

    messages = RUNS[way](agent, {"callbacks": [costs]})["messages"]

    assert model.calls == calls
    assert messages[-1].content.startswith("Hello" if calls else "I cannot go on: Blocked: 1.00¢")
    assert site.lease_requests[0][1]["models"] == []


def test_on_an_event_loop_it_waits_for_calls_that_hold_the_rest(site: StubSite, tmp_path: Path) -> None:
    refusals = iter([True, True, False])

    def answer(asked: dict[str, Any]) -> Any:
        if asked["least_microcents"] and next(refusals, False):
            return refusal("held", retry_after_seconds=0.1)(asked)
        return with_prices(asked, 10_000 if asked["least_microcents"] else asked["keep_microcents"] // CENT)

    site.lease_answer = answer
    costs, model = handler_of(site, tmp_path, held_wait_seconds=60), ScriptedModel()
    agent = create_agent(model, tools=[look_up], middleware=[BudgetMiddleware(costs)])

    asyncio.run(agent.ainvoke(state(), {"callbacks": [costs]}))

    assert model.calls == 1


def test_a_share_that_is_none_is_refused(site: StubSite, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        BudgetMiddleware(handler_of(site, tmp_path), from_share=80)
