"""How full a budget is, as a bar: spent solid, held hatched, its thresholds as ticks. Pure geometry, in percent across.

The line of the limit stands at the same place in every bar of a column, with room behind it, so that what is over grows
beyond the line. Only what is over by more than that room moves its line to the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from budgets.lines import line_at

LIMIT_AT = 80.0
"""Percent of the width."""


@dataclass(frozen=True)
class Bullet:
    limit_at: float
    spent: float
    """How far the solid part reaches."""
    held: float
    """How wide the hatched part is that follows it."""
    ticks: tuple[float, ...]
    """The thresholds below the limit."""


def bullet(limit: int, spent: int, held: int, thresholds: Sequence[int]) -> Bullet:
    """Of amounts in microcents. A limit of 0 is full from the start; a negative sum, of corrections, is nothing."""
    spent, held = max(0, spent), max(0, held)
    if limit <= 0:
        return Bullet(LIMIT_AT, 100.0 if spent else 0.0, 0.0, ())
    scale = max(limit * 100 / LIMIT_AT, spent + held)
    return Bullet(
        limit_at=round(100 * limit / scale, 2),
        spent=round(100 * spent / scale, 2),
        held=round(100 * held / scale, 2),
        ticks=tuple(round(100 * line_at(line, limit) / scale, 2) for line in thresholds if line < 100),
    )
