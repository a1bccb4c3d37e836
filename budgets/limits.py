"""The limit of each policy at a moment: its own and the grants on top of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Sum

from agents.spend import MICROCENTS_PER_CENT
from budgets.models import BudgetGrant, BudgetPolicy


def effective_limits(policies: Iterable[BudgetPolicy], now: datetime) -> dict[int, int]:
    """Microcents by policy id."""
    policies = list(policies)
    granted = _granted([policy.pk for policy in policies], now)
    return {policy.pk: policy.limit_microcents + granted.get(policy.pk, 0) for policy in policies}


def _granted(policy_ids: Iterable[int], now: datetime) -> dict[int, int]:
    sums = BudgetGrant.objects.live(now).filter(policy_id__in=list(policy_ids)).order_by().values("policy_id")
    return {row["policy_id"]: int(row["sum"]) * MICROCENTS_PER_CENT for row in sums.annotate(sum=Sum("cents"))}
