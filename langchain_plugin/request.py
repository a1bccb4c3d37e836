"""What `on_chat_model_start` and `on_llm_start` tell about a model call before it is made.

LangChain gives the end of a call no metadata, so this is read at its start and kept. It runs on the caller's thread
before every model call, so it looks keys up and builds no models. It is total: of an integration that tells nothing
comes a `Request` of empty names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from langchain_plugin.wire import MAX_NAME_LENGTH, MAX_TAG_LENGTH, MAX_TAGS, MAX_TOKENS_PER_CALL, clean_name


class Request(NamedTuple):
    """One model call as it was asked for. Names are clean for the wire; an unknown one is empty."""

    provider: str = ""
    """LangChain's word for it (`openai`, `anthropic`, `google_genai`, `amazon_bedrock` …)."""
    request_model: str = ""
    service_tier: str = ""
    """The tier asked for; what the response says of itself goes before it."""
    effort: str = ""
    """How hard a reasoning model was told to think, in the provider's word (`low`, `high`, `minimal` …)."""
    max_output_tokens: int | None = None
    """The most one answer may have; None when the request leaves it to the model."""
    step: str = ""
    """The LangGraph node, or the name the caller gave this model's run."""
    sub_agent: str = ""
    """The agent that asked, when it works inside another one's run."""
    purpose: Literal["agent", "compaction"] = "agent"
    thread_id: str = ""
    tags: tuple[str, ...] = ()
    """The caller's own: those LangChain adds are left out."""
    answers: int = 1
    """How many answers were asked for (`n`); each may be `max_output_tokens` long."""
    batch_size: int = 1
    """How many prompts LangChain started together with this one."""
    cache_ttl: str = ""
    """How long a prompt cache is to keep what this call writes to it (`5m`, `1h`), where the request says so."""
    tools: Any = None
    """The tool definitions as the provider gets them. Only for measuring the prompt: they never leave the process."""


def read_request(
    serialized: dict[str, Any] | None, kwargs: dict[str, Any], on_bug: Callable[[Exception], object] | None = None
) -> Request:
    """Read the start of a call.

    Args:
        serialized: The callback's first argument.
        kwargs: All its keyword arguments.
        on_bug: Told of an exception here, which no integration should cause; a call is worth more than its
            description, and goes on with a `Request` of empty names. None: the exception leaves.

    """
    try:
        return _read(serialized, kwargs)
    except Exception as error:
        if on_bug is None:
            raise
        on_bug(error)
        return Request()


def _read(serialized: dict[str, Any] | None, kwargs: dict[str, Any]) -> Request:
    metadata = kwargs.get("metadata")
    if not isinstance(metadata, dict):
        metadata = {}
    params = kwargs.get("invocation_params")
    if not isinstance(params, dict):
        params = {}
    tags = kwargs.get("tags")
    # Few calls set any of these, and of most groups none is there: one pass over the keys that are there (in C) is
    # quicker than asking for each that might be.
    asked = _NOTHING_ASKED if _ASKED_KEYS.isdisjoint(params) else params
    placed = _NOTHING_ASKED if _PLACE_KEYS.isdisjoint(metadata) else metadata

    step = placed.get("langgraph_node") or kwargs.get("name")
    batch_size = kwargs.get("batch_size", 1)
    model = metadata.get("ls_model_name") or _first(params, _MODEL_KEYS)
    max_output_tokens = metadata.get("ls_max_tokens")
    service_tier = effort = sub_agent = thread_id = cache_ttl = ""
    purpose: Literal["agent", "compaction"] = "agent"
    own_tags = _own_tags(tags) if tags else ()
    answers, tools = 1, None
    if asked:
        service_tier = _service_tier(asked)
        effort = _effort(asked)
        if max_output_tokens is None:
            max_output_tokens = _first(asked, _MAX_OUTPUT_KEYS)
        answers = asked.get("n") or asked.get("candidate_count") or 1
        cache_control = asked.get("cache_control")
        if isinstance(cache_control, dict):
            cache_ttl = _name(cache_control.get("ttl"))
        tools = asked.get("tools") or asked.get("functions")
    if placed:
        namespace = placed.get("langgraph_checkpoint_ns")
        if type(namespace) is str and "|" in namespace:
            sub_agent = _sub_agent(placed, namespace)
        if placed.get("lc_source") == "summarization":
            purpose = "compaction"
        thread_id = _name(_first(placed, _THREAD_KEYS))
        own_tags = _with_task(own_tags, placed.get(TASK_METADATA_KEY))
    return tuple.__new__(  # what `Request(…)` does behind a call in Python
        Request,
        (
            _provider(metadata, params, serialized),
            _name(model) if model else "",
            service_tier,
            effort,
            max_output_tokens if max_output_tokens is not None and _is_count(max_output_tokens) else None,
            _name(step) if step else "",
            sub_agent,
            purpose,
            thread_id,
            own_tags,
            answers if _is_count(answers) else 1,
            batch_size if _is_count(batch_size) else 1,
            cache_ttl,
            tools,
        ),
    )


_MODEL_KEYS = ("model", "model_name", "model_id", "azure_deployment", "deployment_name", "endpoint_name")
_MAX_OUTPUT_KEYS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict", "max_new_tokens")
_THREAD_KEYS = ("thread_id", "session_id", "conversation_id")
"""The keys of metadata LangSmith, too, takes for a conversation. LangChain copies `configurable` into metadata."""
_ASKED_KEYS = frozenset(
    {
        *("speed", "service_tier", "reasoning_effort", "effort", "thinking_level", "reasoning", "output_config"),
        "thinking_budget",
        *_MAX_OUTPUT_KEYS,
        *("n", "candidate_count", "cache_control", "tools", "functions"),
    }
)
"""Everything `_read` asks of the invocation parameters but the names of model and provider."""
TASK_METADATA_KEY = "costsite_task"
"""What a run is for, in its owner's words. It travels as the tag `task:…`, the first of a call's tags."""
_PLACE_KEYS = frozenset({"langgraph_node", "langgraph_checkpoint_ns", "lc_source", TASK_METADATA_KEY, *_THREAD_KEYS})
"""The keys of metadata that say where in an agent the call was made."""
_NOTHING_ASKED: dict[str, Any] = {}


def _first(holder: dict[str, Any], keys: tuple[str, ...]) -> Any:
    for key in keys:
        value = holder.get(key)
        if value is not None:
            return value
    return None


def _is_count(value: Any) -> bool:
    # -1 and -2 mean "no limit" to Ollama and llama.cpp; a larger limit than the wire takes is none either.
    return type(value) is int and 0 < value <= MAX_TOKENS_PER_CALL


def _name(value: Any) -> str:
    """`clean_name`, without its regular expression for the names that are clean already: nearly all."""
    if not value:
        return ""
    if type(value) is str and len(value) <= MAX_NAME_LENGTH and value.isprintable():
        return value.strip()
    return clean_name(value)


# ── provider ─────────────────────────────────────────────────────────────────────────────────────────────────────

_PROVIDER_OF_HOST = {
    "api.deepseek.com": "deepseek",
    "api.fireworks.ai": "fireworks",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistralai",
    "api.moonshot.ai": "moonshotai",
    "api.perplexity.ai": "perplexity",
    "api.together.ai": "together",
    "api.together.xyz": "together",
    "api.x.ai": "xai",
    "generativelanguage.googleapis.com": "google_genai",
    "openrouter.ai": "openrouter",
}
"""Whom an OpenAI client pays when it is pointed elsewhere. Hosts only: a proxy of one's own stays `openai`."""

_PROVIDER_OF_TYPE = {
    "amazon_bedrock": "amazon_bedrock",
    "anthropic": "anthropic",
    "azure": "azure",
    "chat-google-generative-ai": "google_genai",
    "chat-ollama": "ollama",
    "google_palm": "google_genai",
    "mistralai": "mistralai",
    "ollama": "ollama",
    "openai": "openai",
    "vertexai": "google_vertexai",
}
"""By how `_type` in the invocation parameters begins, for calls that come without `ls_provider`: text-completion
models asked several prompts at once, and integrations older than it."""


def _provider(metadata: dict[str, Any], params: dict[str, Any], serialized: Any) -> str:
    provider = metadata.get("ls_provider") or _provider_of_type(params.get("_type"))
    if provider == "openai" and isinstance(serialized, dict):
        # LangChain says `openai` for whatever its OpenAI client talks to.
        settings = serialized.get("kwargs")
        if isinstance(settings, dict):
            base_url = settings.get("openai_api_base")
            if type(base_url) is str:
                return _provider_behind(base_url)
    if not provider and isinstance(serialized, dict):
        path = serialized.get("id")
        provider = _provider_of_path(tuple(map(str, path))) if isinstance(path, list) else ""
    return _name(provider)


@lru_cache(maxsize=64)
def _provider_behind(base_url: str) -> str:
    match = re.match(r"\w+://(?:[^/@]*@)?([^/:?#]+)", base_url[:1_000])
    host = match[1].lower() if match else ""
    if host.endswith((".openai.azure.com", ".services.ai.azure.com")):
        return "azure"
    return _PROVIDER_OF_HOST.get(host, "openai")


def _provider_of_type(kind: Any) -> str:
    if type(kind) is not str:
        return ""
    return next((provider for start, provider in _PROVIDER_OF_TYPE.items() if kind.startswith(start)), "")


@lru_cache(maxsize=64)
def _provider_of_path(path: tuple[str, ...]) -> str:
    """From the class's import path: `langchain_groq.chat_models.ChatGroq` is `groq`."""
    package = path[0] if path else ""
    if package.startswith("langchain_") and package not in {
        "langchain_core",
        "langchain_community",
        "langchain_classic",
    }:
        return package.removeprefix("langchain_")
    if package == "langchain" and len(path) == 4:
        return path[2]
    return ""


# ── how it was asked ─────────────────────────────────────────────────────────────────────────────────────────────


def _service_tier(params: dict[str, Any]) -> str:
    if params.get("speed") == "fast":
        return "fast"
    tier = params.get("service_tier")
    # `auto` and Anthropic's `standard_only` leave the choice to the provider: the response tells what it chose.
    return _name(tier) if tier and tier not in ("auto", "standard_only") else ""


def _effort(params: dict[str, Any]) -> str:
    effort = params.get("reasoning_effort") or params.get("effort") or params.get("thinking_level")
    if effort is None:
        nested = params.get("reasoning") or params.get("output_config")
        if isinstance(nested, dict):
            effort = nested.get("effort")
        elif type(nested) is str:  # Ollama's way
            effort = nested
        elif type(budget := params.get("thinking_budget")) is int:
            effort = _EFFORT_OF_BUDGET.get(budget)
    return _name(effort) if type(effort) is str else ""


_EFFORT_OF_BUDGET = {1_024: "low", 8_192: "medium", 24_576: "high"}
"""Google's equivalents for the models that take a number of tokens: those that `effort.py` sets."""


def _sub_agent(metadata: dict[str, Any], namespace: str) -> str:
    """The name of a nested graph's agent, else the node of the outer graph that holds it."""
    name = metadata.get("lc_agent_name")
    if name:
        return _name(name)
    outer_node = namespace.split("|", 1)[0].split(":", 1)[0]
    return "" if outer_node == "tools" else _name(outer_node)


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_LANGCHAIN_TAG = re.compile(
    r"seq:step:\d+|retry:attempt:\d+|map:key:.*|condition:\d+|branch:(\d+|default)|langsmith:.*|nostream", re.DOTALL
)
"""What LangChain and LangGraph tag runs with: how a call was reached, not what it was for."""


def _own_tags(tags: Any) -> tuple[str, ...]:
    own: list[str] = []
    for tag in tags if isinstance(tags, list | tuple) else ():
        if len(own) == MAX_TAGS:
            break
        clean = _own_tag(tag) if type(tag) is str and len(tag) <= MAX_NAME_LENGTH else clean_name(tag, MAX_TAG_LENGTH)
        if clean and clean not in own:
            own.append(clean)
    return tuple(own)


def _with_task(tags: tuple[str, ...], task: Any) -> tuple[str, ...]:
    if type(task) is not str or not task.strip():
        return tags
    tag = _own_tag(f"task:{task.strip()}"[:MAX_NAME_LENGTH])
    return (tag, *(other for other in tags if other != tag))[:MAX_TAGS]


@lru_cache(maxsize=512)
def _own_tag(tag: str) -> str:
    return "" if _LANGCHAIN_TAG.fullmatch(tag) else clean_name(tag, MAX_TAG_LENGTH)
