"""What a client is told of its budgets with every Receipt."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.utils import timezone

from agents.clock import month_of
from agents.models import ApiKey, LedgerState
from budgets.key_reach import KeyReach
from budgets.limits import effective_limits
from budgets.models import BudgetPeriod, BudgetPolicy
from langchain_plugin import wire


def budget_news(key: ApiKey, agents: Mapping[str, int], *, now: datetime | None = None) -> list[wire.BudgetNews]:
    """Of each agent the tightest budget whose figures the key may read. `agents`: ids by the name the client uses."""
    reach = KeyReach(key)
    covering_any = BudgetPolicy.objects.covering(key.workspace_id, set(agents.values()))
    policies = [policy for policy in covering_any if reach.opens(policy)]
    if not policies:
        return []
    now = now or timezone.now()
    limits = effective_limits(policies, now)
    month = month_of(LedgerState.current().days().of(now))
    spent = dict(
        BudgetPeriod.objects.filter(policy__in=policies, month=month).values_list("policy_id", "spent_microcents")
    )
    news = []
    for name, agent_id in sorted(agents.items()):
        covering = [policy for policy in policies if policy.agent_id in (None, agent_id)]
        if covering:
            tightest = min(covering, key=lambda policy: limits[policy.pk] - spent.get(policy.pk, 0))
            news.append(
                wire.BudgetNews(
                    agent=name,
                    spent_microcents=spent.get(tightest.pk, 0),
                    limit_microcents=limits[tightest.pk],
                )
            )
    return news
