"""What a site's database holds, by each of the ways it is counted, whichever database that is."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from tests.end_to_end.live_site import LiveSite
from tests.end_to_end.load import CALL

_READ = """
import json
from django.db.models import Sum
from agents.models import AgentRunLog, LLMCall, UsageDay, UsageMonth, WorkspaceDay
from budgets.models import BudgetPeriod, SpendLease
def of(rows, *sums):
    return [int(rows.aggregate(total=Sum(name))["total"] or 0) for name in sums]
own = BudgetPeriod.objects.filter(policy__scope="workspace")
print(json.dumps({
    "ids": [str(id) for id in LLMCall.objects.values_list("call_id", flat=True)],
    "calls": of(LLMCall.objects, "cost_microcents"),
    "runs": of(AgentRunLog.objects, "calls", "cost_microcents"),
    "days": of(UsageDay.objects, "calls", "cost_microcents"),
    "months": of(UsageMonth.objects, "calls", "cost_microcents"),
    "workspace": of(WorkspaceDay.objects, "calls", "cost_microcents"),
    "budgets": of(own, "spent_microcents"),
    "leased": of(LLMCall.objects.filter(lease_id__in=SpendLease.objects.values("lease_id")), "cost_microcents"),
    "used": of(SpendLease.objects, "used_microcents"),
}))
"""


@dataclass
class Books:
    ids: list[str]
    """Of the calls."""
    calls: list[int]
    """Microcents of the calls; then calls and microcents of the runs, the days, the months, the workspace's days."""
    runs: list[int]
    days: list[int]
    months: list[int]
    workspace: list[int]
    budgets: list[int]
    """Microcents that the workspace's budget counted, over all months."""
    leased: list[int]
    """Microcents of the calls that name a lease, and what the leases say was used of them."""
    used: list[int]


def books(site: LiveSite) -> Books:
    return Books(**json.loads(site.manage("shell", "-v0", "-c", _READ)))


def require_right_books(site: LiveSite, acknowledged: Collection[str], *, extra_calls: int = 0) -> Books:
    """Every call that was acknowledged is there once, nothing else is (but `extra_calls`), and all sums say the same.

    The site has a workspace with a budget, and every call costs what the factory's does.
    """
    found = books(site)
    count = len(acknowledged) + extra_calls
    missing = set(acknowledged) - set(found.ids)
    assert not missing, f"{len(missing)} acknowledged calls are missing"
    assert (len(found.ids), len(set(found.ids))) == (count, count)
    assert found.calls == [count * CALL]
    assert found.runs == found.days == found.months == found.workspace == [count, count * CALL]
    assert found.budgets == [count * CALL]
    assert found.used == found.leased
    assert site.manage("rebuild_rollups", "--check").strip() == "Every sum agrees with the calls."
    assert site.manage("rebuild_budget_periods", "--check").strip() == "Every budget agrees with the ledger."
    return found
