"""The lines within a limit, and which of them are passed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

DEFAULT_THRESHOLDS: Final = (50, 80, 100)
"""Percent of the limit."""
MAX_THRESHOLDS: Final = 10
LEAST_LEFT_PERCENT: Final = 2
"""With less than this left and a call refused for it, the limit counts as reached: smaller remainders are nobody's."""


def line_at(threshold: int, limit: int) -> int:
    """Where a threshold (percent) of `limit` lies, in the unit of `limit`: the first amount that has passed it."""
    return -(-limit * threshold // 100)


def lines_passed(thresholds: Sequence[int], limit: int, spent: int) -> list[int]:
    """Of `thresholds`, those that `spent` has reached, in their order."""
    return [threshold for threshold in thresholds if spent >= line_at(threshold, limit)]


def is_nearly_spent(limit: int, spent: int) -> bool:
    """True when under `LEAST_LEFT_PERCENT` of the limit is left."""
    return (limit - spent) * 100 < limit * LEAST_LEFT_PERCENT


def problem_with(thresholds: object) -> str:
    """What is wrong with a list of thresholds, as a sentence with its mend; empty when nothing is."""
    mend = "write percents from 1 to 100 in rising order, such as 50, 80, 100"
    if not isinstance(thresholds, list | tuple) or not thresholds:
        return f"There is no threshold: {mend}."
    if not all(type(threshold) is int for threshold in thresholds):
        return f"A threshold is not a whole number: {mend}."
    if len(thresholds) > MAX_THRESHOLDS:
        return f"There are {len(thresholds)} thresholds; give at most {MAX_THRESHOLDS}."
    if min(thresholds) < 1 or max(thresholds) > 100:
        return f"A threshold lies outside 1 to 100: {mend}."
    if list(thresholds) != sorted(set(thresholds)):
        return f"The thresholds are out of order or repeat themselves: {mend}."
    return ""
