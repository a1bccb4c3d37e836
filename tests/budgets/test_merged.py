"""Two agents become one: the source's budget ends, and what it spent counts for the target's at every moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.utils import timezone

from agents import ledger, moving
from agents.clock import month_of
from agents.merging import merge
from agents.models import Agent, AgentMerge, LedgerState, Workspace
from agents.moving import move
from agents.rebuild import differences as wrong_sums
from budgets.counters import differences
from budgets.enforcement import BudgetEnforcementService, Permit, Refused
from budgets.models import (
    BudgetChange,
    BudgetPeriod,
    BudgetPolicy,
    MonthlyStatement,
    Notification,
    Refusal,
    SpendLease,
    ThresholdCrossing,
)
from budgets.policies import policy_of, set_budget
from budgets.statements import monthly_rollover
from tests.budgets.conftest import CENT, TESTER, TOKENS_PER_CENT, lease_of, spend
from tests.factories import AgentFactory, llm_call

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def utc(zone: LedgerState) -> None:
    """Months are UTC's."""


@pytest.fixture
def misspelt(support_bot: Agent) -> Agent:
    agent: Agent = AgentFactory(workspace=support_bot.workspace, slug="suport-bot")
    return agent


def finish(merge: AgentMerge) -> None:
    for _ in move(merge):
        pass


def counted(policy: BudgetPolicy | None, month: str = "") -> float:
    """Cents."""
    month = month or month_of(LedgerState.current().today())
    row = BudgetPeriod.objects.filter(policy=policy, month=month).first()
    return row.spent_microcents / CENT if row else 0


def before_this_month(days: int = 3) -> datetime:
    """A noon of the month before."""
    first = LedgerState.current().today().replace(day=1)
    return datetime(first.year, first.month, first.day, 12, tzinfo=UTC) - timedelta(days=days)


def test_what_moves_counts_for_the_target_alone_and_the_wider_budgets_stay(
    support_bot: Agent, misspelt: Agent, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "CALLS_AT_ONCE", 2)
    own = set_budget(support_bot, by=TESTER, limit_cents=1_000)
    ended = set_budget(misspelt, by=TESTER, limit_cents=1_000)
    wide = [set_budget(of, by=TESTER, limit_cents=1_000) for of in (workspace, None)]
    spend(support_bot, 5)
    for _ in range(5):
        spend(misspelt, 3)

    begun = merge(misspelt, support_bot, by_name="test")
    assert [counted(policy) for policy in (own, *wide)] == [5, 20, 20]
    seen = set()
    for _ in move(begun):
        seen.add(counted(own))
        assert list(differences()) == []
        assert list(wrong_sums(workspace)) == []
        assert [counted(policy) for policy in wide] == [20, 20]

    assert seen == {5, 11, 17, 20}
    assert counted(ended) == 15, "what an archived budget counted stays readable"
    call_command("rebuild_rollups", "--check")
    call_command("rebuild_budget_periods", "--check")


def test_each_month_counts_in_its_own_and_none_from_before_the_budget(support_bot: Agent, misspelt: Agent) -> None:
    own = set_budget(support_bot, by=TESTER, limit_cents=1_000)
    assert own is not None
    long_ago, last_month = before_this_month(days=40), before_this_month()
    BudgetPolicy.objects.update(first_month=month_of(last_month.date()))
    for started_at, cents in ((None, 2), (last_month, 3), (long_ago, 4)):
        spend(misspelt, cents, at=started_at)

    finish(merge(misspelt, support_bot, by_name="test"))

    assert [counted(own), counted(own, month_of(last_month.date())), counted(own, month_of(long_ago.date()))] == [
        2,
        3,
        0,
    ]
    assert list(differences()) == []


def test_the_budget_of_the_source_ends_with_a_note_of_who_and_why(
    support_bot: Agent, misspelt: Agent, owner: User
) -> None:
    policy = set_budget(misspelt, by=TESTER, limit_cents=50)

    merge(misspelt, support_bot, by=owner)

    assert policy_of(misspelt) is None
    change = BudgetChange.objects.get(policy=policy, what=BudgetChange.What.ARCHIVED)
    assert (change.by_user, change.by_name, change.reason) == (
        owner,
        "olive",
        "suport-bot was merged into support-bot.",
    )
    with pytest.raises(ValidationError, match="suport-bot was merged into support-bot; set the budget of support-bot"):
        set_budget(misspelt, by=TESTER, limit_cents=5)


def test_lines_that_the_merge_passes_ring_once_when_all_has_moved(
    support_bot: Agent,
    misspelt: Agent,
    owner: User,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    monkeypatch.setattr(moving, "CALLS_AT_ONCE", 1)
    policy = set_budget(support_bot, by=TESTER, limit_cents=10)
    assert policy is not None
    spend(support_bot, 1)
    for _ in range(3):
        spend(misspelt, 3)
    last_month = before_this_month()
    BudgetPolicy.objects.update(first_month=month_of(last_month.date()))
    spend(misspelt, 5, at=last_month)

    begun = merge(misspelt, support_bot, by_name="test")
    with django_capture_on_commit_callbacks(execute=True):
        finish(begun)

    lines = ThresholdCrossing.objects.order_by("month", "threshold")
    assert [(line.month, line.threshold, line.late, line.at_creation) for line in lines] == [
        (month_of(last_month.date()), 50, True, False),
        *((month_of(LedgerState.current().today()), threshold, False, False) for threshold in (50, 80, 100)),
    ]
    told = Notification.objects.filter(user=owner).order_by("pk").values_list("title", flat=True)
    assert len(told) == 2, list(told)
    assert "50 %" in told[0]
    assert told[1] == "support-bot is blocked"  # of this month the highest alone


def test_what_processes_hold_counts_for_the_target_from_the_merge_on(support_bot: Agent, misspelt: Agent) -> None:
    for agent in (support_bot, misspelt):
        set_budget(agent, by=TESTER, limit_cents=100)
    service, process = BudgetEnforcementService(), uuid4()
    held = service.lease(misspelt, process, least=30 * CENT)
    other = service.lease(support_bot, process, least=20 * CENT)
    assert isinstance(held, Permit)
    assert isinstance(other, Permit)
    assert held.lease is not None
    assert other.lease is not None
    before = [lease.held_microcents for lease in (held.lease, other.lease)]

    merge(misspelt, support_bot, by_name="test")

    (standing,) = service.standings(support_bot)
    assert standing.held == sum(before)
    spend(misspelt, 30, lease_id=held.lease.lease_id)
    (standing,) = service.standings(support_bot)
    assert standing.spent == 30 * CENT
    assert standing.held == sum(before) - 30 * CENT

    # The process renews both, each under its name, and neither takes the other's.
    again = [service.lease(agent, process, least=CENT) for agent in (misspelt, support_bot)]
    ids = [permit.lease.lease_id for permit in again if isinstance(permit, Permit) and permit.lease is not None]
    assert ids == [held.lease.lease_id, other.lease.lease_id]
    assert set(SpendLease.objects.values_list("agent__slug", "asked_as")) == {
        ("support-bot", "suport-bot"), ("support-bot", ""),
    }  # fmt: skip
    (standing,) = service.standings(support_bot)
    assert standing.spent + standing.held <= 100 * CENT
    # One that has none yet gets the target's, however the caller came to the name.
    fresh = service.lease(misspelt, uuid4(), least=CENT)
    assert isinstance(fresh, Permit)
    assert fresh.lease is not None
    assert (fresh.lease.agent, fresh.lease.asked_as) == (support_bot, "suport-bot")


def test_a_run_that_has_not_moved_uses_the_lease_that_has(support_bot: Agent, misspelt: Agent) -> None:
    set_budget(misspelt, by=TESTER, limit_cents=100)
    set_budget(support_bot, by=TESTER, limit_cents=100)
    lease_id, now = lease_of(misspelt), datetime.now(UTC)
    run_id = uuid4()
    spend(misspelt, 2, run_id=run_id, lease_id=lease_id)
    begun = merge(misspelt, support_bot, by_name="test")

    calls = [
        llm_call(
            agent=misspelt.slug, run_id=run, lease_id=lease_id, request_model="gpt-4o", started_at=now, ended_at=now,
            input_tokens=cents * TOKENS_PER_CENT, output_tokens=0,
        )
        for run, cents in ((run_id, 3), (uuid4(), 5))
    ]  # fmt: skip
    recorded = ledger.record(support_bot.workspace, list(enumerate(calls)), client=None, received_at=now)

    assert {agent_id for agent_id, _ in recorded.spent} == {misspelt.pk, support_bot.pk}
    assert SpendLease.objects.get(pk=lease_id).used_microcents == 10 * CENT
    finish(begun)
    spend(support_bot, 1, run_id=run_id, lease_id=lease_id)
    assert SpendLease.objects.get(pk=lease_id).used_microcents == 11 * CENT


def test_what_was_spent_before_stands_in_the_way_from_the_merge_on(support_bot: Agent, misspelt: Agent) -> None:
    # 90 of its own 100 cents: of the target's 100, 10 are left, however long the calls take to move.
    own = set_budget(support_bot, by=TESTER, limit_cents=100)
    set_budget(misspelt, by=TESTER, limit_cents=100)
    run_id = uuid4()
    for _ in range(9):
        spend(misspelt, 10, run_id=run_id)
    made = merge(misspelt, support_bot, by_name="test")
    service = BudgetEnforcementService()

    for name in (support_bot, misspelt):
        refused = service.lease(name, uuid4(), least=11 * CENT)
        assert isinstance(refused, Refused)
        assert (refused.spent, refused.left) == (90 * CENT, 10 * CENT)

    # What a run from before the merge spends is booked to its agent until it has moved, and counts too.
    spend(misspelt, 10, run_id=run_id)
    refused = service.lease(support_bot, uuid4(), least=CENT)
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.spent) == (Refusal.Kind.EXHAUSTED, 100 * CENT)

    steps = list(islice(move(made), 2))
    assert steps
    (standing,) = service.standings(support_bot)
    assert standing.spent == 100 * CENT
    finish(made)
    (standing,) = service.standings(support_bot)
    assert standing.spent == 100 * CENT == counted(own) * CENT


def test_leases_and_refusals_of_before_become_the_targets(
    support_bot: Agent, misspelt: Agent, workspace: Workspace
) -> None:
    policy = set_budget(workspace, by=TESTER, limit_cents=100)
    now = timezone.now()
    SpendLease.objects.create(
        workspace=workspace, agent=misspelt, client_id=uuid4(), month="2025-01", granted_microcents=1,
        expires_at=now - timedelta(days=1), frees_at=now - timedelta(days=1),
    )  # fmt: skip
    for agent, minute, count in ((misspelt, 1, 2), (support_bot, 1, 3), (misspelt, 2, 4)):
        Refusal.objects.create(
            policy=policy, workspace=workspace, agent=agent, kind="exhausted", count=count,
            minute=datetime(2026, 11, 20, 12, minute, tzinfo=UTC),
        )  # fmt: skip

    finish(merge(misspelt, support_bot, by_name="test"))

    assert [(lease.agent, lease.asked_as) for lease in SpendLease.objects.all()] == [(support_bot, "suport-bot")]
    refusals = Refusal.objects.order_by("minute").values_list("agent", "minute__minute", "count")
    assert list(refusals) == [(support_bot.pk, 1, 5), (support_bot.pk, 2, 4)]


def test_months_that_were_stated_are_stated_anew_for_both(support_bot: Agent, misspelt: Agent) -> None:
    last_month = before_this_month()
    spend(support_bot, 7, at=last_month)
    spend(misspelt, 3, at=last_month)
    spend(misspelt, 1)
    monthly_rollover()

    finish(merge(misspelt, support_bot, by_name="test"))

    stated = MonthlyStatement.objects.order_by("agent__slug", "revision")
    assert [(str(row.agent or "all"), row.revision, row.cost_microcents / CENT) for row in stated if row.agent] == [
        ("suport-bot", 1, 3), ("suport-bot", 2, 0), ("support-bot", 1, 7), ("support-bot", 2, 10),
    ]  # fmt: skip
    assert [row.revision for row in stated if row.agent is None] == [1]
    # Doing it again, as after a kill, says nothing new.
    AgentMerge.objects.update(finished_at=None)
    finish(AgentMerge.objects.get())
    assert MonthlyStatement.objects.count() == 5


def test_a_budget_that_is_made_while_calls_move_counts_each_once(
    support_bot: Agent, misspelt: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "CALLS_AT_ONCE", 1)
    for _ in range(3):
        spend(misspelt, 1)
    steps = move(merge(misspelt, support_bot, by_name="test"))
    next(steps)  # the runs
    next(steps)  # one call
    policy = set_budget(support_bot, by=TESTER, limit_cents=100)
    assert counted(policy) == 1
    for _ in steps:
        assert list(differences()) == []

    assert counted(policy) == 3


@pytest.mark.parametrize(
    ("command", "rest"),
    [
        ("set_budget", ("--limit-cents", "5")),
        ("grant_budget", ("--cents", "5", "--reason", "a fair")),
        ("create_api_key", ()),
    ],
)
def test_a_command_that_names_a_merged_agent_says_which_one_to_name(
    support_bot: Agent, misspelt: Agent, command: str, rest: tuple[str, ...]
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    merge(misspelt, support_bot)

    with pytest.raises(CommandError) as raised:
        call_command(command, support_bot.workspace.slug, "--agent", "suport-bot", *rest)
    assert str(raised.value) == "suport-bot was merged into support-bot; name that."
    call_command(command, support_bot.workspace.slug, "--agent", "support-bot", *rest)
