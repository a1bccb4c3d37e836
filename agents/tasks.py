"""Background work of the ledger. Each task takes a row's id and may run twice."""

from __future__ import annotations

from agents import repricing


def reprice_unpriced(price_id: int) -> str:
    """Price the open month's unpriced calls after the price was saved."""
    repriced = repricing.reprice_unpriced(price_id)
    return "the price is gone" if repriced is None else f"{repriced.calls} calls repriced"
