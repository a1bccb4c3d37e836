"""Agents that register themselves get the workspace's default budget, before their first call counts."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents.models import Agent, Workspace
from agents.registration import agent_named
from budgets.counters import differences
from budgets.defaults import give_default_budgets
from budgets.enforcement import BudgetEnforcementService, Refused
from budgets.models import BudgetChange, BudgetPolicy, DefaultBudget, ThresholdCrossing
from budgets.policies import policy_of
from tests.budgets.conftest import CENT, spend
from tests.factories import AgentFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def default(workspace: Workspace) -> DefaultBudget:
    return DefaultBudget.objects.create(workspace=workspace, limit_cents=10, thresholds=[50, 100], mode="hard")


def test_a_new_agent_has_the_default_budget_and_its_first_call_counts(
    workspace: Workspace, default: DefaultBudget
) -> None:
    spend(Agent(workspace=workspace, slug="newcomer"), 6)
    agent = Agent.objects.get(slug="newcomer")

    policy = policy_of(agent)
    assert policy is not None
    assert (policy.limit_cents, policy.thresholds, policy.mode) == (10, [50, 100], "hard")
    (standing,) = BudgetEnforcementService().standings(agent)
    assert (standing.spent, standing.limit) == (6 * CENT, 10 * CENT)
    assert list(ThresholdCrossing.objects.values_list("threshold", "at_creation")) == [(50, False)]
    assert list(differences()) == []
    (change,) = BudgetChange.objects.all()
    assert (change.what, change.by_name, change.after["limit_cents"]) == ("made", "the workspace's default", 10)


def test_an_agent_that_asks_for_a_lease_first_has_it_too(workspace: Workspace, default: DefaultBudget) -> None:
    default.limit_cents = 0
    default.save()
    newcomer = agent_named(workspace.pk, "newcomer")
    assert isinstance(BudgetEnforcementService().lease(newcomer, uuid4(), least=1), Refused)


def test_agents_that_were_there_and_those_made_by_hand_are_left_alone(
    workspace: Workspace, support_bot: Agent, default: DefaultBudget
) -> None:
    spend(support_bot, 1)
    AgentFactory(workspace=workspace, slug="by-hand")
    assert not BudgetPolicy.objects.exists()


def test_a_default_is_of_its_own_workspace(elsewhere: Workspace, default: DefaultBudget) -> None:
    spend(Agent(workspace=elsewhere, slug="newcomer"), 1)
    assert not BudgetPolicy.objects.exists()


def test_names_beyond_the_last_place_share_one_default_budget(
    workspace: Workspace, default: DefaultBudget, settings: Any
) -> None:
    settings.COSTSITE_MAX_AGENTS_PER_WORKSPACE = 2
    for name in "abcde":
        spend(Agent(workspace=workspace, slug=name), 4)
    assert sorted(policy.subject for policy in BudgetPolicy.objects.all()) == ["a", "b", "unregistered"]
    refused = BudgetEnforcementService().may_dispatch(Agent.objects.get(slug="unregistered"))
    assert refused is not None  # 12 of 10 cents


def test_many_at_once_take_as_many_queries_as_one(workspace: Workspace, default: DefaultBudget) -> None:
    def queries(count: int) -> int:
        ids = [AgentFactory(workspace=workspace).pk for _ in range(count)]
        with CaptureQueriesContext(connection) as asked:
            assert give_default_budgets(workspace.pk, ids) == count
        return len(asked)

    queries(1)
    assert queries(1) == queries(80)  # of more rows SQLite takes several statements: 999 values in each


def test_an_owner_sets_changes_and_removes_it_on_the_workspaces_page(
    workspace: Workspace, owner: User, client: Client
) -> None:
    client.force_login(owner)
    page = reverse("admin:agents_workspace_change", args=[workspace.pk])

    def save(**fields: str) -> int:
        form = {
            "name": workspace.name, "slug": workspace.slug, "monthly_budget_cents": "",
            "initial-monthly_budget_cents": "", "memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0",
        }  # fmt: skip
        named = {f"default_budget-{name.replace('__', '-')}": value for name, value in fields.items()}
        return client.post(page, form | named).status_code

    facts = {"0__thresholds": "80, 100", "0__mode": "dispatch", "0__workspace": str(workspace.pk)}
    assert save(TOTAL_FORMS="1", INITIAL_FORMS="0", **facts, **{"0__limit_cents": "500"}) == 302
    default = DefaultBudget.objects.get()
    assert (default.limit_cents, default.thresholds, default.mode) == (500, [80, 100], "dispatch")
    assert "Monthly budget of each new agent (in cents)" in client.get(page).content.decode()

    facts |= {"0__id": str(default.pk)}
    assert save(TOTAL_FORMS="1", INITIAL_FORMS="1", **facts, **{"0__limit_cents": "-1"}) == 200
    assert save(TOTAL_FORMS="1", INITIAL_FORMS="1", **facts, **{"0__limit_cents": "700"}) == 302
    assert DefaultBudget.objects.get().limit_cents == 700
    assert save(TOTAL_FORMS="1", INITIAL_FORMS="1", **facts, **{"0__limit_cents": "700", "0__DELETE": "on"}) == 302
    assert not DefaultBudget.objects.exists()
