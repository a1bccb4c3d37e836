"""What a model call used, read from the `LLMResult` LangChain hands to a callback.

The counts are *inclusive*, as on the wire: `input_tokens` contains cache reads and writes, `output_tokens` contains
reasoning; the other counts are subsets. `message.usage_metadata` is preferred on every path, because each
integration already translates its provider there (usage_metadata.py); raw provider payloads are read only where it
is missing (raw_usage.py). docs/how-usage-is-read.md has the table per provider and the reasons.

This runs on the caller's thread after every model call: nothing is imported from LangChain, no model is built, and
every number is copied at once (LangChain's cache changes the same objects later).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_plugin.raw_usage import raw_usage, standardized
from langchain_plugin.usage_metadata import NO_COUNTS, count, counts_of
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


def read_usage(
    response: Any, request: Request | None = None, on_bug: Callable[[Exception], object] | None = None
) -> Usage:
    """Read an `LLMResult`; None, partial and malformed results give a `Usage` that is not `reported`.

    Args:
        response: What LangChain hands to the end of a call.
        request: What `read_request` told about the same call. It settles two things a result alone cannot: how long
            Anthropic keeps what was written to its cache when a stream reports the writes without their lifetime, and
            whether an empty `token_usage` means "counted with the first prompt of the same batch".
        on_bug: Told of an exception here, which no shape should cause; the call is then recorded by estimate. None:
            the exception leaves.

    """
    try:
        return _read(response, request)
    except Exception as error:
        if on_bug is None:
            raise
        on_bug(error)
        return Usage(NO_COUNTS, reported=False, suspect=f"the result could not be read ({type(error).__name__})")


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
        usage = standardized(raw_usage(generation, message, metadata, llm_output))

    raw = llm_output.get("usage") or metadata.get("usage")
    if not isinstance(raw, dict):
        raw = {}
    counts, tier, suspect = counts_of(
        usage, str(metadata.get("model_provider", "")), request.cache_ttl if request is not None else ""
    )
    if "iterations" in raw:
        counts = _with_compaction(counts, raw["iterations"])
    if llm_output and not counts.cache_read_tokens:
        counts = _with_cache_hits(counts, llm_output.get("token_usage"))

    reported = counts.input_tokens > 0 and counts.output_tokens > 0
    output_characters = 0
    if not reported:
        # Zeros beside an answer are what an adapter fills in where the provider sent nothing; no prompt is empty.
        output_characters = sum(map(_answer_length, generations))
        if _was_counted_with_its_batch(request, message, llm_output):
            reported = True
        elif usage and counts is not NO_COUNTS:
            reported = not output_characters and (counts.input_tokens > 0 or counts.output_tokens == 0)
            if not reported and not suspect:
                suspect = f"no {'output_tokens' if counts.input_tokens else 'input_tokens'} were reported"

    if not tier:
        tier = metadata.get("service_tier") or llm_output.get("service_tier") or metadata.get("serviceTier") or ""
        if tier or raw:
            tier = _tier_name(tier, raw)
    model = (
        metadata.get("model_name")
        or metadata.get("model")
        or llm_output.get("model_name")
        or llm_output.get("model")
        or ""
    )
    return tuple.__new__(  # what `Usage(…)` does behind a call in Python
        Usage,
        (
            counts,
            reported,
            _name(model) if model else "",
            tier,
            from_local_cache,
            _tool_calls(message),
            suspect,
            output_characters,
        ),
    )


# ── what a result tells beside usage_metadata ────────────────────────────────────────────────────────────────────


def _with_compaction(counts: TokenCounts, iterations: Any) -> TokenCounts:
    """`counts` with what Anthropic's server-side compaction used, which its totals leave out.

    Only whole answers carry the iterations; langchain-anthropic drops them from a stream.
    """
    for iteration in iterations if isinstance(iterations, list) else ():
        if not isinstance(iteration, dict) or iteration.get("type") != "compaction":
            continue
        added, _, _ = counts_of(standardized(iteration))
        summed = TokenCounts(*map(int.__add__, counts, added))
        if max(summed) <= MAX_TOKENS_PER_CALL:
            counts = summed
    return counts


def _with_cache_hits(counts: TokenCounts, token_usage: Any) -> TokenCounts:
    """`counts` with the cache reads that ChatOpenAI passes over when it talks to DeepSeek or Moonshot."""
    if isinstance(token_usage, dict):
        hits = count(token_usage.get("prompt_cache_hit_tokens")) or count(token_usage.get("cached_tokens"))
        if 0 < hits <= counts.input_tokens - sum(counts[3:6]):
            return counts._replace(cache_read_tokens=hits)
    return counts


def _was_counted_with_its_batch(request: Request | None, message: Any, llm_output: dict[str, Any]) -> bool:
    """True for a later prompt of `llm.generate([a, b])` on a text-completion model.

    Such a call is one request with one bill. LangChain ends it once for each prompt, gives the whole bill to the
    first, and hands the others an empty `token_usage`: to estimate those would count them twice.
    """
    return request is not None and request.batch_size > 1 and message is None and llm_output.get("token_usage") == {}


def _is_zero(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0


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


_TOOL_NAME = re.compile(r"[\w.:/-]{1,64}")
"""What providers take for the name of a tool. The name in a call is the model's own writing, and may be anything."""
NO_TOOL_NAME = "unknown tool"


def _tool_calls(message: Any) -> list[tuple[str, Any]]:
    return [(_tool_name(call.get("name")), call.get("args")) for call in _asked_tools(message)[:MAX_TOOL_CALLS]]


def _tool_name(name: Any) -> str:
    """A name as it is; text that is no name stays in the process."""
    return name if isinstance(name, str) and _TOOL_NAME.fullmatch(name) else NO_TOOL_NAME


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
