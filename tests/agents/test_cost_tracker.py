"""What was spent by whom between when and when, by hand."""

from __future__ import annotations

import doctest
from dataclasses import fields
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import AnonymousUser

import agents.cost_tracker
from agents import ledger
from agents.cost_tracker import CostTracker
from agents.models import Agent, LedgerState, Workspace
from agents.models.sums import SUM_COLUMNS
from agents.spend import NOTHING, Spend
from tests.factories import NOON, MembershipFactory, UserFactory, WorkspaceFactory, llm_call

pytestmark = pytest.mark.django_db

CALL = 1_200 * 15 + 300 * 60
"""36,000 microcents: 0.036 cents. On gpt-4o, 1,200 x 250 + 300 x 1,000 = 600,000."""


@pytest.fixture
def acme(workspace: Workspace) -> Workspace:
    """November in Berlin: two agents, two models; a call in its last minute, one in the first of December."""
    LedgerState.objects.create(pk=1, time_zone="Europe/Berlin")
    last_minute = datetime(2026, 11, 30, 23, 59, tzinfo=ZoneInfo("Europe/Berlin"))
    globex = WorkspaceFactory(slug="globex", name="Globex")
    for where, events in (
        (
            workspace,
            [
                llm_call(),
                llm_call(request_model="gpt-4o", agent="researcher"),
                llm_call(request_model="house-model", provider=""),
                llm_call(started_at=last_minute),
                llm_call(started_at=last_minute + timedelta(minutes=1)),
            ],
        ),
        (globex, [llm_call()]),
    ):
        ledger.record(where, list(enumerate(events)), client=None, received_at=last_minute + timedelta(days=1))
    return workspace


def test_an_agents_month(acme: Workspace) -> None:
    agent = Agent.objects.get(workspace=acme, slug="support-bot")
    november = CostTracker().agent(agent).month("2026-11").total()
    assert (november.calls, november.unpriced_calls, november.cost_microcents) == (3, 1, 2 * CALL)
    assert november.estimated_cost_cents == Decimal("0.072")
    assert (november.input_tokens, november.output_tokens) == (3_600, 900)
    assert CostTracker().agent(agent).month("2026-12").total().cost_microcents == CALL


def test_a_workspace_by_model_and_by_agent(acme: Workspace) -> None:
    tracker = CostTracker().workspace(acme).between(date(2026, 11, 1), date(2026, 12, 1))
    assert [(spend.of, spend.estimated_cost_cents) for spend in tracker.by_model()] == [
        (("openai", "gpt-4o"), Decimal("0.6")),
        (("openai", "gpt-4o-mini"), Decimal("0.072")),
        (("", "house-model"), None),
    ]
    assert [spend.of for spend in tracker.by_model(most=1)] == [("openai", "gpt-4o")]
    assert [(spend.of.slug, spend.cost_microcents) for spend in tracker.by_agent()] == [
        ("researcher", 600_000),
        ("support-bot", 2 * CALL),
    ]


def test_the_site_by_day_and_by_workspace(acme: Workspace) -> None:
    assert [(spend.of, spend.calls) for spend in CostTracker().site().by_day()] == [
        (NOON.date(), 4),
        (date(2026, 11, 30), 1),
        (date(2026, 12, 1), 1),
    ]
    assert [(spend.of.slug, spend.calls) for spend in CostTracker().month("2026-11").by_workspace()] == [
        ("acme", 4),
        ("globex", 1),
    ]
    assert CostTracker().total().cost_microcents == 600_000 + 4 * CALL


def test_one_sees_the_workspaces_one_is_a_member_of(acme: Workspace) -> None:
    member = MembershipFactory(workspace=acme).user
    assert CostTracker().visible_to(member).total().calls == 5
    assert [spend.of for spend in CostTracker().visible_to(member).by_workspace()] == [acme]
    assert CostTracker().visible_to(UserFactory(is_superuser=True)).total().calls == 6
    assert CostTracker().visible_to(AnonymousUser()).total().calls == 0


def test_a_period_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="swap"):
        CostTracker().between(date(2026, 11, 2), date(2026, 11, 1))


def test_nothing_spent_is_zero_and_unknown_is_none(workspace: Workspace) -> None:
    assert CostTracker().workspace(workspace).total().estimated_cost_cents == 0
    ledger.record(workspace, [(0, llm_call(request_model="house-model"))], client=None, received_at=NOON)
    assert CostTracker().workspace(workspace).total().estimated_cost_cents is None


def test_a_sum_has_every_column_of_the_rollups_and_adds_up() -> None:
    assert tuple(field.name for field in fields(Spend)) == SUM_COLUMNS
    priced = Spend(calls=2, input_tokens=90, cache_read_tokens=40, cache_write_5m_tokens=20, cost_microcents=CALL)
    unpriced = Spend(calls=1, unpriced_calls=1, input_tokens=10, input_audio_tokens=10)
    both = priced + unpriced
    assert (both.calls, both.priced_calls, both.input_tokens, both.input_audio_tokens) == (3, 2, 100, 10)
    assert (both.fresh_input_tokens, both.cost) == (40, CALL)  # 100 - 40 - 20
    assert (unpriced.cost, NOTHING.cost) == (None, 0)


def test_the_example_in_the_docstring_runs(db: None) -> None:
    results = doctest.testmod(agents.cost_tracker)
    assert (results.failed, results.attempted) == (0, 3)
