"""Which budget is the fullest: one rule, whoever puts them in order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from agents.models import Agent
from budgets.models import BudgetPolicy
from budgets.policies import By, grant, set_budget
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.queries.standing_rows import FULL_FROM_THE_START, fullness_of
from costsite.analytics.queries.standings import budgets_for
from costsite.analytics.views.dashboard import fullest
from tests.analytics.facts import AFTERNOON, Cast, Spend, text_of

TESTER = By(command="test")
FULLEST_FIRST = ["nothing", "half", "granted", "idle"]


@pytest.fixture
def budgets(cast: Cast, spend: Spend) -> dict[str, BudgetPolicy]:
    """Each but `idle` and `nothing` spent five calls of 0.18 cents: 0.9 cents of 2, and of 1 + 3 granted."""
    made: dict[str, Any] = {}
    for slug, cents in (("idle", 100), ("granted", 1), ("nothing", 0), ("half", 2)):
        for _ in range(5 if slug in ("granted", "half") else 0):
            spend(agent=slug)
        agent = Agent.objects.get_or_create(workspace=cast.acme, slug=slug)[0]
        made[slug] = set_budget(agent, by=TESTER, limit_cents=cents)
    grant(made["granted"], 3, ends_at=AFTERNOON + timedelta(days=2), reason="launch week", by=TESTER)
    return made


def test_a_budget_of_nothing_is_the_fullest_and_grants_count(
    cast: Cast, budgets: dict[str, BudgetPolicy], as_viewer: Client
) -> None:
    read = budgets_for(cast.viewer, calendar_now())
    listed = as_viewer.get(reverse("budgets")).context["rows"]
    of_workspace = as_viewer.get(reverse("workspace", args=["acme"])).context["policies"]

    assert [str(one.policy.agent) for one in read.watched] == FULLEST_FIRST
    assert [str(row.policy.agent) for row, _ in listed] == FULLEST_FIRST
    assert [one["subject"] for one in of_workspace] == FULLEST_FIRST
    assert str(getattr(fullest(read), "policy").agent) == "nothing"  # noqa: B009 - it may be None, and then fails here


def test_pages_reckon_as_the_database_orders(cast: Cast, budgets: dict[str, BudgetPolicy]) -> None:
    watched = budgets_for(cast.viewer, calendar_now()).watched

    reckoned = [(str(one.policy.agent), fullness_of(one.standing)) for one in watched]

    assert reckoned == [("nothing", FULL_FROM_THE_START), ("half", 0.45), ("granted", 0.225), ("idle", 0.0)]


def test_a_blocked_budget_of_nothing_is_not_cut_from_what_needs_attention(
    budgets: dict[str, BudgetPolicy], as_viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("costsite.analytics.views.dashboard.LOUDEST_BUDGETS", 0)

    assert "nothing is blocked until 1 Dec 00:00" in text_of(as_viewer, reverse("dashboard"))
