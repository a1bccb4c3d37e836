"""Which places of a chart are named under it, on a screen of any width. Pure.

The browser alone knows how wide a chart is, so each name says from which width on there is room for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from costsite.analytics.charts import Tick

WIDTHS = (680, 480, 250)
"""Pixels that a plot has at least: in its part of a wide screen, on a tablet, on a phone."""
LETTER = 7
"""Pixels across, of 12 px type."""
APART = 6
AT_THE_END = 97
"""Percent across: a name with its middle beyond would stick out of any plot, and ends where the plot does."""
OUT_AT_MOST = 4
"""Pixels that any other may stick out: a chart has more around it."""


@dataclass(frozen=True)
class Name:
    at: float
    """Percent across."""
    label: str
    width: int
    """One of `WIDTHS`."""

    @property
    def ends_there(self) -> bool:
        """Else its middle is there."""
        return self.at == 100


def names(ticks: Sequence[Tick]) -> tuple[Name, ...]:
    """Of places in order: all where there is room, else every second, fourth and so on."""
    shown, every = list(ticks), 1
    least: dict[Tick, int] = {}
    for width in WIDTHS:
        kept = [tick for tick in ticks[::every] if tick in shown]
        while any(not _apart(*pair, width) for pair in pairwise(kept[:-1])):
            every *= 2
            kept = [tick for tick in ticks[::every] if tick in shown]
        # The last alone is out of place where it would stick out: for its sake no other goes.
        if kept and (_out(kept[-1], width) or (kept[1:] and not _apart(kept[-2], kept[-1], width))):
            kept.pop()
        shown = kept
        least |= dict.fromkeys(kept, width)
    return tuple(Name(_place(tick), tick.label, width) for tick, width in least.items())


def _place(tick: Tick) -> float:
    return 100 if tick.at > AT_THE_END else tick.at


def _ends(tick: Tick, width: int) -> tuple[float, float]:
    """Where a name begins and ends, in pixels."""
    across, end = LETTER * len(tick.label), width * tick.at / 100
    end = width if tick.at > AT_THE_END else end + across / 2
    return end - across, end


def _apart(one: Tick, other: Tick, width: int) -> bool:
    return _ends(one, width)[1] + APART <= _ends(other, width)[0]


def _out(tick: Tick, width: int) -> bool:
    return _ends(tick, width)[1] > width + OUT_AT_MOST
