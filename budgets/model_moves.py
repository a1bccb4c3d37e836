"""A budget that moves its agent to another model: how that is written, when it is due, and what processes are told.

Without Django: the tables know it too.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Protocol

from agents.pricing.names import provider_and_model
from budgets.lines import line_at
from langchain_plugin import wire

DEFAULT_PERCENT: Final = 80
"""As the line at which a budget is said to be near its end."""
LONGEST_NAME: Final = 2 * wire.MAX_NAME_LENGTH + 1
"""Of a provider, a slash and a model."""


def clean_model(text: str) -> str:
    """What somebody typed, without what nobody sees."""
    return wire.clean_name(text.replace("\x00", "").strip(), LONGEST_NAME)


def problem_with_move(model: str, percent: int | None, *, of_an_agent: bool) -> dict[str, str]:
    """What is wrong, by field, as a sentence with its mend; empty when nothing is."""
    if not model and percent is None:
        return {}
    if not of_an_agent:
        return {"moves_to": "Only an agent's own budget moves it to another model; leave it empty."}
    if not model:
        return {"moves_to": "Name the model it moves to, such as openai/gpt-5-mini, or leave the percent empty too."}
    provider, name = provider_and_model(model)
    if model != clean_model(model) or not name or max(len(provider), len(name)) > wire.MAX_NAME_LENGTH:
        return {"moves_to": "Name the model as its provider and name, such as openai/gpt-5-mini."}
    if percent is None:
        return {"moves_at_percent": f"Say from how much of the budget on, such as {DEFAULT_PERCENT}."}
    return {}


def is_due(percent: int, limit: int, spent: int) -> bool:
    """So much of the budget is spent that the agent is on the other model. `limit` and `spent` in the same unit."""
    return spent >= line_at(percent, limit)


class Movable(Protocol):
    """A budget, as far as it says where its agent goes."""

    @property
    def moves_to(self) -> str: ...

    @property
    def moves_at_percent(self) -> int | None: ...


def move_told(budget: Movable, *, limit: int, spent: int, month_ends_at: datetime) -> wire.ModelMove | None:
    """What processes are told; None where the agent stays with its own model. Money in microcents."""
    model, percent = budget.moves_to, budget.moves_at_percent
    if not model or percent is None:
        return None
    provider, name = provider_and_model(model)
    due_until = month_ends_at if is_due(percent, limit, spent) else None
    return wire.ModelMove(provider=provider, model=name, at_percent=percent, due_until=due_until)
