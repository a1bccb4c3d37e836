"""Money as people read it."""

from __future__ import annotations

from decimal import Decimal

from langchain_plugin.wire import MICROCENTS_PER_CENT


def show_cents(microcents: int) -> str:
    """Cents as people read them: `0.4137¢` under a cent, `41.37¢` above, three figures of the very small."""
    cents = Decimal(microcents) / MICROCENTS_PER_CENT
    if cents == 0:
        return "0¢"
    if cents < Decimal("0.01"):
        return f"{cents:.{2 - cents.adjusted()}f}¢"
    return f"{cents:.4f}¢" if cents < 1 else f"{cents:,.2f}¢"
