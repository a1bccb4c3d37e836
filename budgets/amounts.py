"""How much a lease is for. Pure. Money in microcents."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

PACE_COVERED: Final = timedelta(seconds=5)
"""A lease lasts at least so long at the pace of late, so that a busy process asks every few seconds at most."""
SHARES: Final = 2
"""A lease is at most one of so many equal parts of what is left, for each process that holds one: what remains serves
those who come, and grants shrink towards the end, where they would otherwise be refused beside money nobody uses."""


def lease_amount(free: int, *, least: int, pace: int, holders: int) -> int:
    """For a lease of which `least` must fit: what may be granted of `free`, the smallest free amount of all budgets.

    `pace`: spent of late in `PACE_COVERED`. `holders`: processes that hold leases, this one among them.
    """
    return max(0, min(free, max(least, pace, free // (SHARES * max(1, holders)))))


def pace_of(used: int, within: timedelta) -> int:
    """What is spent in `PACE_COVERED`, by what was `used` within a time."""
    seconds = max(1.0, within.total_seconds())
    return int(used * PACE_COVERED.total_seconds() / seconds)
