"""Budgets that show what budgets do: one that is soon spent, and ones like people set."""

from __future__ import annotations

from agents.models import Agent, Workspace
from budgets.policies import By, policy_of, set_budget

THRIFTY = "thrifty-bot"
THRIFTY_CENTS = 5
"""What `examples/budgeted_agent.py` spends in a few seconds."""
WORKSPACE_CENTS = 20_000


def give_demo_budgets(workspace: Workspace) -> None:
    """Give them where there are none yet: what somebody tried out meanwhile stays."""
    thrifty, _ = Agent.objects.get_or_create(workspace=workspace, slug=THRIFTY, defaults={"name": "Thrifty bot"})
    by = By(command="demo")
    for of, cents in ((thrifty, THRIFTY_CENTS), (workspace, WORKSPACE_CENTS)):
        if policy_of(of) is None:
            set_budget(of, by=by, limit_cents=cents)
