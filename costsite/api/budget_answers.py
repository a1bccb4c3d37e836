"""What the API says of a budget, and to whom. Money twice, as elsewhere: whole microcents, and cents as exact text.

A key reads the figures of what it opens. Of a budget that reaches further, it learns what constrains its agents: that
the budget is there, its mode, and its state; the figures are null, since they would tell what others spend.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone
from pydantic import Field

from agents.models import ApiKey, LedgerState
from agents.spend import MICROCENTS_PER_CENT, cents_text
from budgets.enforcement import Standing
from budgets.key_reach import KeyReach
from budgets.models import BudgetGrant, BudgetPolicy
from budgets.months import month_at
from budgets.state import BudgetState, kind_of, standings_in_bulk
from costsite.api.schemas import Answer

_HIDDEN = "Null when the budget reaches further than the key."


class BudgetAnswer(Answer):
    id: int
    scope: str = Field(description="agent, workspace or site.")
    workspace: str | None = Field(description="Slug; null for the site's budget.")
    agent: str | None = Field(description="Slug; null unless the budget is an agent's.")
    mode: str
    thresholds: list[int] = Field(description="Percents of the limit.")
    moves_to: str | None = Field(description="The model it moves its agent to, as provider/model; null: none.")
    moves_at_percent: int | None = Field(description="From so much of the effective limit on.")
    state: str = Field(description="on_track, near, over, new_runs_refused or blocked.")
    state_text: str = Field(description="The same for people.")
    period_start: datetime
    period_end: datetime = Field(description="The first instant that is out.")
    limit_cents: int | None = Field(description=f"As it was set. {_HIDDEN}")
    granted_cents: int | None = Field(description=f"On top of it now. {_HIDDEN}")
    effective_limit_microcents: int | None
    effective_limit_cents: str | None
    spent_microcents: int | None
    spent_cents: str | None
    held_microcents: int | None = Field(description="Set aside by leases; 0 unless the mode is hard.")
    held_cents: str | None
    left_microcents: int | None = Field(description="Limit less spent; negative when over.")
    left_cents: str | None


class BudgetPage(Answer):
    budgets: list[BudgetAnswer]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last.")


class GrantAnswer(Answer):
    id: int
    cents: int
    reason: str
    granted_at: datetime
    ends_at: datetime

    @classmethod
    def of(cls, row: BudgetGrant) -> GrantAnswer:
        return cls(id=row.pk, cents=row.cents, reason=row.reason, granted_at=row.granted_at, ends_at=row.ends_at)


class BudgetDetail(BudgetAnswer):
    grants: list[GrantAnswer] = Field(description="Those in force, the newest first.")


def answers_for(key: ApiKey, policies: Sequence[BudgetPolicy]) -> list[BudgetAnswer]:
    return [BudgetAnswer(**facts) for facts in _facts(key, policies)]


def detail_for(key: ApiKey, policy: BudgetPolicy) -> BudgetDetail:
    (facts,) = _facts(key, [policy])
    shown = facts["limit_cents"] is not None
    grants = BudgetGrant.objects.live(timezone.now()).filter(policy=policy) if shown else []
    return BudgetDetail(**facts, grants=[GrantAnswer.of(grant) for grant in grants])


def _facts(key: ApiKey, policies: Sequence[BudgetPolicy]) -> list[dict[str, Any]]:
    now, ledger = timezone.now(), LedgerState.current()
    standings = standings_in_bulk(policies, now, month_at(now, ledger.days()))
    reach = KeyReach(key)
    return [
        _facts_of(policy, standings[policy.pk], ledger.time_zone, opened=reach.opens(policy)) for policy in policies
    ]


def _facts_of(policy: BudgetPolicy, standing: Standing, zone: str, *, opened: bool) -> dict[str, Any]:
    state = BudgetState(kind_of(standing), standing, zone)
    held = standing.held if policy.mode == BudgetPolicy.Mode.HARD else 0
    amounts = {"effective_limit": standing.limit, "spent": standing.spent, "held": held, "left": standing.left}
    money: dict[str, Any] = {
        "limit_cents": policy.limit_cents,
        "granted_cents": (standing.limit - policy.limit_microcents) // MICROCENTS_PER_CENT,
    }
    for name, microcents in amounts.items():
        money |= {f"{name}_microcents": microcents, f"{name}_cents": cents_text(microcents)}
    return {
        "id": policy.pk,
        "scope": policy.scope,
        "workspace": policy.workspace.slug if policy.workspace else None,
        "agent": policy.agent.slug if policy.agent else None,
        "mode": policy.mode,
        "thresholds": policy.thresholds,
        "moves_to": policy.moves_to or None,
        "moves_at_percent": policy.moves_at_percent,
        "state": state.kind.value,
        "state_text": state.words,
        "period_start": standing.month.starts_at,
        "period_end": standing.month.ends_at,
        **(money if opened else dict.fromkeys(money)),
    }
