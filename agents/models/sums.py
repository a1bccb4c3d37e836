"""The sums that runs and rollups share, so that one list of columns serves every upsert, rebuild and page."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.db import models
from django.db.models import Q, Sum

from agents.spend import Spend, cents, known_cost


class UsageSums(models.Model):
    """Sums over calls. Token totals are inclusive; money in microcents over the calls that have a price."""

    calls = models.BigIntegerField(default=0)
    failed_calls = models.BigIntegerField(default=0, help_text="Failed, abandoned or cancelled.")
    estimated_calls = models.BigIntegerField(default=0)
    unpriced_calls = models.BigIntegerField(default=0)
    local_cache_hits = models.BigIntegerField(default=0)
    input_tokens = models.BigIntegerField("Input tokens", default=0)
    output_tokens = models.BigIntegerField("Output tokens", default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_5m_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)
    cache_write_unknown_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    input_audio_tokens = models.BigIntegerField(default=0)
    output_audio_tokens = models.BigIntegerField(default=0)
    cost_microcents = models.BigIntegerField(default=0)
    saved_microcents = models.BigIntegerField(default=0)

    class Meta:
        abstract = True

    @property
    def cost(self) -> int | None:
        """Microcents, by `known_cost`."""
        return known_cost(self.calls, self.unpriced_calls, self.cost_microcents)

    @property
    def estimated_cost_cents(self) -> Decimal | None:
        """`cost` in cents, exact."""
        return None if self.cost is None else cents(self.cost)


SUM_COLUMNS: tuple[str, ...] = tuple(field.name for field in UsageSums._meta.local_fields)
"""In the order of the table; `agents.ledger` adds, `rebuild_rollups` recomputes exactly these."""


def sums(where: Q | None = None) -> dict[str, Sum]:
    """Aggregates for every column, over the rows `where` holds; `spend_from` reads them."""
    return {f"{column}_sum": Sum(column, filter=where, default=0) for column in SUM_COLUMNS}


def spend_from(row: Mapping[str, Any]) -> Spend:
    """What a row of `sums()` says."""
    return Spend(**columns_of(row))


def columns_of(row: Mapping[str, Any]) -> dict[str, int]:
    """A row of `sums()` by the names of the columns. int(): PostgreSQL adds big integers up as decimals."""
    return {column: int(row[f"{column}_sum"]) for column in SUM_COLUMNS}
