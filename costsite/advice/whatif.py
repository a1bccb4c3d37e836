"""What the same tokens would have cost on another model. Pure.

Tokens come in by the size of the calls' contexts, so that a model with a dearer price for large contexts is priced as
if call by call; the sum is rounded once, which is at most half a microcent a call away from rounding each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from langchain_plugin.wire import TokenCounts, UnitPrices

CONTEXTS_UP_TO: Final = (32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288, 10**12)
"""Input tokens of a call: every size at which the price library has a step, and no end."""

FEWER_TOKENS: Final = 80
MORE_TOKENS: Final = 135
"""Percent of the tokens that another vendor's tokenizer may count for the same text. English prose differs little, code
and other languages much; 35 % more is what a vendor stated of its own newest tokenizer against the one before."""


class Tokens(NamedTuple):
    """Sums over calls with contexts up to one size."""

    context_up_to: int
    counts: TokenCounts
    answered_calls: int = 0


@dataclass(frozen=True)
class Repriced:
    """Microcents. None of them: the model has no price for contexts that these calls had."""

    with_cache: int
    """As caches were read and written."""
    without_cache: int
    """Had every input token been sent afresh: another model begins with cold caches, and may have none."""
    least: int
    most: int
    """Of both, with the fewest and the most tokens that another tokenizer may count; the same vendor's counts alike."""


PricesAt = Callable[[int], UnitPrices | None]
"""The unit prices of the other model for a context of so many input tokens."""


def repriced(slices: Iterable[Tokens], prices_at: PricesAt, *, same_vendor: bool) -> Repriced | None:
    with_cache = without_cache = 0
    for tokens in slices:
        prices = prices_at(tokens.context_up_to)
        if prices is None:
            return None
        with_cache += _total(tokens, prices)
        without_cache += _total(_uncached(tokens), prices)
    both = sorted((_half_even(with_cache), _half_even(without_cache)))
    fewer, more = (100, 100) if same_vendor else (FEWER_TOKENS, MORE_TOKENS)
    return Repriced(_half_even(with_cache), _half_even(without_cache), both[0] * fewer // 100, both[1] * more // 100)


def _uncached(tokens: Tokens) -> Tokens:
    fresh = tokens.counts._replace(
        cache_read_tokens=0, cache_write_5m_tokens=0, cache_write_1h_tokens=0, cache_write_unknown_tokens=0
    )
    return tokens._replace(counts=fresh)


def _total(tokens: Tokens, prices: UnitPrices) -> int:
    """Millionths of a microcent, as `wire.cost_of` has it."""
    counts = tokens.counts
    written_5m = counts.cache_write_5m_tokens + counts.cache_write_unknown_tokens
    cached = counts.cache_read_tokens + written_5m + counts.cache_write_1h_tokens
    input_audio = min(counts.input_audio_tokens, counts.input_tokens - cached)
    output_audio = min(counts.output_audio_tokens, counts.output_tokens - counts.reasoning_tokens)
    fresh = counts.input_tokens - cached - input_audio
    visible = counts.output_tokens - counts.reasoning_tokens - output_audio
    return (
        counts.cache_read_tokens * prices.cache_read
        + written_5m * prices.cache_write_5m
        + counts.cache_write_1h_tokens * prices.cache_write_1h
        + fresh * prices.input
        + input_audio * prices.input_audio
        + counts.reasoning_tokens * prices.reasoning
        + output_audio * prices.output_audio
        + visible * prices.output
        + tokens.answered_calls * prices.request * 1_000_000
    )


def _half_even(total: int) -> int:
    whole, rest = divmod(total, 1_000_000)
    return whole + (rest > 500_000 or (rest == 500_000 and whole % 2 == 1))
