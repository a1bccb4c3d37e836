"""What a model call used, read from the `LLMResult` LangChain hands to a callback.

The counts are *inclusive*, as on the wire: `input_tokens` contains cache reads and writes, `output_tokens` contains
reasoning; the other counts are subsets. `message.usage_metadata` is preferred on every path, because each
integration already translates its provider there; raw provider payloads are read only where it is missing.
docs/how-usage-is-read.md has the table per provider and the reasons.

This runs on the caller's thread after every model call: nothing is imported from LangChain, no model is built, and
every number is copied at once (LangChain's cache changes the same objects later).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_plugin.wire import MAX_TOKENS_PER_CALL, MAX_TOOL_CALLS, TokenCounts, clean_name

if TYPE_CHECKING:
    from langchain_plugin.request import Request


class Usage(NamedTuple):
    """What one model call used, as far as its result tells.

    When `reported` is False, `counts` holds what is known: a total of 0 is an unknown one, to be estimated, and a
    total above 0 is the provider's own.
    """

    counts: TokenCounts
    reported: bool
    """The provider reported both totals."""
    response_model: str = ""
    service_tier: str = ""
    """As the provider billed it (`flex`, `priority`, `default`, `batch`, `fast` …); empty when it did not say."""
    served_from_local_cache: bool = False
    """LangChain's own cache answered: the provider was not called, and nothing was paid."""
    tool_calls: Sequence[tuple[str, Any]] = ()
    """What the model asked for: (name, arguments), at most `wire.MAX_TOOL_CALLS`."""
    suspect: str = ""
    """Why the numbers were mended or doubted, in a sentence; empty when they were taken as they came."""
    output_characters: int = 0
    """Length of the answer, counted only when `reported` is False: the estimate's measure."""


_NO_COUNTS = TokenCounts()

# Keys of usage_metadata's details that name a service tier instead of a kind of token. langchain-openai puts the
# tokens billed at that tier under the bare name, beside `flex_cache_read` and the like: counting it would count twice.
_TIERS = frozenset({"flex", "priority", "batch", "scale"})


def read_usage(response: Any, request: Request | None = None) -> Usage:
    """Read an `LLMResult`; None, partial and malformed results give a `Usage` that is not `reported`.

    `request` is what `read_request` told about the same call. It settles two things a result alone cannot: how long
    Anthropic keeps what was written to its cache when a stream reports the writes without their lifetime, and
    whether an empty `token_usage` means "counted with the first prompt of the same batch".
    """
    try:
        return _read(response, request)
    except Exception as error:  # a shape nobody foresaw: the call is still recorded, by estimate
        return Usage(_NO_COUNTS, reported=False, suspect=f"the result could not be read ({type(error).__name__})")


def _read(response: Any, request: Request | None) -> Usage:
    generations = getattr(response, "generations", None) or ()
    if generations and isinstance(generations[0], list):
        generations = generations[0]
    llm_output = getattr(response, "llm_output", None)
    if not isinstance(llm_output, dict):
        llm_output = {}
    generation = generations[0] if generations else None
    message = getattr(generation, "message", None)
    metadata = getattr(message, "response_metadata", None)
    if not isinstance(metadata, dict):
        metadata = {}

    usage = getattr(message, "usage_metadata", None)
    # Several generations of one prompt share one bill. Integrations put it on the first or repeat it on each, so the
    # first found is the whole of it; a sum would multiply the cost.
    if not usage and len(generations) > 1:
        usage = next(
            filter(None, (getattr(getattr(g, "message", None), "usage_metadata", None) for g in generations)), None
        )
    from_local_cache = False
    if isinstance(usage, dict) and "total_cost" in usage:
        from_local_cache = _is_zero(usage["total_cost"])
    if not isinstance(usage, dict) or not ("input_tokens" in usage or "output_tokens" in usage):
        usage = _standardized(_raw_usage(generation, message, metadata, llm_output))

    raw = llm_output.get("usage") or metadata.get("usage")
    if not isinstance(raw, dict):
        raw = {}
    counts, tier, suspect = _counts(usage, metadata, request)
    if "iterations" in raw:
        counts = _with_compaction(counts, raw["iterations"])
    if not counts.cache_read_tokens:
        counts = _with_cache_hits(counts, llm_output.get("token_usage"))

    reported = counts.input_tokens > 0 and counts.output_tokens > 0
    output_characters = 0
    if not reported:
        # Zeros beside an answer are what an adapter fills in where the provider sent nothing; no prompt is empty.
        output_characters = sum(map(_answer_length, generations))
        if _was_counted_with_its_batch(request, message, llm_output):
            reported = True
        elif usage and counts is not _NO_COUNTS:
            reported = not output_characters and (counts.input_tokens > 0 or counts.output_tokens == 0)
            if not reported and not suspect:
                suspect = f"no {'output_tokens' if counts.input_tokens else 'input_tokens'} were reported"

    return Usage(
        counts,
        reported,
        _name(
            metadata.get("model_name")
            or metadata.get("model")
            or llm_output.get("model_name")
            or llm_output.get("model")
            or ""
        ),
        tier
        or _tier_name(
            metadata.get("service_tier") or llm_output.get("service_tier") or metadata.get("serviceTier"), raw
        ),
        from_local_cache,
        _tool_calls(message),
        suspect,
        output_characters,
    )


# ── usage_metadata to counts ─────────────────────────────────────────────────────────────────────────────────────


def _counts(usage: dict[str, Any], metadata: dict[str, Any], request: Request | None) -> tuple[TokenCounts, str, str]:
    """The counts of a `usage_metadata`, the service tier its keys name, and why they were mended."""
    input_tokens = _count(usage.get("input_tokens"))
    output_tokens = _count(usage.get("output_tokens"))
    cache_read = written_5m = written_1h = written = input_audio = 0
    tier = suspect = ""
    details = usage.get("input_token_details")
    if isinstance(details, dict):
        for key, value in details.items():
            if not value:
                continue
            if key == "cache_read":
                cache_read += _count(value)
            elif key == "cache_creation":
                written += _count(value)
            elif key == "ephemeral_5m_input_tokens":
                written_5m += _count(value)
            elif key == "ephemeral_1h_input_tokens":
                written_1h += _count(value)
            elif key == "audio":
                input_audio += _count(value)
            elif key in _TIERS:
                tier = key
            elif key.endswith("_cache_read"):
                cache_read += _count(value)
                tier = key[: -len("_cache_read")]
            elif key.endswith("_cache_creation"):
                written += _count(value)
                tier = key[: -len("_cache_creation")]
    # `cache_creation` is 0 beside a split, or the sum of it, as the integration has it: what exceeds the split has no
    # known lifetime.
    unknown = max(0, written - written_5m - written_1h)
    if unknown and request is not None and request.cache_ttl == "1h":
        written_1h, unknown = written_1h + unknown, 0

    reasoning = output_audio = 0
    details = usage.get("output_token_details")
    if isinstance(details, dict):
        for key, value in details.items():
            if not value:
                continue
            if key == "reasoning":
                reasoning += _count(value)
            elif key == "audio":
                output_audio += _count(value)
            elif key in _TIERS:
                tier = key
            elif key.endswith("_reasoning"):
                reasoning += _count(value)
                tier = key[: -len("_reasoning")]

    cached = cache_read + written_5m + written_1h + unknown
    gap = _count(usage.get("total_tokens")) - input_tokens - output_tokens
    if gap > 0 or cached > input_tokens or reasoning > output_tokens:
        input_tokens, output_tokens, suspect = _mended_totals(
            input_tokens, output_tokens, cached, reasoning, gap, metadata
        )
    if input_audio > input_tokens or output_audio > output_tokens:
        input_audio, output_audio = min(input_audio, input_tokens), min(output_audio, output_tokens)
        suspect = suspect or "more audio than tokens in all: audio was cut to the total"
    if input_tokens > MAX_TOKENS_PER_CALL or output_tokens > MAX_TOKENS_PER_CALL:
        return _NO_COUNTS, tier, f"more than {MAX_TOKENS_PER_CALL:,} tokens in one call: not believed"
    counts = TokenCounts(
        input_tokens, output_tokens, cache_read, written_5m, written_1h, unknown, reasoning, input_audio, output_audio
    )
    return counts, tier, suspect


def _mended_totals(
    input_tokens: int, output_tokens: int, cached: int, reasoning: int, gap: int, metadata: dict[str, Any]
) -> tuple[int, int, str]:
    """Totals that include their subsets, for integrations that report them exclusive.

    `gap` is what total_tokens exceeds input and output by. Where it equals the cached tokens or the reasoning, those
    were left out of their total (old langchain-aws, langchain-google-vertexai, xAI behind ChatOpenAI). A subset
    larger than its total cannot be part of it either. On Google's models the rest is the prompt of server-side tools.
    """
    added_input = added_output = 0
    if gap > 0:
        if gap == cached:
            added_input = cached
        elif gap == reasoning:
            added_output = reasoning
        elif gap == cached + reasoning:
            added_input, added_output = cached, reasoning
        elif str(metadata.get("model_provider", "")).startswith("google"):
            added_output = reasoning if gap > reasoning else 0
            added_input = gap - added_output
    if cached > input_tokens + added_input:
        added_input += cached
    if reasoning > output_tokens + added_output:
        added_output += reasoning
    if added_input and added_output:
        suspect = f"input_tokens left out {added_input} and output_tokens {added_output} of their parts: added"
    elif added_input:
        suspect = f"input_tokens left out {added_input} of its parts: added"
    elif added_output:
        suspect = f"output_tokens left out {added_output} of its parts: added"
    else:
        suspect = f"total_tokens is {gap} above input_tokens and output_tokens together: left as reported"
    return input_tokens + added_input, output_tokens + added_output, suspect


def _with_compaction(counts: TokenCounts, iterations: Any) -> TokenCounts:
    """`counts` with what Anthropic's server-side compaction used, which its totals leave out.

    Only whole answers carry the iterations; langchain-anthropic drops them from a stream.
    """
    for iteration in iterations if isinstance(iterations, list) else ():
        if not isinstance(iteration, dict) or iteration.get("type") != "compaction":
            continue
        added, _, _ = _counts(_standardized(iteration), {}, None)
        summed = TokenCounts(*map(int.__add__, counts, added))
        if max(summed) <= MAX_TOKENS_PER_CALL:
            counts = summed
    return counts


def _with_cache_hits(counts: TokenCounts, token_usage: Any) -> TokenCounts:
    """`counts` with the cache reads that ChatOpenAI passes over when it talks to DeepSeek or Moonshot."""
    if isinstance(token_usage, dict):
        hits = _count(token_usage.get("prompt_cache_hit_tokens")) or _count(token_usage.get("cached_tokens"))
        if 0 < hits <= counts.input_tokens - sum(counts[3:6]):
            return counts._replace(cache_read_tokens=hits)
    return counts


def _count(value: Any) -> int:
    """A count as a whole number; what cannot be a count of tokens (negative, absurd, not a number) is 0."""
    if type(value) is not int:
        if isinstance(value, bool):
            return 0
        try:  # floats, numpy's integers, Decimals and digits: odd integrations report each of them
            value = int(value)
        except (TypeError, ValueError, OverflowError):
            return 0
    return value if 0 <= value <= MAX_TOKENS_PER_CALL else 0


def _is_zero(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0


# ── where usage_metadata is missing ──────────────────────────────────────────────────────────────────────────────


def _raw_usage(generation: Any, message: Any, metadata: dict[str, Any], llm_output: dict[str, Any]) -> dict[str, Any]:
    """The provider's own usage, wherever an integration left it: empty when nowhere."""
    info = getattr(generation, "generation_info", None)
    extra = getattr(message, "additional_kwargs", None)
    for holder in (metadata, llm_output, info, extra):
        if not isinstance(holder, dict):
            continue
        for key in ("token_usage", "usage", "usage_metadata", "amazon-bedrock-invocationMetrics"):
            found = holder.get(key)
            if found and isinstance(found, dict):
                return found
        if "prompt_eval_count" in holder or "eval_count" in holder:  # Ollama; the first is absent for a cached prompt
            return holder
    return {}


_INPUT_KEYS = (
    "prompt_tokens",
    "input_tokens",
    "prompt_token_count",
    "inputTokens",
    "inputTokenCount",
    "prompt_eval_count",
    "input_token_count",
)
_OUTPUT_KEYS = (
    "completion_tokens",
    "output_tokens",
    "candidates_token_count",
    "outputTokens",
    "outputTokenCount",
    "eval_count",
    "generated_token_count",
)
# Anthropic and Bedrock count these beside the input, not within it.
_BESIDE_INPUT_READ = ("cache_read_input_tokens", "cacheReadInputTokens", "cacheReadInputTokenCount")
_BESIDE_INPUT_WRITTEN = ("cache_creation_input_tokens", "cacheWriteInputTokens", "cacheWriteInputTokenCount")


def _standardized(raw: dict[str, Any]) -> dict[str, Any]:
    """A provider's own usage in the shape of `usage_metadata`; empty when it has neither total."""
    if "input_token_details" in raw or "output_token_details" in raw:  # text-completion models keep it in that shape
        return raw
    if not any(key in raw for key in (*_INPUT_KEYS, *_OUTPUT_KEYS)):
        return {}
    inputs = _first_dict(raw, "prompt_tokens_details", "input_tokens_details")
    outputs = _first_dict(raw, "completion_tokens_details", "output_tokens_details")
    split = _first_dict(raw, "cache_creation")
    input_tokens = _first_count(raw, _INPUT_KEYS) + _count(raw.get("tool_use_prompt_token_count"))
    thoughts = _count(raw.get("thoughts_token_count"))
    read_beside = _first_count(raw, _BESIDE_INPUT_READ)
    written_5m = _count(split.get("ephemeral_5m_input_tokens"))
    written_1h = _count(split.get("ephemeral_1h_input_tokens"))
    written_beside = max(_first_count(raw, _BESIDE_INPUT_WRITTEN), written_5m + written_1h)
    # Proxies that speak OpenAI's format repeat Anthropic's keys beside `prompt_tokens`, which then includes them.
    if "prompt_tokens" not in raw:
        input_tokens += read_beside + written_beside
    return {
        "input_tokens": input_tokens,
        "output_tokens": _first_count(raw, _OUTPUT_KEYS) + thoughts,
        "total_tokens": _first_count(raw, ("total_tokens", "total_token_count", "totalTokens")),
        "input_token_details": {
            "cache_read": read_beside
            or _count(inputs.get("cached_tokens"))
            or _first_count(raw, ("cached_content_token_count", "prompt_cache_hit_tokens")),
            "cache_creation": written_beside or _count(inputs.get("cache_write_tokens")),
            "ephemeral_5m_input_tokens": written_5m,
            "ephemeral_1h_input_tokens": written_1h,
            "audio": _count(inputs.get("audio_tokens")),
        },
        "output_token_details": {
            "reasoning": thoughts or _first_count(outputs, ("reasoning_tokens", "thinking_tokens")),
            "audio": _count(outputs.get("audio_tokens")),
        },
    }


def _first_count(holder: dict[str, Any], keys: tuple[str, ...]) -> int:
    for key in keys:
        if key in holder:
            return _count(holder[key])
    return 0


def _first_dict(holder: dict[str, Any], *keys: str) -> dict[str, Any]:
    return next((holder[key] for key in keys if isinstance(holder.get(key), dict)), {})


def _was_counted_with_its_batch(request: Request | None, message: Any, llm_output: dict[str, Any]) -> bool:
    """True for a later prompt of `llm.generate([a, b])` on a text-completion model.

    Such a call is one request with one bill. LangChain ends it once for each prompt, gives the whole bill to the
    first, and hands the others an empty `token_usage`: to estimate those would count them twice.
    """
    return request is not None and request.batch_size > 1 and message is None and llm_output.get("token_usage") == {}


# ── what else a result tells ─────────────────────────────────────────────────────────────────────────────────────


def _name(value: Any) -> str:
    """A name of the response, cleaned; the same few come again and again."""
    if type(value) is str and len(value) <= 1_000:
        return _known_name(value)
    return clean_name(value)


@lru_cache(maxsize=512)
def _known_name(name: str) -> str:
    # Merging stream chunks joins equal strings end to end: with n=2, `gpt-4o` arrives as `gpt-4ogpt-4o`.
    period = (name + name).find(name, 1)
    return clean_name(name[:period])


def _tier_name(tier: Any, raw: dict[str, Any]) -> str:
    # Anthropic's tier is in its raw usage; its fast mode is a tier in all but name, with prices of its own.
    if raw.get("speed") == "fast":
        return "fast"
    if isinstance(tier, dict):  # Bedrock's
        tier = tier.get("type")
    return _name(tier or raw.get("service_tier") or "")


def _tool_calls(message: Any) -> list[tuple[str, Any]]:
    return [(_name(call.get("name") or ""), call.get("args")) for call in _asked_tools(message)[:MAX_TOOL_CALLS]]


def _asked_tools(message: Any) -> list[dict[str, Any]]:
    """The tool calls of a message, those with arguments that do not parse among them: they were paid for too."""
    calls = getattr(message, "tool_calls", None)
    invalid = getattr(message, "invalid_tool_calls", None)
    if not calls and not invalid:
        return []
    both = [*(calls if isinstance(calls, list) else ()), *(invalid if isinstance(invalid, list) else ())]
    return [call for call in both if isinstance(call, dict)]


def _answer_length(generation: Any) -> int:
    """Characters of one answer: text, reasoning that is shown, and the arguments of tool calls."""
    message = getattr(generation, "message", None)
    if message is None:
        return _text_length(getattr(generation, "text", ""))
    return _text_length(getattr(message, "content", "")) + sum(
        len(str(call.get("name") or "")) + len(str(call.get("args") or "")) for call in _asked_tools(message)
    )


def _text_length(content: Any) -> int:
    if isinstance(content, str):
        return len(content)
    if not isinstance(content, list):
        return 0
    length = 0
    for block in content:
        if isinstance(block, str):
            length += len(block)
        elif isinstance(block, dict):
            length += sum(
                len(block[key]) for key in ("text", "thinking", "reasoning") if isinstance(block.get(key), str)
            )
    return length
