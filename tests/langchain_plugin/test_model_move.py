"""The model that an agent's owner names at the site, from a part of its budget on: a real agent asks it, or the log
says that it is not there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel

from langchain_plugin import CostCallbackHandler, named_models, wire
from langchain_plugin.middleware import BudgetMiddleware
from langchain_plugin.named_models import NamedModels
from tests.langchain_plugin.models import ScriptedModel
from tests.langchain_plugin.provider_server import ProviderServer
from tests.langchain_plugin.stub_site import StubSite, leave, receipt, refusal
from tests.langchain_plugin.test_guard import CENT, PRICES, handler_of, with_prices
from tests.langchain_plugin.test_middleware import RUNS
from tests.langchain_plugin.ways import look_up, state

pytestmark = pytest.mark.newer_langchain

A_MONTH = 30 * 86_400.0


@pytest.fixture(autouse=True)
def nothing_said() -> Iterator[None]:
    yield
    named_models._said.clear()


def move(due_in: float | None = A_MONTH, **changes: Any) -> dict[str, Any]:
    due_until = None if due_in is None else time.time() + due_in
    return {"provider": "openai", "model": "gpt-5-mini", "at_percent": 80, "due_until": due_until} | changes


def set_at_site(site: StubSite, model_move: dict[str, Any] | None, **changes: Any) -> None:
    """As the answer to a lease says it."""
    site.lease_answer = lambda asked: leave(
        asked, agent_settings={"agent": asked["agent"], "model_move": model_move}, **changes
    )


def asked_of(costs: CostCallbackHandler, way: str, model: ScriptedModel, **arguments: Any) -> None:
    agent = create_agent(model, tools=[look_up], middleware=[BudgetMiddleware(costs, **arguments)])
    RUNS[way](agent, {"callbacks": [costs]})


@pytest.mark.parametrize("way", RUNS)
@pytest.mark.parametrize(
    ("due_in", "calls"),
    [(None, (1, 0)), (A_MONTH, (0, 1)), (-1.0, (1, 0))],
    ids=["not yet", "due", "the month is over"],
)
def test_the_owners_model_is_asked_from_when_it_is_due_until_the_month_ends(
    way: str, due_in: float | None, calls: tuple[int, int], site: StubSite, tmp_path: Path
) -> None:
    set_at_site(site, move(due_in))
    own, named = ScriptedModel(), ScriptedModel(model_name="gpt-5-mini")

    asked_of(handler_of(site, tmp_path), way, own, models={"openai/gpt-5-mini": named})

    assert (own.calls, named.calls) == calls


def test_a_running_process_follows_the_owner_to_and_fro(site: StubSite, costs: CostCallbackHandler) -> None:
    own, named = ScriptedModel(), ScriptedModel(model_name="gpt-5-mini")
    agent = create_agent(own, tools=[look_up], middleware=[BudgetMiddleware(costs, models={"gpt-5-mini": named})])
    counts = []
    for model_move in (move(None), move(), None):
        told = [{"agent": "support-bot", "model_move": model_move}]
        site.answer = lambda batch, told=told: receipt(batch, agent_settings=told)  # type: ignore[misc]
        for _ in range(2):
            agent.invoke(state(), {"callbacks": [costs]})
            assert costs.flush(10)
        counts.append((own.calls, named.calls))

    # The first run after a change brings the news home.
    assert counts == [(2, 0), (3, 1), (4, 2)]


def test_the_codes_own_share_holds_until_the_owners_is_due(site: StubSite, tmp_path: Path) -> None:
    budget = {"agent": "support-bot", "spent_microcents": 85 * CENT, "limit_microcents": 100 * CENT}
    models = [ScriptedModel(model_name=name) for name in ("own", "cheap", "gpt-5-mini")]
    for number, due_in in enumerate((None, A_MONTH)):
        set_at_site(site, move(due_in, at_percent=90), budget=budget)
        costs = handler_of(site, tmp_path / str(number))
        asked_of(costs, "invoke", models[0], cheaper_model=models[1], models={"openai/gpt-5-mini": models[2]})

    assert [model.calls for model in models] == [0, 1, 1]


@pytest.mark.parametrize("way", RUNS)
def test_a_call_too_large_for_what_is_left_goes_to_the_owners_model(way: str, site: StubSite, tmp_path: Path) -> None:
    card = [
        {"provider": "acme", "model": "scripted-1", "prices": PRICES, "output_bound_tokens": 20},
        {"provider": "acme", "model": "gpt-5-mini", "prices": dict.fromkeys(PRICES, 1), "output_bound_tokens": 20},
    ]
    settings = {"agent": "support-bot", "model_move": move(None)}

    def answer(asked: dict[str, Any]) -> Any:
        if asked["least_microcents"] > CENT:
            return refusal("too_large", left_microcents=CENT)(asked)
        return with_prices(asked, 1, price_card=card, agent_settings=settings)

    site.lease_answer = answer
    own, named = ScriptedModel(), ScriptedModel(model_name="gpt-5-mini")
    costs = handler_of(site, tmp_path, held_wait_seconds=60)  # on a loop the site's answer is waited for here

    asked_of(costs, way, own, models={"gpt-5-mini": named})

    assert (own.calls, named.calls) == (0, 1)


# ── a name becomes a model ───────────────────────────────────────────────────────────────────────────────────────────


def test_langchains_own_function_makes_the_model_by_its_name_and_the_provider_is_asked(
    site: StubSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_at_site(site, move())
    own, costs = ScriptedModel(), handler_of(site, tmp_path)
    with ProviderServer() as provider:
        monkeypatch.setenv("OPENAI_API_KEY", "any")
        monkeypatch.setenv("OPENAI_API_BASE", provider.openai_url)
        asked_of(costs, "invoke", own, models=init_chat_model)
        models = [request.body["model"] for request in provider.requests]

    assert (own.calls, models) == (0, ["gpt-5-mini"])


@pytest.mark.parametrize("way", RUNS)
def test_a_function_is_called_once_and_not_on_the_event_loop(way: str, site: StubSite, tmp_path: Path) -> None:
    set_at_site(site, move())
    named, made = ScriptedModel(model_name="gpt-5-mini"), []

    def make(name: str) -> BaseChatModel:
        made.append((name, asyncio._get_running_loop() is not None))
        return named

    costs = handler_of(site, tmp_path)
    agent = create_agent(ScriptedModel(), tools=[look_up], middleware=[BudgetMiddleware(costs, models=make)])
    for _ in range(3):
        RUNS[way](agent, {"callbacks": [costs]})

    assert (made, named.calls) == ([("openai:gpt-5-mini", False)], 3)


@pytest.mark.parametrize(
    ("name", "asked", "found"),
    [
        ("openai/gpt-5-mini", {}, True),
        ("openai:gpt-5-mini", {}, True),
        ("gpt-5-mini", {}, True),
        ("azure/gpt-5-mini", {}, False),
        ("openai/gpt-5", {}, False),
        ("azure/gpt-5-mini", {"provider": ""}, True),
        ("ollama:gpt-oss:20b", {"provider": "ollama", "model": "gpt-oss:20b"}, True),
        ("groq/openai/gpt-oss-120b", {"provider": "groq", "model": "openai/gpt-oss-120b"}, True),
        ("openai/gpt-oss-120b", {"provider": "groq", "model": "openai/gpt-oss-120b"}, True),
    ],
)
def test_a_name_is_matched_with_its_provider_or_by_itself_where_one_side_names_none(
    name: str, asked: dict[str, Any], found: bool
) -> None:
    model = ScriptedModel()

    chosen = NamedModels({"other/model": ScriptedModel(), name: model}).chat_model(
        "support-bot", wire.ModelMove.model_validate(move() | asked)
    )

    assert (chosen is model) is found


def _no_package(name: str) -> BaseChatModel:
    raise ImportError("install langchain-openai")


@pytest.mark.parametrize("way", RUNS)
@pytest.mark.parametrize(
    ("models", "why"),
    [
        (None, "models has none of that name"),
        ({"openai/gpt-5": ScriptedModel()}, "models has none of that name"),
        (_no_package, "ImportError: install langchain-openai"),
        (lambda name: "gpt-5-mini", "models gave a str for it"),
    ],
    ids=["none given", "another", "no package", "no model"],
)
def test_where_there_is_no_such_model_the_agent_goes_on_with_its_own_and_the_log_says_so_once_with_the_mend(
    way: str, models: Any, why: str, site: StubSite, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_at_site(site, move())
    own, costs = ScriptedModel(), handler_of(site, tmp_path)
    caplog.set_level(logging.WARNING, "costsite")

    for _ in range(3):  # an agent made anew for each request, too
        asked_of(costs, way, own, models=models)

    assert own.calls == 3
    (said,) = [record.getMessage() for record in caplog.records if "from 80 % of its budget on" in record.getMessage()]
    assert said.startswith("Costsite: support-bot is to ask openai/gpt-5-mini")
    assert f"({why})" in said
    assert "give BudgetMiddleware models={'openai/gpt-5-mini': …}" in said


def test_where_there_is_no_such_model_the_codes_cheaper_one_stays_its_rule(site: StubSite, tmp_path: Path) -> None:
    budget = {"agent": "support-bot", "spent_microcents": 85 * CENT, "limit_microcents": 100 * CENT}
    set_at_site(site, move(), budget=budget)
    own, cheap = ScriptedModel(), ScriptedModel(model_name="cheap")

    asked_of(handler_of(site, tmp_path), "invoke", own, cheaper_model=cheap)

    assert (own.calls, cheap.calls) == (0, 1)


def test_what_the_site_said_of_a_move_outlives_the_process(make_reporter: Callable[..., Any], site: StubSite) -> None:
    told = wire.AgentSettings.model_validate({"agent": "support-bot", "model_move": move()})
    batch = {"batch_id": "019a9f00-0000-7000-8000-000000000006", "events": []}
    answer = wire.Receipt.model_validate_json(receipt(batch, agent_settings=[told.model_dump(mode="json")]).body)
    make_reporter().news.tell(answer)

    assert make_reporter().news.agent_settings("support-bot") == told
