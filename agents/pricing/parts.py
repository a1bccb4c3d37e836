"""What the cost of a call is made of: so much for each kind of tokens. Pure of Django."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

from agents.pricing.book import PriceBook
from langchain_plugin import wire


class Parts(NamedTuple):
    """Tokens by the bucket that `wire.cost_of` prices them in, or microcents by the same."""

    fresh: int
    cache_read: int
    cache_written: int
    input_audio: int
    visible: int
    reasoning: int
    output_audio: int
    requests: int
    """Calls, for what is asked beside their tokens; or what that comes to."""

    def plus(self, other: Parts) -> Parts:
        return Parts(*(one + two for one, two in zip(self, other, strict=True)))


NOTHING: Final = Parts(0, 0, 0, 0, 0, 0, 0, 0)


def tokens_by_kind(tokens: wire.TokenCounts) -> Parts:
    """As `wire.cost_of` counts them: where audio and cached tokens overlap, they are cached."""
    written = tokens.cache_write_5m_tokens + tokens.cache_write_unknown_tokens + tokens.cache_write_1h_tokens
    uncached = tokens.input_tokens - tokens.cache_read_tokens - written
    heard = min(tokens.input_audio_tokens, uncached)
    unreasoned = tokens.output_tokens - tokens.reasoning_tokens
    said = min(tokens.output_audio_tokens, unreasoned)
    return Parts(
        uncached - heard, tokens.cache_read_tokens, written, heard,
        unreasoned - said, tokens.reasoning_tokens, said, int(tokens.output_tokens > 0),
    )  # fmt: skip


def cost_by_kind(tokens: wire.TokenCounts, prices: wire.UnitPrices) -> Parts:
    """Microcents by kind. They come to `wire.cost_of`, which rounds once: what the single amounts lack of whole
    microcents goes to those that lack least.
    """
    counts = tokens_by_kind(tokens)
    hour = tokens.cache_write_1h_tokens
    exact = (
        counts.fresh * prices.input,
        counts.cache_read * prices.cache_read,
        (counts.cache_written - hour) * prices.cache_write_5m + hour * prices.cache_write_1h,
        counts.input_audio * prices.input_audio,
        counts.visible * prices.output,
        counts.reasoning * prices.reasoning,
        counts.output_audio * prices.output_audio,
        counts.requests * prices.request * _MILLION,
    )
    whole = [amount // _MILLION for amount in exact]
    lacking = wire.cost_of(tokens, prices).cost - sum(whole)
    nearest = sorted(range(len(exact)), key=lambda index: -(exact[index] % _MILLION))
    for index in nearest[:lacking]:
        whole[index] += 1
    return Parts(*whole)


_MILLION: Final = 1_000_000


def parts_of_cost(
    book: PriceBook,
    provider: str,
    request_model: str,
    response_model: str,
    service_tier: str,
    at: datetime,
    tokens: wire.TokenCounts,
    *,
    cost: int,
    saved: int,
    served_from_local_cache: bool = False,
) -> Parts | None:
    """What a call's `cost` was made of. The unit prices of its time are not kept: they are looked up as they are known
    now, and None says that they no longer come to what the call cost and saved.
    """
    if served_from_local_cache and not cost:
        return NOTHING
    priced = book.unit_prices(provider, request_model, response_model, service_tier, at, tokens.input_tokens)
    if priced.prices is None:
        return None
    now = wire.cost_of(tokens, priced.prices, served_from_local_cache=served_from_local_cache)
    return cost_by_kind(tokens, priced.prices) if now == (cost, saved) else None
