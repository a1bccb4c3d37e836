"""What the start of a call tells, from what LangChain really passes and from what odd integrations do."""

from __future__ import annotations

import contextlib
from typing import Any
from uuid import uuid4

import anthropic
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langchain_anthropic import ChatAnthropic
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda, RunnableParallel
from langchain_core.tools import tool
from langchain_openai import AzureChatOpenAI, ChatOpenAI, OpenAI

from langchain_plugin import request as reading
from langchain_plugin.request import Request, read_request
from langchain_plugin.wire import MAX_TAG_LENGTH, LLMCall
from tests.factories import NOON
from tests.langchain_plugin.models import ScriptedModel

NOBODY = "http://127.0.0.1:9"
"""The discard port: a real client gets as far as its callbacks and no further."""


class Starts(BaseCallbackHandler):
    """Reads the start of every call, as the cost handler does."""

    raise_error = True

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def on_chat_model_start(self, serialized: dict[str, Any], messages: Any, **kwargs: Any) -> None:
        self.requests.append(read_request(serialized, kwargs))

    on_llm_start = on_chat_model_start  # type: ignore[assignment]


def asked(model: Any, **config: Any) -> Request:
    """What the start of one call of `model` tells; whether the call then works does not matter."""
    starts = Starts()
    with contextlib.suppress(openai.APIConnectionError, anthropic.APIConnectionError):
        model.invoke("Hi", {"callbacks": [starts], **config})
    return starts.requests[0]


def openai_model(**settings: Any) -> ChatOpenAI:
    return ChatOpenAI(**{"model": "gpt-5", "base_url": NOBODY, "api_key": "any", "max_retries": 0} | settings)


def anthropic_model(**settings: Any) -> ChatAnthropic:
    return ChatAnthropic(
        **{"model": "claude-sonnet-4-6", "base_url": NOBODY, "api_key": "any", "max_retries": 0} | settings
    )


# ── real clients ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_plain_openai_call_names_its_provider_and_model() -> None:
    assert asked(openai_model()) == Request(provider="openai", request_model="gpt-5")


def test_everything_an_openai_call_can_ask_for_is_read() -> None:
    model = openai_model(reasoning_effort="low", max_tokens=77, service_tier="flex", n=3)

    request = asked(model.bind(tools=[{"type": "function"}]))

    assert request == Request(
        provider="openai",
        request_model="gpt-5",
        service_tier="flex",
        effort="low",
        max_output_tokens=77,
        answers=3,
        tools=[{"type": "function"}],
    )


def test_what_one_call_asks_goes_before_what_its_model_was_made_with() -> None:
    request = asked(openai_model(reasoning={"effort": "high"}, use_responses_api=True, max_tokens=5).bind(max_tokens=9))

    assert (request.effort, request.max_output_tokens) == ("high", 9)


@pytest.mark.newer_langchain
def test_an_anthropic_call_tells_its_output_limit_effort_and_cache_lifetime() -> None:
    model = anthropic_model(effort="medium", max_tokens=2_048)

    request = asked(model.bind(cache_control={"type": "ephemeral", "ttl": "1h"}))

    assert request == Request(
        provider="anthropic",
        request_model="claude-sonnet-4-6",
        effort="medium",
        max_output_tokens=2_048,
        cache_ttl="1h",
    )


def test_azure_is_a_provider_of_its_own() -> None:
    model = AzureChatOpenAI(
        azure_deployment="ours",
        api_version="2024-10-21",
        azure_endpoint=NOBODY,
        model="gpt-4o",
        api_key="any",
        max_retries=0,
    )

    request = asked(model)

    assert (request.provider, request.request_model) == ("azure", "gpt-4o")


def test_text_completions_asked_together_come_without_ls_provider_and_are_known_by_their_type() -> None:
    starts = Starts()
    with pytest.raises(Exception, match="onnect"):
        OpenAI(base_url=NOBODY, api_key="any", max_retries=0).generate(["a", "b"], callbacks=[starts])

    assert (
        starts.requests
        == [Request(provider="openai", request_model="gpt-3.5-turbo-instruct", max_output_tokens=256, batch_size=2)] * 2
    )


@pytest.mark.parametrize(
    ("base_url", "provider"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.deepseek.com", "deepseek"),
        ("https://user:secret@API.X.AI:443/v1", "xai"),
        ("https://ours.openai.azure.com/openai/v1/", "azure"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "google_genai"),
        ("http://llm-proxy.internal:4000", "openai"),
        ("https://api.deepseek.com.evil.example/v1", "openai"),
        ("no url at all", "openai"),
    ],
)
def test_an_openai_client_pointed_elsewhere_pays_whoever_is_there(base_url: str, provider: str) -> None:
    serialized = openai_model(base_url=base_url)._serialized
    kwargs = {
        "metadata": {"ls_provider": "openai", "ls_model_name": "m"},
        "invocation_params": {"_type": "openai-chat"},
    }

    assert read_request(serialized, kwargs).provider == provider


# ── where in a run ───────────────────────────────────────────────────────────────────────────────────────────────


def agent_answers(*answers: Any) -> ScriptedModel:
    return ScriptedModel(answers=list(answers))


def calls_tool(name: str) -> AIMessage:
    return AIMessage(
        "", tool_calls=[{"name": name, "args": {"question": "?"}, "id": str(uuid4()), "type": "tool_call"}]
    )


def asked_in(graph: Any, **config: Any) -> list[Request]:
    starts = Starts()
    graph.invoke({"messages": [HumanMessage("Hi")]}, {"callbacks": [starts], **config})
    return starts.requests


@pytest.mark.newer_langchain
def test_a_nested_agent_is_named_and_the_outer_one_is_not() -> None:
    researcher = create_agent(agent_answers("found"), tools=[], name="researcher")

    @tool
    def research(question: str) -> str:
        """Find out."""
        researcher.invoke({"messages": [HumanMessage(question)]})
        return "found"

    outer = create_agent(agent_answers(calls_tool("research"), "done"), tools=[research], name="assistant")

    requests = asked_in(outer)

    assert [(request.step, request.sub_agent) for request in requests] == [
        ("model", ""),
        ("model", "researcher"),
        ("model", ""),
    ]


def test_a_graph_within_a_graph_is_named_by_its_node_when_it_has_no_name_itself() -> None:
    kwargs = {"metadata": {"langgraph_node": "model", "langgraph_checkpoint_ns": "researcher:1|model:2"}}

    assert (read_request(None, kwargs).step, read_request(None, kwargs).sub_agent) == ("model", "researcher")


@pytest.mark.newer_langchain
def test_the_call_that_summarizes_is_compaction() -> None:
    model = agent_answers("done", "summary", "done")
    compactor = SummarizationMiddleware(model=model, trigger=("messages", 3), keep=("messages", 1))
    graph = create_agent(model, tools=[], middleware=[compactor])
    starts = Starts()

    talk = [HumanMessage("a"), AIMessage("b"), HumanMessage("c"), AIMessage("d"), HumanMessage("e")]
    graph.invoke({"messages": talk}, {"callbacks": [starts]})

    assert [(request.purpose, request.step) for request in starts.requests] == [
        ("compaction", "SummarizationMiddleware.before_model"),
        ("agent", "model"),
    ]


def test_without_a_graph_the_step_is_the_name_the_caller_gave() -> None:
    named = agent_answers("x").with_config(run_name="classify")

    assert asked(RunnableLambda(lambda text: text) | named).step == "classify"


@pytest.mark.parametrize(
    "config",
    [{"configurable": {"thread_id": "T-1"}}, {"metadata": {"thread_id": "T-1"}}, {"metadata": {"session_id": "T-1"}}],
)
def test_the_thread_is_found_where_callers_put_it(config: dict[str, Any]) -> None:
    graph = create_agent(agent_answers("x"), tools=[])

    assert [request.thread_id for request in asked_in(graph, **config)] == ["T-1"]


def test_tags_are_the_callers_own() -> None:
    model = agent_answers(ConnectionError("reset"), "x").with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    chain = RunnableParallel(one=RunnableLambda(lambda text: text) | model)
    starts = Starts()

    chain.invoke("Hi", {"callbacks": [starts], "tags": ["nightly", "team:search", "nightly"]})

    assert [request.tags for request in starts.requests] == [("nightly", "team:search")] * 2


@pytest.mark.parametrize(
    "tag",
    [
        "seq:step:12",
        "retry:attempt:2",
        "map:key:answer",
        "condition:1",
        "branch:2",
        "branch:default",
        "langsmith:hidden",
        "nostream",
    ],
)
def test_langchains_own_tags_are_left_out(tag: str) -> None:
    assert read_request(None, {"tags": [tag, "mine"]}).tags == ("mine",)


@pytest.mark.parametrize("tag", ["branch:main", "seq:step:one", "retry", "map:key", "condition:red"])
def test_tags_that_only_look_like_langchains_stay(tag: str) -> None:
    assert read_request(None, {"tags": [tag]}).tags == (tag,)


def test_a_tag_given_twice_is_kept_once() -> None:
    assert read_request(None, {"tags": ["a", "b", "a"]}).tags == ("a", "b")


def test_names_are_cleaned_and_cut_to_what_the_wire_takes() -> None:
    metadata = {
        "ls_provider": " acme\n",
        "ls_model_name": "a\x00b\ud800",
        "langgraph_node": "n" * 10_000,
        "thread_id": 17,
    }

    request = read_request(None, {"metadata": metadata})

    assert (request.provider, request.request_model) == ("acme", "a\ufffdb\ufffd")
    assert (request.step, request.thread_id) == ("n" * 200, "17")


def test_at_most_eight_tags_are_kept_each_cut_to_what_the_wire_takes() -> None:
    tags = ["x" * 100, *(f"t{i}" for i in range(20)), "", " "]

    assert read_request(None, {"tags": tags}).tags == ("x" * 64, "t0", "t1", "t2", "t3", "t4", "t5", "t6")


# ── how hard, how fast, how much: each provider's word ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("params", "effort"),
    [
        ({"reasoning_effort": "minimal"}, "minimal"),
        ({"reasoning": {"effort": "high", "summary": "auto"}}, "high"),
        ({"output_config": {"effort": "max"}}, "max"),
        ({"effort": "medium"}, "medium"),
        ({"thinking_level": "low"}, "low"),
        ({"reasoning": "low"}, "low"),
        ({"reasoning": True}, ""),
        ({"thinking": {"type": "enabled", "budget_tokens": 2_000}}, ""),
        ({}, ""),
    ],
)
def test_effort_is_read_in_each_providers_word(params: dict[str, Any], effort: str) -> None:
    assert read_request(None, {"invocation_params": params}).effort == effort


@pytest.mark.parametrize(
    ("params", "tier"),
    [
        ({"service_tier": "priority"}, "priority"),
        ({"service_tier": "auto"}, ""),
        ({"service_tier": "standard_only"}, ""),
        ({"speed": "fast"}, "fast"),
        ({"service_tier": None}, ""),
    ],
)
def test_a_tier_is_one_only_when_it_was_asked_for(params: dict[str, Any], tier: str) -> None:
    assert read_request(None, {"invocation_params": params}).service_tier == tier


@pytest.mark.parametrize(
    ("params", "limit"),
    [
        ({"max_tokens": 10}, 10),
        ({"max_completion_tokens": 11}, 11),
        ({"max_output_tokens": 12}, 12),
        ({"num_predict": 13}, 13),
        ({"num_predict": -1}, None),
        ({"max_tokens": True}, None),
        ({"max_tokens": "100"}, None),
        ({"max_tokens": 10**12}, None),
        ({}, None),
    ],
)
def test_an_output_limit_is_a_number_of_tokens_or_none(params: dict[str, Any], limit: int | None) -> None:
    assert read_request(None, {"invocation_params": params}).max_output_tokens == limit


@pytest.mark.parametrize(
    ("serialized", "params", "provider", "model"),
    [
        ({"id": ["langchain_groq", "chat_models", "ChatGroq"]}, {"model": "llama"}, "groq", "llama"),
        ({"id": ["langchain", "chat_models", "fireworks", "ChatFireworks"]}, {"model_name": "m"}, "fireworks", "m"),
        ({"id": ["langchain_community", "chat_models", "Odd"]}, {"model_id": "odd-1"}, "", "odd-1"),
        ({"id": ["__main__", "MyModel"]}, {}, "", ""),
        (None, {"_type": "azure-openai-chat", "azure_deployment": "ours"}, "azure", "ours"),
        (
            None,
            {"_type": "amazon_bedrock_converse_chat", "model": "anthropic.claude"},
            "amazon_bedrock",
            "anthropic.claude",
        ),
        (None, {"_type": "chat-google-generative-ai"}, "google_genai", ""),
    ],
)
def test_integrations_without_ls_provider_are_known_by_type_or_import_path(
    serialized: dict[str, Any] | None, params: dict[str, Any], provider: str, model: str
) -> None:
    request = read_request(serialized, {"invocation_params": params})

    assert (request.provider, request.request_model) == (provider, model)


# ── anything at all ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "kwargs", [{}, {"metadata": None, "invocation_params": None, "tags": None}, {"metadata": 3, "tags": "abc"}]
)
def test_an_integration_that_tells_nothing_gives_empty_names(kwargs: dict[str, Any]) -> None:
    assert read_request(None, kwargs) == Request()


LEAVES = st.one_of(st.text(), st.integers(), st.none(), st.booleans(), st.floats(), st.binary(max_size=4))
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)
METADATA = st.dictionaries(
    st.sampled_from(
        [
            *("ls_provider", "ls_model_name", "ls_max_tokens", "langgraph_node", "langgraph_checkpoint_ns"),
            *("lc_agent_name", "lc_source", "thread_id"),
        ]
    ),
    JUNK,
)
PARAMS = st.dictionaries(
    st.sampled_from(
        [
            "model",
            "_type",
            "max_tokens",
            "n",
            "service_tier",
            "reasoning_effort",
            "reasoning",
            "cache_control",
            "stream",
            "tools",
        ]
    ),
    JUNK,
)
SERIALIZED = st.one_of(
    st.none(), JUNK, st.fixed_dictionaries({"id": st.one_of(JUNK, st.lists(st.text()))}, optional={"kwargs": JUNK})
)


@settings(max_examples=300, deadline=None)
@given(serialized=SERIALIZED, metadata=METADATA, params=PARAMS, tags=st.one_of(JUNK, st.lists(st.text())), name=JUNK)
def test_whatever_a_start_holds_the_wire_takes_what_is_read_from_it(
    serialized: Any, metadata: Any, params: Any, tags: Any, name: Any
) -> None:
    request = read_request(serialized, {"metadata": metadata, "invocation_params": params, "tags": tags, "name": name})

    call = as_call(request)
    assert call.provider == request.provider


def as_call(request: Request) -> LLMCall:
    fields = request._asdict()
    for not_on_the_wire in ("answers", "batch_size", "cache_ttl", "tools"):
        del fields[not_on_the_wire]
    return LLMCall(
        type="llm_call",
        call_id=uuid4(),
        run_id=uuid4(),
        agent="support-bot",
        started_at=NOON,
        ended_at=NOON,
        usage_basis="estimated",
        **fields,
    )


def test_a_bug_in_the_reading_is_told_and_costs_the_description_not_the_call() -> None:
    class Broken(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            raise ZeroDivisionError

    told: list[Exception] = []

    assert read_request(None, {"metadata": Broken()}, told.append) == Request()

    assert list(map(type, told)) == [ZeroDivisionError]
    with pytest.raises(ZeroDivisionError):
        read_request(None, {"metadata": Broken()})


class Asked(dict[str, Any]):
    """Remembers every key it was asked for."""

    def __init__(self, **items: Any) -> None:
        super().__init__(items)
        self.keys_asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.keys_asked.add(key)
        return super().get(key, default)


def test_the_keys_that_decide_whether_to_look_closer_are_all_that_are_then_looked_for() -> None:
    """A key that is read but not among them would be passed over in every call that sets no other of them."""
    metadata, params = Asked(lc_source=None), Asked(speed=None)

    assert read_request(None, {"metadata": metadata, "invocation_params": params}) == Request()

    assert params.keys_asked - {"_type", *reading._MODEL_KEYS} == reading._ASKED_KEYS
    assert metadata.keys_asked - {"ls_provider", "ls_model_name", "ls_max_tokens"} == reading._PLACE_KEYS


@settings(max_examples=300, deadline=None)
@given(serialized=SERIALIZED, metadata=METADATA, params=PARAMS)
def test_looking_closer_finds_nothing_that_a_look_at_the_keys_did_not(
    serialized: Any, metadata: Any, params: Any
) -> None:
    closer = {"metadata": {"lc_source": None} | metadata, "invocation_params": {"speed": None} | params}

    assert read_request(serialized, {"metadata": metadata, "invocation_params": params}) == read_request(
        serialized, closer
    )


# ── tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("task", "tags", "expected"),
    [
        ("formatting", [], ("task:formatting",)),
        (" bug fixes ", ["production"], ("task:bug fixes", "production")),
        ("formatting", ["task:formatting", "production"], ("task:formatting", "production")),
        ("formatting", [f"tag-{number}" for number in range(8)], ("task:formatting", *(f"tag-{n}" for n in range(7)))),
        ("x" * 10_000, [], (f"task:{'x' * 10_000}"[:MAX_TAG_LENGTH],)),
        ("", ["production"], ("production",)),
        (None, ["production"], ("production",)),
        (7, ["production"], ("production",)),
    ],
)
def test_the_task_of_a_run_travels_as_its_first_tag(task: Any, tags: list[str], expected: tuple[str, ...]) -> None:
    request = read_request({}, {"metadata": {"costsite_task": task}, "tags": tags})

    assert request.tags == expected
