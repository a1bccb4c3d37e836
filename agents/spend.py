"""What was used and spent, as one value that adds up. Pure: rollups fill it, pages, API and charts read it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from decimal import Decimal
from operator import add, attrgetter
from typing import Any

from langchain_plugin import wire

MICROCENTS_PER_CENT = wire.MICROCENTS_PER_CENT
MICROCENTS_PER_USD = 100 * MICROCENTS_PER_CENT


def cents(microcents: int) -> Decimal:
    """Microcents as cents, exact."""
    return Decimal(microcents) / MICROCENTS_PER_CENT


def cents_text(microcents: int | None) -> str | None:
    """Cents as exact decimal text, without an exponent and without trailing zeros: 413_700 is "0.4137"."""
    if microcents is None:
        return None
    whole, rest = divmod(abs(microcents), MICROCENTS_PER_CENT)
    text = f"{whole}.{rest:06d}".rstrip("0").rstrip(".")
    return f"-{text}" if microcents < 0 else text


def known_cost(calls: int, unpriced_calls: int, cost_microcents: int) -> int | None:
    """Microcents; None when calls were made and none of them has a price: unknown is never 0."""
    return None if calls and unpriced_calls == calls else cost_microcents


@dataclass(frozen=True, slots=True)
class Spend:
    """Sums over calls. Token totals are inclusive, then their subsets; money in microcents."""

    calls: int = 0
    failed_calls: int = 0
    estimated_calls: int = 0
    """Calls whose usage the provider did not report, with or without a price."""
    unpriced_calls: int = 0
    """Calls whose cost nobody knows; `cost_microcents` is the sum of the others."""
    local_cache_hits: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_write_unknown_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    cost_microcents: int = 0
    saved_microcents: int = 0
    """What caches spared; negative when writing them cost more than reading them brought back."""

    @staticmethod
    def of_row(row: Any) -> Spend:
        """From a row that has these columns."""
        return Spend(*_columns_of(row))

    @staticmethod
    def sum_of(spends: Iterable[Spend]) -> Spend:
        """Of many, column by column: to add one to the next makes a value for each."""
        columns = zip(*map(_columns_of, spends), strict=True)
        return Spend(*map(sum, columns))

    def __add__(self, other: Spend) -> Spend:
        return Spend(*map(add, _columns_of(self), _columns_of(other)))

    @property
    def cost(self) -> int | None:
        """Microcents, by `known_cost`."""
        return known_cost(self.calls, self.unpriced_calls, self.cost_microcents)

    @property
    def estimated_cost_cents(self) -> Decimal | None:
        """`cost` in cents, exact."""
        return None if self.cost is None else cents(self.cost)

    @property
    def priced_calls(self) -> int:
        return self.calls - self.unpriced_calls

    @property
    def reported_calls(self) -> int:
        """Calls whose usage the provider reported."""
        return self.calls - self.estimated_calls

    @property
    def cache_written_tokens(self) -> int:
        return self.cache_write_5m_tokens + self.cache_write_1h_tokens + self.cache_write_unknown_tokens

    @property
    def fresh_input_tokens(self) -> int:
        return self.input_tokens - self.cache_read_tokens - self.cache_written_tokens

    @property
    def visible_output_tokens(self) -> int:
        return self.output_tokens - self.reasoning_tokens


_columns_of = attrgetter(*(field.name for field in fields(Spend)))

NOTHING = Spend()
