from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from agents.models import Agent, LedgerState, Workspace
from agents.write_lock import writing
from budgets import crossings
from budgets.models import BudgetPolicy, ThresholdCrossing
from budgets.months import month_at
from budgets.policies import grant, policy_of, set_budget
from budgets.signals import BudgetThresholdCrossed, budget_threshold_crossed
from tests.budgets.conftest import CENT, TESTER, spend

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def heard() -> Iterator[list[BudgetThresholdCrossed]]:
    events: list[BudgetThresholdCrossed] = []

    def hear(event: BudgetThresholdCrossed, **_kwargs: Any) -> None:
        events.append(event)

    budget_threshold_crossed.connect(hear)
    yield events
    budget_threshold_crossed.disconnect(hear)


def thresholds(events: list[BudgetThresholdCrossed]) -> list[int]:
    return [event.threshold for event in events]


def test_each_line_rings_once(support_bot: Agent, heard: list[BudgetThresholdCrossed]) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=50)
    for _ in range(6):
        spend(support_bot, 10)
    assert thresholds(heard) == [50, 80, 100]


@pytest.mark.postgresql("SQLite has one writer at a time")
def test_a_line_that_a_refusal_and_a_batch_pass_at_the_same_time_rings_once(
    support_bot: Agent, heard: list[BudgetThresholdCrossed]
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=1_000)
    spend(support_bot, 990)
    heard.clear()
    failed: list[BaseException] = []

    def report() -> None:
        try:
            spend(support_bot, 10)
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    reporting = threading.Thread(target=report)
    policy = policy_of(support_bot)
    assert policy is not None
    with writing():
        BudgetPolicy.objects.select_for_update(no_key=True).get(pk=policy.pk)
        now = datetime.now(UTC)
        month = month_at(now, LedgerState.current().days())
        refused = crossings.Tally.of(policy, month.name, 1_000 * CENT, 990 * CENT, [support_bot.pk])
        assert len(crossings.note_crossings([refused], now=now, this_month=month.name, refused=True)) == 1
        reporting.start()
        waits_for_a_lock()
    reporting.join()

    assert failed == []
    assert thresholds(heard) == [100]
    assert ThresholdCrossing.objects.count() == 3


def waits_for_a_lock() -> None:
    """Until another connection does."""
    for _ in range(500):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        time.sleep(0.02)
    raise AssertionError("nobody waits")


def test_the_event_says_what_happened(support_bot: Agent, heard: list[BudgetThresholdCrossed]) -> None:
    policy = set_budget(support_bot, by=TESTER, limit_cents=50)
    spend(support_bot, 25)
    (event,) = heard
    assert policy is not None
    assert (event.policy_id, event.scope, event.subject, event.agent, event.workspace) == (
        policy.pk, "agent", "support-bot", "support-bot", "acme",
    )  # fmt: skip
    assert (event.threshold, event.limit_cents, event.spent_cents, event.agents) == (50, 50, 25, ("support-bot",))
    assert event.period_start <= event.crossed_at < event.period_end
    assert (event.late, event.at_creation) == (False, False)


def test_lines_passed_in_one_commit_are_a_crossing_each(
    support_bot: Agent, heard: list[BudgetThresholdCrossed]
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=50)
    spend(support_bot, 60)
    assert thresholds(heard) == [50, 80, 100]


def test_a_raised_limit_rings_again(support_bot: Agent, heard: list[BudgetThresholdCrossed]) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=50)
    spend(support_bot, 25)
    set_budget(support_bot, by=TESTER, limit_cents=100)
    spend(support_bot, 25)
    assert [(event.threshold, event.limit_cents) for event in heard] == [(50, 50), (50, 100)]


def test_lines_that_lie_behind_a_new_budget_are_marked(support_bot: Agent, heard: list[BudgetThresholdCrossed]) -> None:
    spend(support_bot, 45)
    set_budget(support_bot, by=TESTER, limit_cents=50)
    spend(support_bot, 5)
    assert [(event.threshold, event.at_creation) for event in heard] == [(50, True), (80, True), (100, False)]


def test_a_grant_moves_the_lines(support_bot: Agent, heard: list[BudgetThresholdCrossed]) -> None:
    policy = set_budget(support_bot, by=TESTER, limit_cents=50)
    assert policy is not None
    spend(support_bot, 30)
    grant(policy, 50, ends_at=datetime.now(UTC) + timedelta(days=1), reason="launch week", by=TESTER)
    spend(support_bot, 30)
    assert [(event.threshold, event.limit_cents) for event in heard] == [(50, 50), (50, 100)]


def test_a_budget_of_nothing_is_used_up_at_once(support_bot: Agent, heard: list[BudgetThresholdCrossed]) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=0)
    assert thresholds(heard) == [50, 80, 100]
    assert all(event.at_creation for event in heard)


def test_a_line_of_a_month_that_is_over_is_late(support_bot: Agent, heard: list[BudgetThresholdCrossed]) -> None:
    policy = set_budget(support_bot, by=TESTER, limit_cents=50)
    BudgetPolicy.objects.filter(pk=policy and policy.pk).update(first_month="2026-01")
    spend(support_bot, 30, at=datetime(2026, 2, 3, tzinfo=UTC), received_at=datetime.now(UTC))
    assert [(event.month, event.late) for event in heard] == [("2026-02", True)]


def test_three_budgets_ring_for_one_call(
    support_bot: Agent, workspace: Workspace, heard: list[BudgetThresholdCrossed]
) -> None:
    for of in (support_bot, workspace, None):
        set_budget(of, by=TESTER, limit_cents=50, thresholds=[100])
    spend(support_bot, 50)
    assert [event.scope for event in heard] == ["agent", "workspace", "site"]


def test_a_process_that_died_before_it_announced_is_made_up_for(
    support_bot: Agent, heard: list[BudgetThresholdCrossed], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=50)
    with monkeypatch.context() as dead:
        dead.setattr(crossings, "announce", lambda ids: 0)
        spend(support_bot, 25)
    assert heard == []
    assert crossings.sweep() == "0 crossings announced"  # it may be at it at this moment

    later = datetime.now(UTC) + timedelta(minutes=5)
    assert crossings.sweep(later) == "1 crossings announced"
    assert crossings.sweep(later) == "0 crossings announced"
    assert thresholds(heard) == [50]


def test_a_receiver_that_fails_costs_neither_the_record_nor_the_others(
    support_bot: Agent, heard: list[BudgetThresholdCrossed]
) -> None:
    def fail(**_kwargs: Any) -> None:
        raise RuntimeError("no mail today")

    budget_threshold_crossed.connect(fail)
    try:
        set_budget(support_bot, by=TESTER, limit_cents=50)
        assert spend(support_bot, 25).accepted == [0]
    finally:
        budget_threshold_crossed.disconnect(fail)
    assert thresholds(heard) == [50]
    assert ThresholdCrossing.objects.filter(announced_at=None).count() == 0


def test_an_archived_budget_counts_and_rings_no_more(support_bot: Agent, heard: list[BudgetThresholdCrossed]) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=50)
    set_budget(support_bot, by=TESTER, limit_cents=None)
    spend(support_bot, 50)
    assert heard == []
    assert policy_of(support_bot) is None


def test_the_line_of_two_percent() -> None:
    assert crossings.is_nearly_spent(50 * CENT, 49 * CENT + 1)
    assert not crossings.is_nearly_spent(50 * CENT, 49 * CENT)
