"""What a benchmark measured, said once for both readers: a line to people, and one of JSON for the report.

A benchmark prints what people read, and gives each figure that has a target, or that is worth comparing between
commits, to `note`. Where BENCHMARK_FIGURES names a file, as benchmarks/report.py does, it is added there; else nothing
is written.
"""

from __future__ import annotations

import json
import os
import random
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

FILE = "BENCHMARK_FIGURES"


@dataclass(frozen=True)
class Figure:
    what: str
    value: float
    unit: str
    beside: str = ""
    """What it was measured beside, in the same run; empty: nothing."""
    baseline: float | None = None
    """Of what stands beside it, in the same unit."""
    ratio: float | None = None
    """To what stands beside it; without that, to the limit."""
    at_most: float | None = None
    at_least: float | None = None
    limits_value: bool = False
    """The limit is of the value, also where something stands beside it; else it is of the ratio."""

    @property
    def measured(self) -> float:
        """What the limit is of."""
        return self.value if self.ratio is None or self.limits_value or not self.beside else self.ratio

    @property
    def met(self) -> bool | None:
        """None: it has no target."""
        if self.at_most is None and self.at_least is None:
            return None
        return (self.at_most is None or self.measured <= self.at_most) and (
            self.at_least is None or self.measured >= self.at_least
        )


def note(
    what: str,
    value: float,
    unit: str,
    *,
    beside: str = "",
    baseline: float | None = None,
    ratio: float | None = None,
    at_most: float | None = None,
    at_least: float | None = None,
    limits_value: bool = False,
) -> Figure:
    """Keep a figure. With `baseline` alone the ratio is the quotient of the two; a median of ratios is `ratio` itself.

    `at_most` and `at_least` are of the ratio to what stands beside it, or with `limits_value`, or when nothing does, of
    the value.
    """
    beside_it = baseline or (None if beside else at_most or at_least)
    if ratio is None and beside_it:
        ratio = value / beside_it
    figure = Figure(what, value, unit, beside, baseline, ratio, at_most, at_least, limits_value)
    if path := os.environ.get(FILE):
        with Path(path).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(figure)) + "\n")
    return figure


def read(path: Path) -> list[Figure]:
    """What was noted in a file; none where nothing was."""
    if not path.exists():
        return []
    return [Figure(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def loop_seconds(million_turns: int = 10) -> float:
    """Of CPU, for ten million turns of a loop, timed over so many: how fast the machine is at what most of this is."""
    began = time.process_time()
    for _ in range(million_turns * 1_000_000):
        pass
    return (time.process_time() - began) * 10 / million_turns


def walk_seconds() -> float:
    """Of CPU, to add up a million integers that lie in memory in no order: how fast memory is, which other work on the
    machine slows before it slows the processor.
    """
    scattered = _scattered()
    began = time.process_time()
    sum(scattered)
    return time.process_time() - began


@lru_cache(maxsize=1)
def _scattered() -> list[int]:
    numbers = list(range(1_000, 1_001_000))
    random.Random(1).shuffle(numbers)
    return numbers
