"""What was used and spent, as one value that adds up. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Usage:
    """Sums over calls. Token totals are inclusive; money in microcents, over the calls that have a price."""

    calls: int = 0
    failed_calls: int = 0
    estimated_calls: int = 0
    unpriced_calls: int = 0
    local_cache_hits: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_write_unknown_tokens: int = 0
    reasoning_tokens: int = 0
    cost_microcents: int = 0
    saved_microcents: int = 0

    @classmethod
    def of(cls, row: Any) -> Usage:
        """From a row that has these columns."""
        return cls(*(getattr(row, name) for name in USAGE_COLUMNS))

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, name) + getattr(other, name) for name in USAGE_COLUMNS))

    @property
    def cache_written_tokens(self) -> int:
        return self.cache_write_5m_tokens + self.cache_write_1h_tokens + self.cache_write_unknown_tokens

    @property
    def fresh_input_tokens(self) -> int:
        return self.input_tokens - self.cache_read_tokens - self.cache_written_tokens

    @property
    def visible_output_tokens(self) -> int:
        return self.output_tokens - self.reasoning_tokens

    @property
    def cost(self) -> int | None:
        """None when calls were made and none of them has a price."""
        return None if self.calls and self.unpriced_calls == self.calls else self.cost_microcents

    @property
    def priced_calls(self) -> int:
        return self.calls - self.unpriced_calls

    @property
    def reported_calls(self) -> int:
        return self.calls - self.estimated_calls


USAGE_COLUMNS = tuple(field.name for field in fields(Usage))

NOTHING = Usage()
