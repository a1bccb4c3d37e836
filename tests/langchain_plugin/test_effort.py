"""The effort an owner sets at the site, as it reaches the providers: real clients, real HTTP, a site that is told what
to answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_openai import ChatOpenAI

from langchain_plugin import CostCallbackHandler, with_effort
from langchain_plugin.effort import effort_settings
from tests.langchain_plugin.conftest import KEY
from tests.langchain_plugin.models import ScriptedModel
from tests.langchain_plugin.provider_server import ProviderServer
from tests.langchain_plugin.stub_site import StubSite, leave, receipt
from tests.langchain_plugin.ways import look_up

Sent = Callable[[], list[str]]
"""The effort in each request the provider got; empty where there is none."""


@pytest.fixture
def provider() -> Iterator[ProviderServer]:
    with ProviderServer() as server:
        yield server


@pytest.fixture
def sent(provider: ProviderServer) -> Sent:
    def efforts() -> list[str]:
        bodies = [request.body for request in provider.requests]
        return [
            body.get("reasoning_effort")
            or (body.get("reasoning") or {}).get("effort")
            or (body.get("output_config") or {}).get("effort")
            or ""
            for body in bodies
        ]

    return efforts


def openai(provider: ProviderServer, model: str = "o3", **settings: Any) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=provider.openai_url, api_key="any", max_retries=0, **settings)


def anthropic(provider: ProviderServer) -> ChatAnthropic:
    return ChatAnthropic(model="claude-opus-4-5", base_url=provider.url, api_key="any", max_retries=0)


def set_at_site(site: StubSite, costs: CostCallbackHandler, effort: str, agent: str = "support-bot") -> None:
    """What the owner does in the admin, and how the process hears of it: by the answer to its next report."""
    site.answer = lambda batch: receipt(batch, agent_settings=[{"agent": agent, "effort": effort}])
    ScriptedModel().invoke("Hello", {"callbacks": [costs]})
    assert costs.flush(10)


_loop = asyncio.Runner()
CALLS: dict[str, Callable[[Runnable[Any, Any], Any], Any]] = {
    "invoke": lambda model, config: model.invoke("Hello", config),
    # One loop for all: an HTTP connection belongs to the loop that it was made in.
    "ainvoke": lambda model, config: _loop.run(model.ainvoke("Hello", config)),
    "stream": lambda model, config: list(model.stream("Hello", config)),
    "batch": lambda model, config: model.batch(["Hello"], config),
    "in a chain": lambda model, config: (RunnableLambda(lambda text: [HumanMessage(text)]) | model).invoke(
        "Hello", config
    ),
}


@pytest.mark.parametrize("way", CALLS)
def test_a_model_with_effort_is_told_what_the_site_says_now(
    way: str, site: StubSite, costs: CostCallbackHandler, provider: ProviderServer, sent: Sent
) -> None:
    model = with_effort(openai(provider), costs=costs)
    for effort in ("", "low", "high"):
        set_at_site(site, costs, effort)
        CALLS[way](model, {"callbacks": [costs]})

    assert sent() == ["", "low", "high"]
    assert costs.flush(10)
    calls = [event for event in site.events if event["type"] == "llm_call" and event["provider"] == "openai"]
    assert [call.get("effort", "") for call in calls] == ["", "low", "high"]


@pytest.mark.newer_langchain
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda provider: openai(provider, "gpt-5-mini"), ["low", "medium", "high"], id="its profile says"),
        pytest.param(
            lambda provider: openai(provider, "gpt-5-mini", use_responses_api=True), ["low", "medium", "high"],
            id="Responses API",
        ),
        pytest.param(lambda provider: openai(provider, "o3"), ["low", "medium", "high"], id="the table says"),
        pytest.param(anthropic, ["low", "medium", "high"], id="Anthropic"),
        pytest.param(lambda provider: openai(provider, "gpt-4o"), ["", "", ""], id="a model without one"),
    ],
)  # fmt: skip
def test_each_provider_gets_its_own_setting(
    make: Callable[[ProviderServer], BaseChatModel],
    expected: list[str],
    site: StubSite,
    costs: CostCallbackHandler,
    provider: ProviderServer,
    sent: Sent,
) -> None:
    model = with_effort(make(provider), costs=costs)
    for effort in ("low", "medium", "high"):
        set_at_site(site, costs, effort)
        model.invoke("Hello")

    assert sent() == expected


def test_a_model_without_the_setting_is_left_alone_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "costsite")
    model = ScriptedModel(model_name="parrot-1")

    assert [effort_settings(model, "low"), effort_settings(model, "high")] == [{}, {}]
    (said,) = [record.message for record in caplog.records]
    assert "parrot-1 has no such setting" in said


class _Described(ScriptedModel):
    """As integrations do it whose profiles name the levels."""

    reasoning_effort: str | None = None


@pytest.mark.newer_langchain  # models had no profile before
@pytest.mark.parametrize(
    ("levels", "low", "medium", "high"),
    [
        (["none", "low", "high", "max"], "low", "low", "high"),
        (["minimal", "medium"], "minimal", "medium", "medium"),
        (["xhigh", "max"], "xhigh", "xhigh", "xhigh"),
    ],
)
def test_a_level_that_a_model_lacks_becomes_the_nearest_the_cheaper_of_two(
    levels: list[str], low: str, medium: str, high: str
) -> None:
    model = _Described(profile={"reasoning_effort_levels": levels})

    told = [effort_settings(model, effort)["reasoning_effort"] for effort in ("low", "medium", "high")]
    assert told == [low, medium, high]


def test_what_the_code_says_of_one_use_stands(
    site: StubSite, costs: CostCallbackHandler, provider: ProviderServer, sent: Sent
) -> None:
    set_at_site(site, costs, "high")
    with_effort(openai(provider).bind(reasoning_effort="low"), costs=costs).invoke("Hello")
    with_effort(openai(provider), costs=costs).invoke("Hello", reasoning_effort="low")

    assert sent() == ["low", "low"]


def test_tools_are_bound_before_or_after(
    site: StubSite, costs: CostCallbackHandler, provider: ProviderServer, sent: Sent
) -> None:
    set_at_site(site, costs, "low")
    with_effort(openai(provider).bind_tools([look_up]), costs=costs).invoke("Hello")
    with_effort(openai(provider), costs=costs).bind_tools([look_up]).invoke("Hello")

    assert sent() == ["low", "low"]
    assert all(request.body["tools"] for request in provider.requests)


def test_what_is_no_model_is_refused_with_the_mend(costs: CostCallbackHandler) -> None:
    with pytest.raises(TypeError, match="wrap the model inside the chain"):
        with_effort(RunnableLambda(str), costs=costs)
    with pytest.raises(TypeError, match="response_format"):
        with_effort(ScriptedModel(), costs=costs).with_structured_output(dict)


def test_the_handler_tells_the_effort_of_the_agent_that_runs(site: StubSite, costs: CostCallbackHandler) -> None:
    set_at_site(site, costs, "low")
    assert (costs.effort, costs.effort_of("researcher")) == ("low", "")
    site.answer = lambda batch: receipt(batch, agent_settings=[{"agent": "researcher", "effort": "high"}])
    heard: list[str] = []
    step = RunnableLambda(lambda text: (ScriptedModel().invoke(text), heard.append(costs.effort))[0])
    for _ in range(2):
        step.invoke("Hello", {"callbacks": [costs], "metadata": {"costsite_agent": "researcher"}})
        assert costs.flush(10)
    assert heard == ["", "high"]


def test_the_first_call_of_a_fresh_process_follows_the_effort_that_its_lease_came_with(
    site: StubSite, costs: CostCallbackHandler, provider: ProviderServer, sent: Sent
) -> None:
    site.lease_answer = lambda asked: leave(asked, agent_settings={"agent": asked["agent"], "effort": "low"})
    with_effort(openai(provider), agent="newborn", costs=costs).invoke("Hello")

    assert sent() == ["low"]


def test_a_site_that_does_not_answer_is_waited_for_once(site: StubSite, tmp_path: Path) -> None:
    costs = CostCallbackHandler(agent="support-bot", api_key=KEY, url="http://127.0.0.1:9", state_dir=tmp_path)
    assert [costs.effort_of(f"agent-{number % 2}") for number in range(40)] == [""] * 40


def test_a_process_that_reports_nothing_hears_of_a_change_when_its_lease_is_renewed(
    site: StubSite, costs: CostCallbackHandler
) -> None:
    def answer(asked: dict[str, Any]) -> Any:
        effort = "low" if len(site.lease_requests) < 3 else "high"
        return leave(asked, valid_for_seconds=2, agent_settings={"agent": asked["agent"], "effort": effort})

    site.lease_answer = answer
    deadline = time.monotonic() + 60
    heard = [costs.effort_of("support-bot")]
    while heard[-1] != "high" and time.monotonic() < deadline:
        time.sleep(0.05)
        heard.append(costs.effort_of("support-bot"))

    assert list(dict.fromkeys(effort for effort in heard if effort)) == ["low", "high"]
    assert site.batches == []
