"""The worst a call can cost, before it is made. Pure arithmetic on the caller's thread; money in microcents."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_plugin.wire import UnitPrices

PER_MILLION = 1_000_000


def hold_of(prices: UnitPrices, input_tokens: int, output_tokens: int) -> int:
    """What so many tokens cost at most, rounded up: each at the dearest price its side has.

    A prompt that is written to a cache costs more than a fresh one, and whether it will be, nobody knows beforehand.
    """
    dearest_input = max(
        prices.input, prices.cache_read, prices.cache_write_5m, prices.cache_write_1h, prices.input_audio
    )
    dearest_output = max(prices.output, prices.reasoning, prices.output_audio)
    millionths = input_tokens * dearest_input + output_tokens * dearest_output
    return -(-millionths // PER_MILLION) + prices.request
