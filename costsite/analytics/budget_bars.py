"""How full a budget is: a bullet bar and its words. Pure; money in microcents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents.figures import money, percent

LIMIT_AT = 85
"""Percent of the bar's width at which the limit lies: past it the bar grows beyond the line."""


@dataclass(frozen=True)
class BudgetBar:
    """All places are percent of the width."""

    kind: str
    """`under`, `near` or `over`: word, sign, pattern and colour follow it."""
    spent_width: float
    held_width: float
    limit_at: float
    ticks: tuple[float, ...]
    used: str
    words: str

    @property
    def held_x(self) -> float:
        return self.spent_width


def kind_class(state: str) -> str:
    """The three ways a bar looks, of the states of a budget; `none` where there is no budget."""
    return {"no_budget": "none", "near": "near", "on_track": "under"}.get(state, "over")


def budget_bar(state: str, limit: int, spent: int, held: int, thresholds: Sequence[int]) -> BudgetBar:
    """`state`: as `budgets.state.Kind` names it. A limit of 0 is full from the start."""
    spent, held = max(0, spent), max(0, held)
    # Held is never spent: it makes room for itself up to the width's last part, and is cut there. Leases of a lowered
    # limit may hold hundreds of times what it is, beside which what is spent would not be seen.
    scale = max(limit * 100 // LIMIT_AT, min(spent + held, spent * 100 // LIMIT_AT), 1)

    def place(value: int) -> float:
        return round(100 * value / scale, 2)

    spent_width = place(spent)
    used = percent(spent, limit) if limit else "–"
    if spent < limit and used == "100 %":
        used = "over 99 %"
    left = limit - spent
    rest = f"{money(left)} left" if left > 0 else f"{money(-left)} over" if left else "nothing left"
    aside = f", {money(held)} held" if held else ""
    return BudgetBar(
        kind=kind_class(state),
        spent_width=spent_width,
        held_width=round(min(place(held), 100 - spent_width), 2),
        limit_at=place(limit),
        ticks=tuple(place(limit * threshold // 100) for threshold in thresholds if threshold < 100),
        used=used,
        words=f"{money(spent)} of {money(limit)}, {rest}{aside}",
    )
