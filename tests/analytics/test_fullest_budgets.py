"""Which budget is the fullest: one rule, whoever puts them in order."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from django.urls import reverse

from agents.models import Agent
from budgets.enforcement import standings_of
from budgets.models import BudgetGrant, BudgetPolicy, Refusal, SpendLease
from budgets.policies import By, grant, set_budget
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.queries.standing_rows import (
    FULL_FROM_THE_START,
    IN_STEADY_ORDER,
    fullness_of,
    read_standings,
)
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


def test_few_are_read_and_the_fullest_and_the_gravest_are_among_them(cast: Cast, spend: Spend) -> None:
    """However often a budget with room left refused, and however far one is over that only tells."""
    for slug, cents, mode, calls, refused in (
        ("refused-often", 100, "hard", 1, 50), ("only-tells", 1, "monitor", 30, 0), ("tells-too", 1, "monitor", 20, 9),
        ("stopped", 1, "hard", 6, 0), ("near", 10, "hard", 50, 0),
    ):  # fmt: skip
        for _ in range(calls):
            spend(agent=slug)
        agent = Agent.objects.get(workspace=cast.acme, slug=slug)
        budget = set_budget(agent, by=TESTER, limit_cents=cents, mode=mode)
        if refused:
            Refusal.objects.create(
                policy=budget, workspace=cast.acme, agent=agent, kind="exhausted", minute=AFTERNOON, count=refused
            )

    def read(most: int) -> list[str]:
        return [str(one.policy.agent) for one in budgets_for(cast.viewer, calendar_now(), most=most).watched]

    assert read(2) == ["only-tells", "stopped"]
    assert read(9) == ["only-tells", "stopped", "tells-too", "near", "refused-often"]


def test_pages_and_enforcement_agree_on_what_is_held_and_granted(
    cast: Cast, budgets: dict[str, BudgetPolicy], spend: Spend
) -> None:
    """Each lease and grant at an edge of what counts: ended this instant, used up, of another month, revoked."""
    now = calendar_now().now
    agent, tick = Agent.objects.get(slug="half"), timedelta(microseconds=1)
    everything = [
        *budgets.values(),
        set_budget(cast.acme, by=TESTER, limit_cents=7),
        set_budget(None, by=TESTER, limit_cents=9),
    ]
    for number, (frees_at, used, month) in enumerate(
        [(now + tick, 0, "2026-11"), (now, 0, "2026-11"), (now + tick, 1_024, "2026-11"), (now + tick, 0, "2026-10")]
    ):
        SpendLease.objects.create(
            workspace=cast.acme, agent=agent, client_id=UUID(int=number), month=month, expires_at=now,
            granted_microcents=1_024 << number, used_microcents=used << number, frees_at=frees_at,
        )  # fmt: skip
    for number, (granted_at, ends_at, revoked_at) in enumerate(
        [(now, now + tick, None), (now - tick, now, None), (now + tick, now + 2 * tick, None), (now, now + tick, now)]
    ):
        BudgetGrant.objects.create(
            policy=budgets["half"], cents=1 << number, reason="edge", granted_at=granted_at, ends_at=ends_at,
            revoked_at=revoked_at,
        )  # fmt: skip
    policies = BudgetPolicy.objects.live()

    enforced = {one.policy.pk: one for one in standings_of(policies, now)}
    month = next(iter(enforced.values())).month
    read = read_standings(policies, month, now, refused_from=now, order=IN_STEADY_ORDER, most=100)

    assert len(read) == len(everything)
    for standing, _ in read:
        same = enforced[standing.policy.pk]
        assert (standing.limit, standing.spent, standing.held) == (same.limit, same.spent, same.held), standing.policy
    half = enforced[budgets["half"].pk]
    assert (half.held, half.limit) == (1_024, 3_000_000)
