"""The one exception that leaves the callback: a call, or a run, that a budget does not pay for."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from langchain_plugin.errors import CostsiteError
from langchain_plugin.shown import show_cents

if TYPE_CHECKING:
    from langchain_plugin.wire_leases import RefusalFacts


class BudgetExceeded(CostsiteError):  # noqa: N818 - the owner's name for it
    """Raised before a token is bought. Money in microcents (10^-8 USD).

    An `Exception`, so that what an agent does when a model fails it does here too: a retry asks again, a fallback is
    asked about for itself.
    """

    def __init__(self, agent: str, facts: RefusalFacts) -> None:
        super().__init__(sentence_of(facts))
        self.agent = agent
        self.kind: str = facts.kind
        """`exhausted`: spent, until the month ends or more is granted. `held`: others hold the rest, ask again later.
        `too_large`: this call may cost more than is left, a smaller one may go through. `run_limit`: the run has its
        own limit. `unpriced`, `unreachable`: by the settings, such calls are refused."""
        self.scope: str = facts.scope
        """Whose budget it is: `agent`, `workspace`, `site`, or `run`."""
        self.subject: str = facts.subject
        self.policy_id: int | None = facts.policy_id or None
        self.limit_microcents: int | None = facts.limit_microcents
        """None, like the next, of a budget that others' spend counts against too."""
        self.spent_microcents: int | None = facts.spent_microcents
        self.left_microcents: int = facts.left_microcents
        self.asked_microcents: int = facts.asked_microcents
        """What the call may cost."""
        self.blocked_until: datetime | None = facts.blocked_until
        self.retry_after_seconds: float | None = facts.retry_after_seconds
        """When asking again is worth it; None: not by waiting."""
        self.facts = facts

    def __reduce__(self) -> tuple[type[BudgetExceeded], tuple[str, RefusalFacts]]:
        return type(self), (self.agent, self.facts)


def sentence_of(facts: RefusalFacts) -> str:
    """What happened, then the figures, then what helps."""
    left, asked = show_cents(facts.left_microcents), show_cents(facts.asked_microcents)
    limit = "" if facts.limit_microcents is None else show_cents(facts.limit_microcents)
    whose = "the whole site" if facts.scope == "site" else facts.subject
    if facts.kind == "exhausted":
        until = f" until {facts.blocked_until_text}" if facts.blocked_until_text else ""
        if facts.spent_microcents is None:
            return f"Blocked{until}: the budget of {whose} is spent."
        return (
            f"Blocked{until}: {show_cents(max(0, facts.spent_microcents))} of the {limit} budget of {whose} is spent."
        )
    if facts.kind == "unpriced":
        return "Blocked: the model has no price, and the site refuses what it cannot count; enter a price there."
    if facts.kind == "unreachable":
        return "Blocked: the site that keeps the budget does not answer, and on_unreachable is set to block."
    if facts.kind == "run_limit":
        return f"Blocked: {left} of this run's {limit} is left; the next call may cost {asked}."
    if limit:
        sentence = f"Blocked: {left} of {limit} is left; the next call may cost {asked}."
    else:  # what is left is told roughly then, as no figure to show
        sentence = f"Blocked: the next call may cost {asked}, and less is free of the budget of {whose}."
    if facts.kind == "held":
        return f"{sentence} Calls that are under way hold the rest: try again shortly."
    return f"{sentence} Set a smaller max_tokens, take a cheaper model, or have more granted to {whose}."
