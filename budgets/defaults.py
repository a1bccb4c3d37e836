"""Budgets of agents that register themselves, made in the transaction that registers them.

So the first call of a new agent counts already, and whoever makes up names gets a workspace's default for each of them,
at most COSTSITE_MAX_AGENTS_PER_WORKSPACE times; all names beyond share the one of the reserved agent.
"""

from __future__ import annotations

from collections.abc import Collection

from django.utils import timezone

from agents.models import LedgerState
from budgets.crossings import Tally, note_crossings
from budgets.models import BudgetChange, BudgetPeriod, BudgetPolicy, DefaultBudget
from budgets.months import month_at
from budgets.policies import OF_EVERY_BUDGET


def give_default_budgets(workspace_id: int, agent_ids: Collection[int]) -> int:
    """Give each of these new agents the workspace's default budget, if it has one; how many got it.

    Inside the transaction that made the agents: they have spent nothing, so no counter has to be read.
    """
    default = DefaultBudget.objects.filter(workspace=workspace_id).first()
    if default is None:
        return 0
    now = timezone.now()
    month = month_at(now, LedgerState.current().days()).name
    fields = {name: getattr(default, name) for name in OF_EVERY_BUDGET}
    have = BudgetPolicy.objects.live().filter(agent__in=agent_ids).values_list("agent_id", flat=True)
    policies = BudgetPolicy.objects.bulk_create(
        BudgetPolicy(
            scope=BudgetPolicy.Scope.AGENT, workspace_id=workspace_id, agent_id=agent_id, first_month=month, **fields
        )
        for agent_id in sorted(set(agent_ids) - set(have))
    )
    BudgetChange.objects.bulk_create(
        BudgetChange(
            policy=policy, what=BudgetChange.What.MADE, after=fields, by_name="the workspace's default",
            reason="The agent registered itself.",
        )
        for policy in policies
    )  # fmt: skip
    BudgetPeriod.objects.bulk_create(BudgetPeriod(policy=policy, month=month) for policy in policies)
    tallies = [Tally.of(policy, month, policy.limit_microcents, 0) for policy in policies]
    note_crossings(tallies, now=now, this_month=month, at_creation=True)
    return len(policies)
