"""Whether more money bought anything that can be measured: two shares of failures against each other. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

ENOUGH_CALLS: Final = 200
"""Of each side: with fewer, a difference of a few percent points cannot be seen at all."""
NOTICED_POINTS: Final = 3.0
"""Percent points by which the cheaper side may at most fail more often, at 95 % confidence."""
Z: Final = 1.959964
"""Of a normal distribution, 95 % lie within so many deviations."""


@dataclass(frozen=True)
class Side:
    calls: int
    failed: int
    cost: int
    """Microcents."""

    @property
    def rate(self) -> float:
        return self.failed / self.calls if self.calls else 0.0


def wilson(failed: int, calls: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): sound where few or none failed."""
    if not calls:
        return 0.0, 1.0
    share, z2 = failed / calls, Z * Z
    middle = (share + z2 / (2 * calls)) / (1 + z2 / calls)
    half = Z / (1 + z2 / calls) * math.sqrt(share * (1 - share) / calls + z2 / (4 * calls * calls))
    return max(0.0, middle - half), min(1.0, middle + half)


def points_worse(cheaper: Side, dearer: Side) -> float:
    """By how many percent points more the cheaper side fails, at the most: the upper end of Newcombe's interval of the
    difference of two shares (1998, method 10).
    """
    upper = wilson(cheaper.failed, cheaper.calls)[1]
    lower = wilson(dearer.failed, dearer.calls)[0]
    difference = cheaper.rate - dearer.rate
    return 100 * (difference + math.sqrt((upper - cheaper.rate) ** 2 + (dearer.rate - lower) ** 2))


def buys_nothing_measurable(cheaper: Side, dearer: Side) -> bool:
    """Both have enough calls, and the cheaper side is not worse by more than `NOTICED_POINTS`."""
    return (
        min(cheaper.calls, dearer.calls) >= ENOUGH_CALLS
        and cheaper.cost * dearer.calls < dearer.cost * cheaper.calls
        and points_worse(cheaper, dearer) <= NOTICED_POINTS
    )
