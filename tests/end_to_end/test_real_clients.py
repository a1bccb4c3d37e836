"""Real ChatOpenAI and ChatAnthropic clients, over HTTP, through the real handler, to the events it reports.

`ProviderServer` sends what the providers send; beside each of their payloads stand the buckets worked out from it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.caches import InMemoryCache
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel, TypeAdapter

from langchain_plugin import CostCallbackHandler
from langchain_plugin.wire import Event, LLMCall, TokenCounts
from tests import own_site
from tests.end_to_end.live_site import LiveSite
from tests.langchain_plugin.provider_server import Answer, ProviderServer

Calls = Callable[[], list[LLMCall]]

QUESTION = "What now?"
"""9 characters: estimated at 3 tokens, and 4 for its message."""


@pytest.fixture
def provider() -> Iterator[ProviderServer]:
    # A new port for each test: clients keep connections, and a connection belongs to the event loop it was made in.
    with ProviderServer() as server:
        yield server


@pytest.fixture
def handler(tmp_path: Path) -> CostCallbackHandler:
    # Nobody listens on the discard port, so what is reported stays in the spool.
    return CostCallbackHandler(
        agent="support-bot", api_key="cs_0123456789_test", url="http://127.0.0.1:9", state_dir=tmp_path
    )


@pytest.fixture
def calls(handler: CostCallbackHandler, tmp_path: Path) -> Calls:
    """The calls reported so far, each checked against the wire."""

    def read() -> list[LLMCall]:
        lines = [line for path in sorted(tmp_path.rglob("*.jsonl")) for line in path.read_text().splitlines()]
        events = [TypeAdapter(Event).validate_python(json.loads(line), strict=False) for line in lines]
        return [event for event in events if isinstance(event, LLMCall)]

    return read


def openai_model(provider: ProviderServer, **settings: Any) -> ChatOpenAI:
    defaults = {
        "model": "gpt-5",
        "base_url": provider.openai_url,
        "api_key": "any",
        "max_retries": 0,
        "stream_usage": True,
    }
    return ChatOpenAI(**defaults | settings)


def anthropic_model(provider: ProviderServer, **settings: Any) -> ChatAnthropic:
    defaults = {"model": "claude-sonnet-4-6", "base_url": provider.url, "api_key": "any", "max_retries": 0}
    return ChatAnthropic(**defaults | settings)


def counts(call: LLMCall) -> TokenCounts:
    return TokenCounts(*(getattr(call, name) for name in TokenCounts._fields))


# ── the ways to call a model ─────────────────────────────────────────────────────────────────────────────────────


async def _drain(stream: Any) -> None:
    async for _ in stream:
        pass


WAYS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "invoke": lambda model, config: model.invoke(QUESTION, config),
    "ainvoke": lambda model, config: asyncio.run(model.ainvoke(QUESTION, config)),
    "stream": lambda model, config: list(model.stream(QUESTION, config)),
    "astream": lambda model, config: asyncio.run(_drain(model.astream(QUESTION, config))),
    "astream_events": lambda model, config: asyncio.run(_drain(model.astream_events(QUESTION, config, version="v2"))),
    "batch": lambda model, config: model.batch([QUESTION], config),
}
STREAMS = ("stream", "astream", "astream_events")
every_way = pytest.mark.parametrize("way", WAYS)


# ── OpenAI: chat completions ─────────────────────────────────────────────────────────────────────────────────────

CHAT_COMPLETIONS = {
    "plain": (
        Answer(usage={"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150}),
        TokenCounts(120, 30),
        "",
    ),
    "cached and reasoned": (
        Answer(
            usage={
                "prompt_tokens": 10_000,
                "completion_tokens": 1_000,
                "total_tokens": 11_000,
                "prompt_tokens_details": {"cached_tokens": 8_000, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 640, "audio_tokens": 0},
            },
            service_tier="default",
        ),
        TokenCounts(10_000, 1_000, cache_read_tokens=8_000, reasoning_tokens=640),
        "default",
    ),
    "sound in and out": (
        Answer(
            usage={
                "prompt_tokens": 420,
                "completion_tokens": 180,
                "total_tokens": 600,
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 400},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 150},
            },
        ),
        TokenCounts(420, 180, input_audio_tokens=400, output_audio_tokens=150),
        "",
    ),
    **{
        f"at the {tier} tier": (
            Answer(
                usage={
                    "prompt_tokens": 10_000,
                    "completion_tokens": 1_000,
                    "total_tokens": 11_000,
                    "prompt_tokens_details": {"cached_tokens": 8_000},
                    "completion_tokens_details": {"reasoning_tokens": 640},
                },
                service_tier=tier,
            ),
            TokenCounts(10_000, 1_000, cache_read_tokens=8_000, reasoning_tokens=640),
            tier,
        )
        for tier in ("flex", "priority")
    },
}


@every_way
@pytest.mark.parametrize("case", CHAT_COMPLETIONS)
def test_a_chat_completion_lands_in_its_buckets(
    case: str, way: str, provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    answer, expected, tier = CHAT_COMPLETIONS[case]
    provider.will_answer(answer)

    WAYS[way](openai_model(provider), {"callbacks": [handler]})

    (call,) = calls()
    assert (counts(call), call.usage_basis, call.status) == (expected, "measured", "ok")
    assert (call.provider, call.request_model, call.response_model, call.service_tier) == (
        "openai",
        "gpt-5",
        "gpt-5",
        tier,
    )
    assert (call.time_to_first_token_seconds is not None) == (way in STREAMS)


@pytest.mark.parametrize("way", STREAMS)
def test_a_stream_that_was_not_asked_for_usage_is_estimated_and_said_to_be(
    way: str, provider: ProviderServer, handler: CostCallbackHandler, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    """With `base_url` set ChatOpenAI does not ask by itself; OpenAI then sends none."""
    model = ChatOpenAI(model="gpt-5", base_url=provider.openai_url, api_key="any")
    provider.will_answer(Answer("The quick brown fox."))

    WAYS[way](model, {"callbacks": [handler]})

    (call,) = calls()
    # 9 characters + a message: 3 + 4; 20 characters answered: 5
    assert (counts(call), call.usage_basis) == (TokenCounts(7, 5), "estimated")
    assert "stream_options" not in provider.requests[0].body
    assert "stream_usage=True" in caplog.text


@every_way
def test_three_answers_are_one_bill(
    way: str, provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    provider.will_answer(Answer(usage={"prompt_tokens": 100, "completion_tokens": 90, "total_tokens": 190}))

    WAYS[way](openai_model(provider).bind(n=3), {"callbacks": [handler]})

    (call,) = calls()
    assert (counts(call), call.response_model) == (TokenCounts(100, 90), "gpt-5")


class Verdict(BaseModel):
    """What a structured answer holds."""

    good: bool


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_structured_output_is_counted_like_any_other(
    way: str, provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    provider.will_answer(
        Answer('{"good": true}', usage={"prompt_tokens": 60, "completion_tokens": 6, "total_tokens": 66})
    )

    WAYS[way](openai_model(provider).with_structured_output(Verdict), {"callbacks": [handler]})

    (call,) = calls()
    assert (counts(call), call.usage_basis) == (TokenCounts(60, 6), "measured")


# ── OpenAI: responses ────────────────────────────────────────────────────────────────────────────────────────────


@every_way
@pytest.mark.parametrize("tier", ["default", "flex", "priority"])
def test_a_response_lands_in_its_buckets(
    tier: str, way: str, provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    usage = {
        "input_tokens": 10_000,
        "input_tokens_details": {"cached_tokens": 8_000, "cache_write_tokens": 500},
        "output_tokens": 1_000,
        "output_tokens_details": {"reasoning_tokens": 640},
        "total_tokens": 11_000,
    }
    provider.will_answer(Answer(usage=usage, service_tier=tier, model="gpt-5-2025-08-07"))

    WAYS[way](openai_model(provider, use_responses_api=True), {"callbacks": [handler]})

    (call,) = calls()
    assert provider.requests[0].path == "/v1/responses"
    assert counts(call) == TokenCounts(
        10_000, 1_000, cache_read_tokens=8_000, cache_write_unknown_tokens=500, reasoning_tokens=640
    )
    assert (call.usage_basis, call.response_model, call.service_tier) == ("measured", "gpt-5-2025-08-07", tier)


# ── OpenAI: text completions ─────────────────────────────────────────────────────────────────────────────────────


def test_prompts_completed_in_one_request_are_billed_once_between_them(
    provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    provider.will_answer(Answer(usage={"prompt_tokens": 24, "completion_tokens": 8, "total_tokens": 32}))

    OpenAI(base_url=provider.openai_url, api_key="any").generate(["one", "two", "three"], callbacks=[handler])

    assert len(provider.requests) == 1
    assert [counts(call) for call in calls()] == [TokenCounts(24, 8), TokenCounts(), TokenCounts()]
    assert {call.usage_basis for call in calls()} == {"measured"}


def test_a_streamed_text_completion_is_estimated(
    provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    provider.will_answer(Answer("The quick brown fox."))

    list(OpenAI(base_url=provider.openai_url, api_key="any").stream(QUESTION, {"callbacks": [handler]}))

    (call,) = calls()
    # 9 characters + a message: 3 + 4; 20 characters answered: 5
    assert (counts(call), call.usage_basis) == (TokenCounts(7, 5), "estimated")


# ── Anthropic ────────────────────────────────────────────────────────────────────────────────────────────────────

ANTHROPIC_USAGE = {
    "input_tokens": 100,
    "cache_read_input_tokens": 5_000,
    "cache_creation_input_tokens": 2_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 1_500},
    "output_tokens": 50,
    "output_tokens_details": {"thinking_tokens": 20},
}


@every_way
def test_anthropics_cache_is_added_to_the_input_and_split_by_lifetime(
    way: str, provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    provider.will_answer(Answer(usage=ANTHROPIC_USAGE))

    WAYS[way](anthropic_model(provider), {"callbacks": [handler]})

    # 100 + 5,000 + 2,000 = 7,100. A stream tells the writes, but not how long they are kept.
    written = (
        {"cache_write_unknown_tokens": 2_000}
        if way in STREAMS
        else {"cache_write_5m_tokens": 500, "cache_write_1h_tokens": 1_500}
    )
    (call,) = calls()
    assert counts(call) == TokenCounts(7_100, 50, cache_read_tokens=5_000, reasoning_tokens=20, **written)
    assert (call.provider, call.response_model, call.usage_basis) == ("anthropic", "claude-sonnet-4-6", "measured")


def test_a_stream_takes_the_lifetime_of_its_writes_from_the_request(
    provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    provider.will_answer(Answer(usage={"input_tokens": 100, "cache_creation_input_tokens": 2_000, "output_tokens": 50}))
    model = anthropic_model(provider).bind(cache_control={"type": "ephemeral", "ttl": "1h"})

    list(model.stream(QUESTION, {"callbacks": [handler]}))

    (call,) = calls()
    assert counts(call) == TokenCounts(2_100, 50, cache_write_1h_tokens=2_000)


@every_way
def test_a_plain_message_lands_in_its_buckets(
    way: str, provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    provider.will_answer(Answer(usage={"input_tokens": 120, "output_tokens": 30}))

    WAYS[way](anthropic_model(provider, max_tokens=512), {"callbacks": [handler]})

    (call,) = calls()
    assert (counts(call), call.max_output_tokens) == (TokenCounts(120, 30), 512)


def test_anthropics_tier_is_the_one_that_was_billed(
    provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    provider.will_answer(Answer(service_tier="priority"))

    anthropic_model(provider).invoke(QUESTION, {"callbacks": [handler]})

    assert calls()[0].service_tier == "priority"


# ── agents and caches ────────────────────────────────────────────────────────────────────────────────────────────


@tool
def lookup(question: str) -> str:
    """Look something up."""
    return f"found {question}"


AGENT_MODELS = {
    "chat completions": (openai_model, {}, ("prompt_tokens", "completion_tokens")),
    "responses": (openai_model, {"use_responses_api": True}, ("input_tokens", "output_tokens")),
    "messages": (anthropic_model, {}, ("input_tokens", "output_tokens")),
}


@pytest.mark.parametrize("streamed", [False, True], ids=["invoke", "stream"])
@pytest.mark.parametrize("model", AGENT_MODELS)
def test_each_call_of_an_agent_is_read_with_the_tool_it_asked_for(
    model: str, streamed: bool, provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    make, settings, (input_key, output_key) = AGENT_MODELS[model]
    provider.will_answer(
        Answer(
            tool_calls=(("lookup", {"question": "x"}),), usage={input_key: 200, output_key: 40, "total_tokens": 240}
        ),
        Answer("Done.", usage={input_key: 260, output_key: 10, "total_tokens": 270}),
    )
    agent = create_agent(make(provider, **settings), tools=[lookup])
    question, config = {"messages": [HumanMessage(QUESTION)]}, {"callbacks": [handler]}

    if streamed:
        list(agent.stream(question, config, stream_mode="messages"))
    else:
        agent.invoke(question, config)

    first, second = calls()
    assert (counts(first), [call.name for call in first.tool_calls]) == (TokenCounts(200, 40), ["lookup"])
    assert (counts(second), second.tool_calls) == (TokenCounts(260, 10), ())
    assert first.run_id == second.run_id
    assert (first.step, first.call_index, second.call_index) == ("model", 0, 1)
    # 200 + 260 = 460; 40 + 10 = 50
    assert "2 calls, 460 in, 50 out" in str(handler.last_run)


@pytest.mark.parametrize("make", [openai_model, anthropic_model])
def test_an_answer_from_langchains_cache_is_marked_and_the_paid_one_is_not(
    make: Callable[..., Any], provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    model = make(provider, cache=InMemoryCache())

    for _ in range(2):
        model.invoke(QUESTION, {"callbacks": [handler]})

    paid, cached = calls()
    assert len(provider.requests) == 1
    assert (counts(paid), counts(cached)) == (TokenCounts(120, 30), TokenCounts(120, 30))
    assert (paid.served_from_local_cache, cached.served_from_local_cache) == (False, True)


# ── calls that go wrong ──────────────────────────────────────────────────────────────────────────────────────────

CLIENTS = {
    "chat completions": lambda provider: openai_model(provider),
    "responses": lambda provider: openai_model(provider, use_responses_api=True),
    "messages": lambda provider: anthropic_model(provider),
}
every_client = pytest.mark.parametrize("client", CLIENTS)


@every_client
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("status", [429, 500, 529])
def test_a_call_the_provider_refused_is_recorded_as_an_error_that_used_nothing(
    status: int, way: str, client: str, provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    provider.will_answer(Answer(status=status))

    with pytest.raises(Exception, match=f"answers {status}"):
        WAYS[way](CLIENTS[client](provider), {"callbacks": [handler]})

    (call,) = calls()
    assert (call.status, counts(call)) == ("error", TokenCounts(0, 0))
    assert call.error_type


@every_client
def test_a_retry_is_paid_once(
    client: str, provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    provider.will_answer(Answer(status=529))
    model = CLIENTS[client](provider).with_retry(stop_after_attempt=2, wait_exponential_jitter=False)

    model.invoke(QUESTION, {"callbacks": [handler]})

    refused, paid = calls()
    assert (counts(refused), counts(paid)) == (TokenCounts(0, 0), TokenCounts(120, 30))
    assert refused.run_id == paid.run_id


@every_client
@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_stream_that_breaks_midway_is_estimated_from_what_came(
    way: str, client: str, provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    provider.will_answer(Answer("The quick brown fox.", cut_after_words=2))

    with pytest.raises(Exception):  # noqa: B017 each client has its own word for a connection that broke
        WAYS[way](CLIENTS[client](provider), {"callbacks": [handler]})

    (call,) = calls()
    # 9 characters + a message: 3 + 4; "The quick" are 9 characters: 3
    assert (call.status, call.usage_basis, counts(call)) == ("error", "estimated", TokenCounts(7, 3))


@every_client
def test_a_stream_closed_early_is_abandoned_and_estimated(
    client: str, provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    provider.will_answer(Answer("The quick brown fox."))
    seen = ""
    stream = CLIENTS[client](provider).stream(QUESTION, {"callbacks": [handler]})

    while seen != "The quick":
        seen += next(stream).text
    stream.close()

    (call,) = calls()
    assert (call.status, call.usage_basis, counts(call)) == ("abandoned", "estimated", TokenCounts(7, 3))


@every_client
def test_a_cancelled_await_is_recorded(
    client: str, provider: ProviderServer, handler: CostCallbackHandler, calls: Calls
) -> None:
    provider.will_answer(Answer(delay_seconds=10))

    async def give_up() -> None:
        asking = asyncio.create_task(CLIENTS[client](provider).ainvoke(QUESTION, {"callbacks": [handler]}))
        while not any(call.owner is handler for call in handler._tree.calls.values()):
            await asyncio.sleep(0.01)
        await asyncio.wait_for(asking, timeout=0.1)

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())

    (call,) = calls()
    assert (call.status, call.usage_basis, call.input_tokens, call.output_tokens) == ("cancelled", "estimated", 7, None)


# ── all the way into the ledger ──────────────────────────────────────────────────────────────────────────────────


def test_real_calls_reach_the_ledger_with_every_bucket(
    live_site: LiveSite, provider: ProviderServer, tmp_path: Path
) -> None:
    handler = CostCallbackHandler(agent="real-clients", api_key=live_site.key, url=live_site.url, state_dir=tmp_path)
    provider.will_answer(
        Answer(usage=ANTHROPIC_USAGE),
        Answer(
            usage={
                "prompt_tokens": 10_000,
                "completion_tokens": 1_000,
                "total_tokens": 11_000,
                "prompt_tokens_details": {"cached_tokens": 8_000},
                "completion_tokens_details": {"reasoning_tokens": 640},
            },
            service_tier="default",
        ),
    )

    anthropic_model(provider).invoke(QUESTION, {"callbacks": [handler]})
    openai_model(provider).invoke(QUESTION, {"callbacks": [handler]})

    assert handler.flush(60)
    with own_site.reading(live_site.state_dir) as ledger:
        rows = ledger.execute(
            f"SELECT provider, {', '.join(TokenCounts._fields)}, cost_microcents FROM agents_llmcall"
            " WHERE agent_id = (SELECT id FROM agents_agent WHERE slug = 'real-clients') ORDER BY provider"
        ).fetchall()
    assert rows == [
        # USD per million: 100 x 3 + 5,000 x 0.30 + 500 x 3.75 + 1,500 x 6 + 50 x 15 = 13,425: 0.013425 USD
        ("anthropic", 7_100, 50, 5_000, 500, 1_500, 0, 20, 0, 0, 1_342_500),
        # 2,000 x 1.25 + 8,000 x 0.125 + 1,000 x 10 = 13,500: 0.0135 USD
        ("openai", 10_000, 1_000, 8_000, 0, 0, 0, 640, 0, 0, 1_350_000),
    ]
