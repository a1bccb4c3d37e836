"""A run's tokens and their cost by kind, as bars and as a table whose sum is the run's cost. No Django."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agents.figures import many
from agents.pricing.parts import NOTHING, Parts
from agents.spend import cents_text
from costsite.analytics import charts, figures
from costsite.analytics.panels import TokenBar
from costsite.analytics.token_charts import TOKEN_KINDS

INPUT = (("fresh", "fresh"), ("cache read", "cache_read"), ("cache written", "cache_written"), ("audio", "input_audio"))
OUTPUT = (("visible", "visible"), ("reasoning", "reasoning"), ("audio", "output_audio"))
RARE = ("audio",)
"""Kinds that are named only where there are some."""
COLOURS = TOKEN_KINDS | {"audio": 2, "per call": 7}


@dataclass(frozen=True)
class PricedCall:
    """What is known of one call."""

    tokens: Parts
    cost: int | None
    """Microcents; None: unpriced."""
    parts: Parts | None
    """What the cost was made of; None where it is unpriced, or its price is no longer known."""


@dataclass(frozen=True)
class KindRow:
    name: str
    slot: int
    tokens: int | None
    """None where it is no kind of tokens."""
    cost: int | None
    """Microcents; None: not known."""


@dataclass(frozen=True)
class TokenCosts:
    """A table of every kind, then of what cannot be told apart."""

    title: str
    bars: tuple[TokenBar, ...]
    """Of tokens, on one scale."""
    cost_bar: tuple[tuple[charts.Part, int], ...]
    """Of the known cost, with the slot of each part's colour."""
    rows: tuple[KindRow, ...]
    unsplit: tuple[KindRow, ...]
    """Calls whose price is no longer known, and calls without one."""
    cost: int | None
    """Of all of them that have a price, so the sum of the rows."""
    unit: figures.MoneyUnit

    exact_head = ("kind", "tokens", "cost_cents")

    @property
    def exact_rows(self) -> list[tuple[object, ...]]:
        return [(row.name, row.tokens, cents_text(row.cost)) for row in (*self.rows, *self.unsplit)]


def token_costs(calls: Sequence[PricedCall]) -> TokenCosts:
    split = [call for call in calls if call.parts is not None]
    changed = [call for call in calls if call.parts is None and call.cost is not None]
    unpriced = sum(call.cost is None for call in calls)
    tokens = _sum(call.tokens for call in calls)
    split_tokens = _sum(call.tokens for call in split)
    costs = _sum(call.parts for call in split if call.parts is not None)

    def rows_of(side: str, kinds: Sequence[tuple[str, str]]) -> list[KindRow]:
        return [
            KindRow(
                f"{side}, {name}",
                COLOURS[name],
                getattr(tokens, key),
                # None of its tokens is of a call that can be split: that is not nothing.
                getattr(costs, key) if split and (getattr(split_tokens, key) or not getattr(tokens, key)) else None,
            )
            for name, key in kinds
            if name not in RARE or getattr(tokens, key)
        ]

    inputs, outputs = rows_of("Input", INPUT), rows_of("Output", OUTPUT)
    rows = [*inputs, *outputs]
    if costs.requests:
        rows.append(KindRow("Per call", COLOURS["per call"], None, costs.requests))
    unsplit = []
    if changed:
        its = sum(call.cost or 0 for call in changed)
        unsplit.append(KindRow(f"{many(len(changed), 'call')} whose price then is no longer known", 0, None, its))
    if unpriced:
        unsplit.append(KindRow(f"{many(unpriced, 'call')} without a price", 0, None, None))
    cost = None if calls and unpriced == len(calls) else sum(call.cost or 0 for call in calls)
    known = [(row.name, row.cost or 0) for row in (*rows, *unsplit)]
    slots = {row.name: row.slot for row in (*rows, *unsplit)}
    return TokenCosts(
        title=_title(rows, cost),
        bars=_bars(inputs, outputs),
        cost_bar=tuple((part, slots[part.name]) for part in charts.bar(known, cost or 0) if part.value),
        rows=tuple(rows),
        unsplit=tuple(unsplit),
        cost=cost,
        unit=figures.MoneyUnit.for_values([row.cost for row in (*rows, *unsplit)] + [cost]),
    )


def _bars(inputs: Sequence[KindRow], outputs: Sequence[KindRow]) -> tuple[TokenBar, ...]:
    sides = [("Input", inputs), ("Output", outputs)]
    scale = max(sum(row.tokens or 0 for row in rows) for _, rows in sides)
    bars = []
    for name, rows in sides:
        laid = charts.bar([(row.name, row.tokens or 0) for row in rows], scale)
        parts = tuple((part, row.slot) for part, row in zip(laid, rows, strict=True))
        bars.append(TokenBar(name, sum(row.tokens or 0 for row in rows), parts))
    return tuple(bars)


def _title(rows: Sequence[KindRow], cost: int | None) -> str:
    """The dearest kind; the plain name where nothing is known, or nothing was paid."""
    dearest = max(rows, key=lambda row: row.cost or 0)
    if not cost or not dearest.cost:
        return "Cost by token kind"
    side, _, kind = dearest.name.partition(", ")
    what = f"{kind} {side.lower()}" if kind else "the price per call"
    return f"{what.capitalize()} is {figures.percent(dearest.cost, cost)} of the cost"


def _sum(parts: Iterable[Parts]) -> Parts:
    total = NOTHING
    for one in parts:
        total = total.plus(one)
    return total
