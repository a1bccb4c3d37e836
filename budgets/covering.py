"""The budgets that a batch counts against, read at once with their grants: in every batch, so by one plain statement.

Django's own way would cost a batch of a hundred calls more than all the rest of what budgets do with it.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection

from agents.spend import MICROCENTS_PER_CENT
from agents.storage import storage
from budgets.models import BudgetGrant, BudgetPolicy
from budgets.models.policies import LOCK_ORDER

_POLICY, _GRANT = BudgetPolicy._meta.db_table, BudgetGrant._meta.db_table


class Covering(NamedTuple):
    """What counting needs to know of a live budget. Money in microcents."""

    pk: int
    scope: str
    agent_id: int | None
    thresholds: list[int]
    first_month: str
    limit: int
    """With the grants in force."""
    moves_to: str
    moves_at_percent: int | None

    @property
    def place(self) -> tuple[int, int]:
        """As `BudgetPolicy.place`."""
        return LOCK_ORDER[self.scope], self.pk


def covering_budgets(workspace_id: int, agent_ids: Collection[int], now: datetime) -> list[Covering]:
    """The live budgets that spend of these agents counts against, in the order in which all writers lock. As
    `BudgetPolicy.objects.covering` and `effective_limits`.
    """
    at = connection.ops.adapt_datetimefield_value(now)
    places = ", ".join(["%s"] * len(agent_ids)) or "NULL"
    scope = BudgetPolicy.Scope
    rows = storage().rows(
        f"SELECT p.id, p.scope, p.agent_id, p.thresholds, p.first_month, p.limit_cents + COALESCE("
        f" (SELECT SUM(g.cents) FROM {_GRANT} AS g WHERE g.policy_id = p.id"
        f" AND g.granted_at <= %s AND g.ends_at > %s AND g.revoked_at IS NULL), 0),"
        f" p.moves_to, p.moves_at_percent"
        f" FROM {_POLICY} AS p WHERE p.archived_at IS NULL AND ("
        f" (p.scope = %s AND p.agent_id IN ({places})) OR (p.scope = %s AND p.workspace_id = %s) OR p.scope = %s)",
        [at, at, scope.AGENT.value, *agent_ids, scope.WORKSPACE.value, workspace_id, scope.SITE.value],
    )
    found = [
        Covering(pk, scope, agent_id, _percents(thresholds), first_month, int(cents) * MICROCENTS_PER_CENT, *move)
        for pk, scope, agent_id, thresholds, first_month, cents, *move in rows
    ]
    return sorted(found, key=lambda budget: budget.place)


def _percents(stored: Any) -> list[int]:
    return list(json.loads(stored) if isinstance(stored, str) else stored)
