"""Where the marks of a chart go. Pure geometry: no Django, no colours, no words.

Across, positions are percent of the plot's width, so that a chart fits any screen without its text being scaled;
down, they are pixels of a fixed height. Money and tokens come in as integers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

SLOTS = 8
"""Categorical colours there are; what has none is "Other"."""
OTHER = 0
"""The slot of "Other"; 1 to `SLOTS` are categories."""
OUTLIER_MEDIANS = 4


@dataclass(frozen=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True)
class Segment:
    slot: int
    y: float
    height: float
    value: int


@dataclass(frozen=True)
class Column:
    x: float
    width: float
    slot_x: float
    slot_width: float
    """Of the whole place it has, gap included: what answers the pointer."""
    middle: float
    top: float
    height: float
    total: int
    segments: tuple[Segment, ...]

    @property
    def end(self) -> float:
        return round(self.x + self.width, 3)


@dataclass(frozen=True)
class Columns:
    """Stacked columns: `columns` in order, `ticks` from 0 up, in a plot `height` pixels high."""

    height: float
    columns: tuple[Column, ...]
    ticks: tuple[Tick, ...]
    scale: float = 0.0
    """Pixels for a unit."""

    @property
    def base(self) -> float:
        return self.height

    def at(self, value: int) -> float:
        """How far down a value lies."""
        return round(self.height - value * self.scale, 2)


def nice_ticks(largest: int, count: int = 4) -> list[int]:
    """Round steps (1, 2 or 5 times a power of ten) from 0 to the first at or above `largest`, about `count` of them."""
    if largest <= 0:
        return [0]
    power = 10 ** (len(str(max(1, largest // count))) - 1)
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power * count >= largest)
    return list(range(0, step * -(-largest // step) + 1, step))


def stacked_columns(
    values: Sequence[Sequence[int]],
    slots: Sequence[int],
    *,
    height: float,
    label: Callable[[int, int], str],
    headroom: float = 14.0,
    least: int = 0,
) -> Columns:
    """A column for each row of `values`, its parts from the bottom up in the colours of `slots`.

    Parts must not be negative. `label` writes a tick, given its value and the top tick's. `headroom` is what the top
    tick's label needs above its line, in pixels. `least`: what the scale reaches at least.
    """
    totals = [sum(parts) for parts in values]
    ticks = nice_ticks(max([*totals, least]), 4 if height > 100 else 1)
    top = ticks[-1] or 1
    scale = (height - headroom) / top
    step = 100 / max(1, len(values))
    width = step * 0.76 if len(values) > 1 else min(step, 12)
    columns = []
    for index, parts in enumerate(values):
        y = height
        segments = []
        for slot, value in zip(slots, parts, strict=True):
            if value > 0:
                y -= value * scale
                segments.append(Segment(slot, round(y, 2), round(value * scale, 2), value))
        middle = step * (index + 0.5)
        columns.append(
            Column(
                x=round(middle - width / 2, 3),
                width=round(width, 3),
                slot_x=round(step * index, 3),
                slot_width=round(step, 3),
                middle=round(middle, 3),
                top=round(y, 2),
                height=round(height - y, 2),
                total=totals[index],
                segments=tuple(segments),
            )
        )
    return Columns(
        height,
        tuple(columns),
        tuple(Tick(round(height - value * scale, 2), label(value, ticks[-1])) for value in ticks),
        scale,
    )


@dataclass(frozen=True)
class Sparkline:
    width: int
    height: int
    points: str
    last_x: float
    last_y: float


def sparkline(values: Sequence[int], *, width: int = 96, height: int = 24, margin: float = 3.0) -> Sparkline | None:
    """A zero-based line with its last point marked; None when there is nothing but zeros to draw."""
    largest = max(values, default=0)
    if largest <= 0:
        return None
    step = (width - 2 * margin) / max(1, len(values) - 1)
    rise = (height - 2 * margin) / largest
    spots = [
        (round(margin + index * step, 1), round(height - margin - value * rise, 1))
        for index, value in enumerate(values)
    ]
    return Sparkline(width, height, " ".join(f"{x},{y}" for x, y in spots), *spots[-1])


@dataclass(frozen=True)
class Part:
    """Of a horizontal bar, in percent of the whole scale."""

    name: str
    x: float
    width: float
    value: int


def bar(parts: Sequence[tuple[str, int]], full_scale: int) -> tuple[Part, ...]:
    """Parts laid end to end on a scale on which `full_scale` is 100 %."""
    laid = []
    before = 0
    for name, value in parts:
        laid.append(
            Part(name, round(100 * before / max(1, full_scale), 3), round(100 * value / max(1, full_scale), 3), value)
        )
        before += value
    return tuple(laid)


@dataclass(frozen=True)
class Dot:
    x: float
    y: float
    outlier: bool
    index: int


@dataclass(frozen=True)
class Dots:
    height: float
    dots: tuple[Dot, ...]
    ticks: tuple[Tick, ...]
    median_at: float | None
    """None where it is 0: a logarithmic scale has no place for it."""
    median: int
    p95_at: float | None
    p95: int


def percentile(ordered: Sequence[int], share: float) -> int:
    """Nearest rank, of values in ascending order."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True)
class LogScale:
    """A logarithmic scale from `low`, at the ground, to `high`; `marked` are the round values on it."""

    low: int
    high: int
    marked: tuple[int, ...]
    height: float
    headroom: float

    def at(self, value: int) -> float:
        """How far down a value lies; one of 0, which has no place here, on the ground."""
        share = log10(value / self.low) / log10(self.high / self.low) if value > 0 else 0
        return round(self.height - share * (self.height - self.headroom), 2)

    def ticks(self, label: Callable[[int, int], str]) -> tuple[Tick, ...]:
        return tuple(Tick(self.at(bound), label(bound, bound)) for bound in self.marked)


def log_scale(values: Sequence[int], *, height: float, headroom: float) -> LogScale | None:
    """Between the round values around `values`. None where none is over 0."""
    least, most = min((value for value in values if value > 0), default=0), max(values, default=0)
    if not least:
        return None
    bounds = [factor * 10**power for power in range(floor(log10(least)), ceil(log10(most)) + 1) for factor in (1, 2, 5)]
    low = max(bound for bound in bounds if bound <= least)
    high = min(bound for bound in bounds if bound >= most and bound > low)
    marked = [bound for bound in bounds if low <= bound <= high]
    if sum(1 for bound in marked if log10(bound) % 1 == 0) >= 2:
        marked = [bound for bound in marked if log10(bound) % 1 == 0]
    return LogScale(low, high, tuple(marked), height, headroom)


def log_dots(
    points: Sequence[tuple[float, int]], *, height: float, label: Callable[[int, int], str], headroom: float = 14.0
) -> Dots | None:
    """Points (place from 0 to 1, value) over a logarithmic scale.

    A value of 0 has no dot, and counts. An outlier is over `OUTLIER_MEDIANS` times the median, unless that is 0: no
    more conditions than a title can say. None without a dot.
    """
    scale = log_scale([value for _, value in points], height=height, headroom=headroom)
    if scale is None:
        return None
    known = sorted(value for _, value in points)
    median, p95 = percentile(known, 0.5), percentile(known, 0.95)
    at = scale.at
    dots = tuple(
        Dot(round(100 * place, 3), at(value), value > OUTLIER_MEDIANS * median > 0, index)
        for index, (place, value) in enumerate(points)
        if value > 0
    )
    return Dots(height, dots, scale.ticks(label), at(median) if median else None, median, at(p95) if p95 else None, p95)


def slots_for(ids: Sequence[int]) -> dict[int, int]:
    """A colour for each of at most `SLOTS` things, by its id: the same on every page, and no two alike on one.

    The home colour is the id's; where two shown together share it, the later id takes the next free one.
    """
    taken: dict[int, int] = {}
    free = set(range(1, SLOTS + 1))
    for thing in sorted(ids)[:SLOTS]:
        slot = (thing - 1) % SLOTS + 1
        while slot not in free:
            slot = slot % SLOTS + 1
        free.discard(slot)
        taken[thing] = slot
    return taken
