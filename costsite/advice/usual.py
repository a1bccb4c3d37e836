"""What is usual for an agent, and from where on a run is not: robust statistics on the log scale. Pure.

Costs of runs are skewed: a mean and its deviation are made by the few dear ones. The median of the logarithms and the
median of the distances above it stay where most runs are, however dear the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

ENOUGH_RUNS: Final = 30
"""With fewer an agent is new, and none of its runs is called unusual."""
DEVIATIONS: Final = 4.0
"""Robust standard deviations above the median, on the log scale: of 30,000 runs of a lognormal cost, one by chance."""
NORMAL_DEVIATION: Final = 1.4826
"""Medians of absolute distances in one standard deviation, where values are normal."""
LEAST_TIMES: Final = 2.0
"""An agent whose runs all cost nearly the same has a deviation of nothing; under twice the median is nobody's worry."""
ABOVE_P95: Final = 1.5
"""An agent with two kinds of runs, one of them dear, has both usually: the fence stands above the dear kind."""


@dataclass(frozen=True)
class Usual:
    """Of one figure of an agent's runs, such as microcents or tokens: how many there are, and what is usual."""

    n: int
    median: int
    fence: int
    """A run above it is unusual."""

    @property
    def enough(self) -> bool:
        return self.n >= ENOUGH_RUNS

    def is_exceeded_by(self, value: int) -> bool:
        return self.enough and value > self.fence


NOTHING_USUAL: Final = Usual(0, 0, 0)


def usual_of(values: Sequence[int]) -> Usual:
    """Of the values above 0: what a run is that made no call or cost nothing says nothing of the others."""
    ordered = sorted(value for value in values if value > 0)
    if not ordered:
        return NOTHING_USUAL
    median = ordered[(len(ordered) - 1) // 2]
    upper = [math.log(value / median) for value in ordered if value >= median]
    deviation = NORMAL_DEVIATION * upper[len(upper) // 2]
    p95 = ordered[max(0, math.ceil(0.95 * len(ordered)) - 1)]
    # 50 is beyond any cost: exp of a wild deviation must not overflow.
    fence = max(median * math.exp(min(50.0, DEVIATIONS * deviation)), median * LEAST_TIMES, p95 * ABOVE_P95)
    return Usual(len(ordered), median, round(min(fence, 2.0**62)))


def median_of(values: Sequence[int]) -> int:
    """The lower one of two in the middle; 0 of none."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2] if ordered else 0
