"""Which budgets' figures an API key may read: those of which it opens everything that counts against them."""

from __future__ import annotations

from functools import cached_property

from agents.models import ApiKey, Workspace
from budgets.covering import Covering
from budgets.models import BudgetPolicy


class KeyReach:
    """Of one key, during one request."""

    def __init__(self, key: ApiKey) -> None:
        self.key = key

    def opens(self, policy: BudgetPolicy | Covering) -> bool:
        """False where the figures would tell what others spend. `policy` is one that covers an agent of the key."""
        if policy.scope == BudgetPolicy.Scope.AGENT:
            return True
        if self.key.agent_id is not None:
            return False
        return policy.scope == BudgetPolicy.Scope.WORKSPACE or self._is_only_workspace

    @cached_property
    def _is_only_workspace(self) -> bool:
        """On a site of one workspace, what the site spends is what that workspace spends."""
        return not Workspace.objects.exclude(pk=self.key.workspace_id).exists()
