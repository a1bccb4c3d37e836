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
OF_P95: Final = (2.5, 4.0)
"""The fence stands at least and at most so many times above what 95 % of the runs stay below. At least: an agent with
two kinds of runs, one of them dear, has both usually. At most: where costs are spread widely, four deviations are more
than anything could come to."""


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
    fence = min(max(median * math.exp(min(50.0, DEVIATIONS * deviation)), OF_P95[0] * p95), OF_P95[1] * p95)
    return Usual(len(ordered), median, round(min(fence, 2.0**62)))


def median_of(values: Sequence[int]) -> int:
    """The lower one of two in the middle; 0 of none."""
    ordered = sorted(values)
    return ordered[(len(ordered) - 1) // 2] if ordered else 0
