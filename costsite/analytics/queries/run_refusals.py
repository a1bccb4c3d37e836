"""Which budgets refused calls of a run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Max, Q, Sum

from agents.models import ReportedRefusal, Workspace
from agents.models.visibility import is_superuser
from budgets.models import BudgetPolicy
from costsite.analytics.queries.runs import RunRow

User = AbstractBaseUser | AnonymousUser

MOST_BUDGETS = 10
"""That one run names; those that refused most."""


@dataclass(frozen=True)
class RefusedBy:
    """Calls that one budget refused, for one reason."""

    kind: str
    calls: int
    last_day: date
    policy: BudgetPolicy | None
    """None where the client did not say, or named a budget that is not the run's."""
    shown: bool
    """The reader may open it. Of the site's budget only who runs the site may."""
    owned: bool
    """Its workspace is the reader's."""


def refused_by(user: User, run: RunRow) -> list[RefusedBy]:
    """The most calls first. Three queries at most, and none for a run of which nothing was refused."""
    if not run.refused_calls:
        return []
    rows = list(
        ReportedRefusal.objects.visible_to(user)
        .filter(workspace_id=run.workspace_id, run_id=run.run_id)
        .values_list("policy_id", "kind")
        .annotate(calls=Sum("count"), last_day=Max("day"))
        .order_by("-calls", "policy_id", "kind")[:MOST_BUDGETS]
    )
    # A client names what it likes: only budgets that may cover the run are taken at its word.
    covering = Q(workspace=run.workspace_id) | Q(scope=BudgetPolicy.Scope.SITE)
    policies = BudgetPolicy.objects.filter(covering, pk__in={policy_id for policy_id, *_ in rows if policy_id})
    by_id = {policy.pk: policy for policy in policies.select_related("workspace", "agent")}
    sees_all = is_superuser(user)
    owned = Workspace.objects.owned_by(user).filter(pk=run.workspace_id).exists()
    found = []
    for policy_id, kind, calls, last_day in rows:
        policy = by_id.get(policy_id)
        shown = policy is not None and (sees_all or policy.scope != BudgetPolicy.Scope.SITE)
        found.append(RefusedBy(kind, calls, last_day, policy, shown, owned))
    return found
