"""The sums that runs and rollups share, so that one list of columns serves every upsert, rebuild and page."""

from __future__ import annotations

from decimal import Decimal

from django.db import models

MICROCENTS_PER_CENT = 1_000_000


def cents(microcents: int) -> Decimal:
    """Microcents as cents, exact."""
    return Decimal(microcents) / MICROCENTS_PER_CENT


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
    def estimated_cost_cents(self) -> Decimal | None:
        """Cents, exact; None when calls were made and none of them has a price. Unknown is never 0."""
        if self.calls and self.unpriced_calls == self.calls:
            return None
        return cents(self.cost_microcents)


SUM_COLUMNS: tuple[str, ...] = tuple(field.name for field in UsageSums._meta.local_fields)
"""In the order of the table; `agents.ledger` adds, `rebuild_rollups` recomputes exactly these."""
