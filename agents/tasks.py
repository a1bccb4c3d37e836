"""Background work of the ledger. Each task takes a row's id and may run twice."""

from __future__ import annotations

from agents import moving, repricing
from agents.write_lock import AlreadyRunningError

MOVING_SECONDS = 120.0
"""Under the time a task may take; the tick goes on with what is left."""


def reprice_unpriced(price_id: int) -> str:
    """Price the open month's unpriced calls after the price was saved."""
    repriced = repricing.reprice_unpriced(price_id)
    return "the price is gone" if repriced is None else f"{repriced.calls} calls repriced"


def move_merged(merge_id: int) -> str:
    """Move what the agent of this merge did to the one it was merged into, and what other merges left to do."""
    try:
        return f"merge #{merge_id}: {moving.sweep(MOVING_SECONDS)}"
    except AlreadyRunningError as busy:
        return str(busy)  # whoever runs takes this merge too
