"""What tokens cost: the part of `wire` that counts. Standard library and pydantic only.

`wire` has these names too, and says the units.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

MAX_UNIT_PRICE = 10**18
"""Microcents per million tokens: as much as the admin's ten digits of USD come to."""
UnitPrice = Annotated[int, Field(ge=0, le=MAX_UNIT_PRICE)]


class UnitPrices(BaseModel):
    """Microcents per million tokens of each kind: whole numbers, so that no price is ever rounded.

    1 USD per million tokens is 100,000,000. A kind without a price of its own has the price of the kind it is a
    subset of, filled in by whoever makes the row.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)
    """As of every answer of the site: it may grow."""

    input: UnitPrice
    output: UnitPrice
    cache_read: UnitPrice
    cache_write_5m: UnitPrice
    cache_write_1h: UnitPrice
    reasoning: UnitPrice
    input_audio: UnitPrice
    output_audio: UnitPrice
    request: UnitPrice = 0
    """Microcents per call that was answered, whatever its tokens: what search models charge for the search."""


class TokenCounts(NamedTuple):
    """The token counts of one call, or of many: inclusive totals, then their subsets."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_write_unknown_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0


class Cost(NamedTuple):
    """What one call cost, in microcents."""

    cost: int
    saved: int
    """What caching spared: the same tokens at the plain input price, less what they cost. Negative when cache
    writes cost more than the reads brought back."""


def cost_of(tokens: TokenCounts, prices: UnitPrices, *, served_from_local_cache: bool = False) -> Cost:
    """The cost of one call, rounded once, half-even.

    Every token is priced in exactly one bucket. Input: cache read, cache written (5 minutes, 1 hour; an unknown
    lifetime counts as 5 minutes, the providers' default), audio, the rest fresh. Output: reasoning, audio, the rest.
    Where audio and cached tokens overlap, the cached price holds: no provider reports the overlap.

    A call that LangChain's own cache answered cost nothing; what it would have cost is saved.
    """
    # Taken apart at once, here and in `_unit_prices`: a field of a model takes longer to read than to multiply.
    (
        input_tokens, output_tokens, cache_read, cache_write_5m, cache_write_1h, cache_write_unknown, reasoning,
        input_audio, output_audio,
    ) = tokens  # fmt: skip
    (
        of_input, of_output, of_cache_read, of_cache_write_5m, of_cache_write_1h, of_reasoning, of_input_audio,
        of_output_audio, of_request,
    ) = _unit_prices(prices.__dict__)  # fmt: skip
    written_5m = cache_write_5m + cache_write_unknown
    cached = cache_read + written_5m + cache_write_1h
    if input_audio or output_audio:
        input_audio = min(input_audio, input_tokens - cached)
        output_audio = min(output_audio, output_tokens - reasoning)

    cached_at_cached_prices = (
        cache_read * of_cache_read + written_5m * of_cache_write_5m + cache_write_1h * of_cache_write_1h
    )
    total = (
        cached_at_cached_prices
        + (input_tokens - cached - input_audio) * of_input
        + input_audio * of_input_audio
        + reasoning * of_reasoning
        + output_audio * of_output_audio
        + (output_tokens - reasoning - output_audio) * of_output
        + (of_request * 1_000_000 if output_tokens else 0)
    )
    if served_from_local_cache:
        return Cost(0, _per_million(total))
    return Cost(_per_million(total), _per_million(cached * of_input - cached_at_cached_prices) if cached else 0)


_unit_prices = itemgetter(
    "input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "reasoning", "input_audio", "output_audio",
    "request",
)  # fmt: skip


def _per_million(total: int) -> int:
    """`total` / 1,000,000, to the nearest whole number, ties to the even one."""
    whole, rest = divmod(total, 1_000_000)
    if rest > 500_000 or (rest == 500_000 and whole % 2):
        return whole + 1
    return whole
