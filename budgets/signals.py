"""What budgets announce.

`budget_threshold_crossed` is sent after the commit that recorded the crossing, once for each. Arguments: `event`, a
`BudgetThresholdCrossed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.dispatch import Signal

from agents.spend import cents

budget_threshold_crossed = Signal()


@dataclass(frozen=True, slots=True)
class BudgetThresholdCrossed:
    """Spending passed a line of a budget. Money in microcents (10^-8 USD)."""

    crossing_id: int
    policy_id: int
    scope: str
    """`agent`, `workspace` or `site`."""
    subject: str
    """The agent or workspace, as people call it; "the whole site"."""
    workspace: str | None
    """Slug; None for the site's budget."""
    agent: str | None
    """Slug; None unless the budget is an agent's."""
    threshold: int
    """Percent of the limit."""
    limit_microcents: int
    """With the grants in force."""
    spent_microcents: int
    month: str
    """'YYYY-MM', in the ledger's time zone."""
    period_start: datetime
    period_end: datetime
    agents: tuple[str, ...]
    """Slugs of the agents whose calls passed the line."""
    crossed_at: datetime
    late: bool
    """The calls were of a month that was over."""
    at_creation: bool
    """The line lay behind already when the budget was made or changed."""

    @property
    def limit_cents(self) -> Decimal:
        return cents(self.limit_microcents)

    @property
    def spent_cents(self) -> Decimal:
        return cents(self.spent_microcents)
