"""What a month came to, whenever it is looked at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoAssertNumQueries

from agents.models import Agent, LedgerState, Workspace
from budgets.models import (
    BudgetChange,
    BudgetGrant,
    BudgetPolicy,
    MonthlyStatement,
    MonthsClosed,
    Notification,
    NotificationChannel,
)
from budgets.policies import By, grant, policy_of, set_budget
from budgets.statements import COMPARED_EVERY, LAST_CALLS_ARRIVE, limits_at, monthly_rollover
from tests.budgets.conftest import CENT, TESTER, spend
from tests.factories import AgentFactory, MembershipFactory, UserFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

SEPTEMBER, OCTOBER, NOVEMBER = (datetime(2026, month, 15, 12, tzinfo=UTC) for month in (9, 10, 11))
MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)
"""The end of October."""
LOOKED_AT = MIDNIGHT + LAST_CALLS_ARRIVE
LATER = LOOKED_AT + COMPARED_EVERY

Statement = tuple[str, str, int, int, float]


@pytest.fixture(autouse=True)
def utc(zone: LedgerState) -> None:
    """Months are UTC's."""


def stated() -> list[Statement]:
    """Whose, which month, revision, calls, cents: by month, revision and name."""
    rows = [
        (str(row.agent or row.workspace), row.month, row.revision, row.calls, row.cost_microcents / CENT)
        for row in MonthlyStatement.objects.select_related("agent", "workspace")
    ]
    return sorted(rows, key=lambda row: (row[1], row[2], row[0]))


def notes(user: User) -> list[tuple[str, str]]:
    return list(Notification.objects.filter(user=user).order_by("pk").values_list("title", "body"))


# ── statements ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_month_is_stated_for_each_agent_and_each_workspace_when_its_last_calls_are_in(support_bot: Agent) -> None:
    other = AgentFactory(workspace=support_bot.workspace, slug="research-bot")
    spend(support_bot, 30, at=OCTOBER)
    spend(support_bot, 2.5, at=OCTOBER)
    spend(other, 7, at=OCTOBER)
    spend(other, 9, at=NOVEMBER)

    monthly_rollover(LOOKED_AT - timedelta(seconds=1))
    assert stated() == []
    assert monthly_rollover(LOOKED_AT).startswith("3 statements made")

    assert set(stated()) == {
        ("support-bot", "2026-10", 1, 2, 32.5),
        ("research-bot", "2026-10", 1, 1, 7),
        ("Acme", "2026-10", 1, 3, 39.5),
    }
    whole = MonthlyStatement.objects.get(agent=None)
    # 4,000 input tokens are a cent.
    assert (whole.input_tokens, whole.output_tokens, whole.unpriced_calls) == (158_000, 0, 0)


def test_looking_again_changes_nothing(support_bot: Agent) -> None:
    spend(support_bot, 30, at=OCTOBER)
    monthly_rollover(LOOKED_AT)
    before = stated()
    assert monthly_rollover(LATER) == "0 statements made, 0 notes written"
    assert monthly_rollover(LATER + timedelta(seconds=1)) == "nothing due"
    assert stated() == before


def test_late_calls_make_a_revision_of_what_they_changed(support_bot: Agent) -> None:
    AgentFactory(workspace=support_bot.workspace, slug="research-bot")
    other = Agent.objects.get(slug="research-bot")
    spend(support_bot, 30, at=OCTOBER)
    spend(other, 7, at=OCTOBER)
    monthly_rollover(LOOKED_AT)

    spend(support_bot, 12, at=OCTOBER, received_at=LOOKED_AT)
    assert monthly_rollover(LOOKED_AT + timedelta(minutes=1)) == "nothing due"
    assert monthly_rollover(LATER) == "2 statements made, 0 notes written"

    assert [row for row in stated() if row[2] == 2] == [
        ("Acme", "2026-10", 2, 3, 49),
        ("support-bot", "2026-10", 2, 2, 42),
    ]
    current = {str(row.agent or row.workspace): row.revision for row in MonthlyStatement.objects.current()}
    assert current == {"support-bot": 2, "research-bot": 1, "Acme": 2}


def test_a_site_that_was_down_for_months_catches_up(support_bot: Agent, ada: User) -> None:
    spend(support_bot, 5, at=SEPTEMBER)
    monthly_rollover(datetime(2026, 10, 2, tzinfo=UTC))
    Notification.objects.all().delete()
    spend(support_bot, 30, at=OCTOBER)
    spend(support_bot, 40, at=NOVEMBER)

    monthly_rollover(datetime(2027, 2, 10, tzinfo=UTC))

    assert [(month, cents) for name, month, _, _, cents in stated() if name == "Acme"] == [
        ("2026-09", 5), ("2026-10", 30), ("2026-11", 40),
    ]  # fmt: skip
    assert notes(ada) == [], "January had no calls, and what happened in November is no news"


def test_a_process_that_died_half_way_is_made_up_for(support_bot: Agent, ada: User) -> None:
    stranger = AgentFactory(slug="stranger")
    spend(support_bot, 30, at=OCTOBER)
    spend(stranger, 20, at=OCTOBER)
    monthly_rollover(LOOKED_AT)
    # As it would be had it died after the first workspace, with none of the notes written.
    MonthlyStatement.objects.filter(workspace=stranger.workspace).delete()
    Notification.objects.all().delete()
    MonthsClosed.objects.all().delete()

    monthly_rollover(LOOKED_AT)

    assert len(stated()) == 4
    assert {row[2] for row in stated()} == {1}
    assert len(notes(ada)) == 1


def test_what_there_is_no_time_for_is_left_to_the_next_tick(support_bot: Agent, ada: User) -> None:
    spend(support_bot, 30, at=OCTOBER)
    assert monthly_rollover(LOOKED_AT, seconds=-1) == "0 statements made; more are left"
    assert monthly_rollover(LOOKED_AT) == "2 statements made, 1 notes written"


def test_a_clock_that_was_years_ahead_for_a_moment_does_no_harm(support_bot: Agent, ada: User) -> None:
    spend(support_bot, 30, at=OCTOBER)
    monthly_rollover(datetime(2030, 1, 10, tzinfo=UTC))
    assert monthly_rollover(LOOKED_AT) == "0 statements made, 1 notes written"
    spend(support_bot, 10, at=OCTOBER, received_at=LOOKED_AT)
    assert monthly_rollover(LATER) == "2 statements made, 0 notes written"


def test_where_nobody_called_there_is_nothing_to_state(support_bot: Agent, ada: User) -> None:
    spend(support_bot, 30, at=NOVEMBER)
    assert monthly_rollover(LOOKED_AT) == "0 statements made, 0 notes written"


def test_a_look_when_nothing_is_due_reads_two_rows(
    support_bot: Agent, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    spend(support_bot, 30, at=OCTOBER)
    monthly_rollover(LOOKED_AT)
    with django_assert_num_queries(2):
        monthly_rollover(LOOKED_AT)


@pytest.mark.parametrize(("zone_name", "month"), [("Europe/Berlin", "2026-11"), ("America/New_York", "2026-10")])
def test_a_month_is_the_ledgers_own(support_bot: Agent, zone: LedgerState, zone_name: str, month: str) -> None:
    zone.time_zone = zone_name
    zone.save()
    spend(support_bot, 30, at=MIDNIGHT - timedelta(minutes=30))
    monthly_rollover(datetime(2026, 12, 10, tzinfo=UTC))
    assert {row[1] for row in stated()} == {month}


# ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_statement_has_the_limit_that_held_when_the_month_ended(
    support_bot: Agent, workspace: Workspace, ada: User
) -> None:
    policy = set_budget(support_bot, by=TESTER, limit_cents=50)
    set_budget(workspace, by=TESTER, limit_cents=400)
    assert policy is not None
    grant(policy, 25, ends_at=datetime.now(UTC) + timedelta(days=300), reason="launch", by=By(user=ada))
    BudgetPolicy.objects.update(created_at=SEPTEMBER, first_month="2026-09")
    BudgetGrant.objects.update(granted_at=OCTOBER)
    BudgetChange.objects.update(changed_at=SEPTEMBER)
    # Two changes after the end: what the first of them found is what held.
    for limit, changed_at in ((60, NOVEMBER), (70, NOVEMBER + timedelta(days=1))):
        set_budget(support_bot, by=TESTER, limit_cents=limit)
        BudgetChange.objects.filter(after={"limit_cents": limit}).update(changed_at=changed_at)
    assert limits_at(workspace.pk, MIDNIGHT) == {support_bot.pk: 75 * CENT, None: 400 * CENT}
    assert limits_at(workspace.pk, SEPTEMBER) == {}
    assert limits_at(workspace.pk, NOVEMBER + timedelta(days=2)) == {support_bot.pk: 95 * CENT, None: 400 * CENT}

    set_budget(support_bot, by=TESTER, limit_cents=None)
    BudgetPolicy.objects.filter(pk=policy.pk).update(archived_at=NOVEMBER)
    assert limits_at(workspace.pk, MIDNIGHT)[support_bot.pk] == 75 * CENT
    assert support_bot.pk not in limits_at(workspace.pk, NOVEMBER + timedelta(days=2))

    spend(support_bot, 30, at=OCTOBER)
    monthly_rollover(datetime(2026, 11, 20, tzinfo=UTC))
    assert dict(MonthlyStatement.objects.values_list("agent", "limit_microcents")) == {
        support_bot.pk: 75 * CENT, None: 400 * CENT,
    }  # fmt: skip


# ── notes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_owner_is_told_once_of_the_month_that_ended(support_bot: Agent, ada: User) -> None:
    root = UserFactory(username="root", is_superuser=True)
    MembershipFactory(workspace=support_bot.workspace)
    spend(support_bot, 380, at=SEPTEMBER)
    spend(support_bot, 400, at=OCTOBER)
    spend(support_bot, 12.6, at=OCTOBER)

    assert monthly_rollover(LOOKED_AT).endswith("2 notes written")
    monthly_rollover(LATER)

    told = "spent $4.13 in October, in 2 calls; the month before it was $3.80."
    assert notes(ada) == [("Acme in October: $4.13", f"Acme {told}")]
    assert notes(root) == [("The whole site in October: $4.13", f"The whole site {told}")]


def test_each_channel_hears_of_its_own_and_the_site_of_the_whole(support_bot: Agent, workspace: Workspace) -> None:
    for of, name in ((workspace, "#ours"), (None, "#site"), (WorkspaceFactory(), "#others")):
        NotificationChannel.objects.create(workspace=of, kind="webhook", name=name, url="json://example.com")
    spend(support_bot, 30, at=OCTOBER)
    monthly_rollover(LOOKED_AT)
    assert set(Notification.objects.values_list("channel__name", "title")) == {
        ("#ours", "Acme in October: 30.00¢"),
        ("#site", "The whole site in October: 30.00¢"),
    }
    facts = Notification.objects.get(channel__name="#ours").facts
    assert facts == {
        "event": "month_ended", "workspace": "acme", "month": "2026-10", "calls": 1, "unpriced_calls": 0,
        "cost_cents": "30", "free_again": [],
    }  # fmt: skip


@pytest.fixture
def exhausted(workspace: Workspace) -> Callable[..., Agent]:
    """Makes an agent that spent its budget of 10 cents in October."""

    def make(slug: str, **fields: object) -> Agent:
        agent = AgentFactory(workspace=workspace, slug=slug)
        set_budget(agent, by=TESTER, limit_cents=10, **fields)
        policy = policy_of(agent)
        BudgetPolicy.objects.filter(pk=policy and policy.pk).update(created_at=SEPTEMBER, first_month="2026-09")
        spend(agent, 10, at=OCTOBER)
        return agent

    return make


def test_who_was_stopped_and_is_free_again_is_named(
    exhausted: Callable[..., Agent], workspace: Workspace, ada: User
) -> None:
    exhausted("free-bot")
    exhausted("dispatch-bot", mode="dispatch")
    exhausted("told-bot", mode="monitor")
    spend(exhausted("again-bot"), 10, at=MIDNIGHT + timedelta(minutes=5))
    archived = exhausted("archived-bot")
    set_budget(archived, by=TESTER, limit_cents=None)
    spend(AgentFactory(workspace=workspace, slug="well-bot"), 1, at=OCTOBER)

    monthly_rollover(LOOKED_AT)

    ((_, body),) = notes(ada)
    assert body.endswith("Free again: free-bot, dispatch-bot.")


def test_a_budget_of_nothing_frees_nobody(support_bot: Agent, ada: User) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=0)
    BudgetPolicy.objects.update(created_at=SEPTEMBER, first_month="2026-09")
    spend(support_bot, 10, at=OCTOBER)
    monthly_rollover(LOOKED_AT)
    ((_, body),) = notes(ada)
    assert "Free again" not in body
