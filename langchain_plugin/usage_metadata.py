"""From LangChain's `usage_metadata` to the counts of the wire.

Integrations agree on the name and differ in what they put there. The table per provider is in
docs/how-usage-is-read.md.
"""

from __future__ import annotations

from typing import Any

from langchain_plugin.wire import MAX_TOKENS_PER_CALL, TokenCounts

NO_COUNTS = TokenCounts()

# Keys of usage_metadata's details that name a service tier instead of a kind of token. langchain-openai puts the
# tokens billed at that tier under the bare name, beside `flex_cache_read` and the like: counting it would count twice.
_TIERS = frozenset({"flex", "priority", "batch", "scale"})


def counts_of(usage: dict[str, Any], model_provider: str = "", cache_ttl: str = "") -> tuple[TokenCounts, str, str]:
    """The counts of a `usage_metadata`, the service tier its keys name, and why they were mended.

    `model_provider` is the response's word for who answered, `cache_ttl` the request's for how long cache writes
    are kept: it decides where the usage does not. Counts too large to believe come back as `NO_COUNTS` itself.
    """
    input_tokens = count(usage.get("input_tokens"))
    output_tokens = count(usage.get("output_tokens"))
    cache_read = written_5m = written_1h = written = input_audio = 0
    tier = suspect = ""
    details = usage.get("input_token_details")
    if isinstance(details, dict):
        for key, value in details.items():
            if not value:
                continue
            if key == "cache_read":
                cache_read += count(value)
            elif key == "cache_creation":
                written += count(value)
            elif key == "ephemeral_5m_input_tokens":
                written_5m += count(value)
            elif key == "ephemeral_1h_input_tokens":
                written_1h += count(value)
            elif key == "audio":
                input_audio += count(value)
            elif key in _TIERS:
                tier = key
            elif key.endswith("_cache_read"):
                cache_read += count(value)
                tier = key[: -len("_cache_read")]
            elif key.endswith("_cache_creation"):
                written += count(value)
                tier = key[: -len("_cache_creation")]
    # `cache_creation` is 0 beside a split, or the sum of it, as the integration has it: what exceeds the split has no
    # known lifetime.
    unknown = 0
    if written > written_5m + written_1h:
        unknown = written - written_5m - written_1h
        if cache_ttl == "1h":
            written_1h, unknown = written_1h + unknown, 0

    reasoning = output_audio = 0
    details = usage.get("output_token_details")
    if isinstance(details, dict):
        for key, value in details.items():
            if not value:
                continue
            if key == "reasoning":
                reasoning += count(value)
            elif key == "audio":
                output_audio += count(value)
            elif key in _TIERS:
                tier = key
            elif key.endswith("_reasoning"):
                reasoning += count(value)
                tier = key[: -len("_reasoning")]

    cached = cache_read + written_5m + written_1h + unknown
    total_tokens = usage.get("total_tokens")
    # Nearly always the sum, and then believed without a closer look: it leaves no gap.
    gap = 0 if total_tokens == input_tokens + output_tokens else count(total_tokens) - input_tokens - output_tokens
    if gap > 0 or cached > input_tokens or reasoning > output_tokens:
        input_tokens, output_tokens, suspect = _mended_totals(
            input_tokens, output_tokens, cached, reasoning, gap, model_provider
        )
    if input_audio > input_tokens or output_audio > output_tokens:
        input_audio, output_audio = min(input_audio, input_tokens), min(output_audio, output_tokens)
        suspect = suspect or "more audio than tokens in all: audio was cut to the total"
    if input_tokens > MAX_TOKENS_PER_CALL or output_tokens > MAX_TOKENS_PER_CALL:
        return NO_COUNTS, tier, f"more than {MAX_TOKENS_PER_CALL:,} tokens in one call: not believed"
    counts = tuple.__new__(  # what `TokenCounts(…)` does behind a call in Python
        TokenCounts,
        (
            input_tokens,
            output_tokens,
            cache_read,
            written_5m,
            written_1h,
            unknown,
            reasoning,
            input_audio,
            output_audio,
        ),
    )
    return counts, tier, suspect


def _mended_totals(
    input_tokens: int, output_tokens: int, cached: int, reasoning: int, gap: int, model_provider: str
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
        elif model_provider.startswith("google"):
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


def count(value: Any) -> int:
    """A count as a whole number; what cannot be a count of tokens (negative, absurd, not a number) is 0."""
    if type(value) is not int:
        if isinstance(value, bool):
            return 0
        try:  # floats, numpy's integers, Decimals and digits: odd integrations report each of them
            value = int(value)
        except (TypeError, ValueError, OverflowError):
            return 0
    return value if 0 <= value <= MAX_TOKENS_PER_CALL else 0
