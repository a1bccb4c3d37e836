"""Budgets from the command line."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from agents.models import Agent, LedgerState, Workspace
from budgets.grant_days import last_day_of_this_month
from budgets.models import BudgetChange, BudgetGrant, BudgetPeriod
from budgets.policies import policy_of, set_budget
from tests.budgets.conftest import TESTER, spend

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    """What a command says."""
    call_command(*arguments, stdout=(out := io.StringIO()))
    return out.getvalue().strip()


def error_of(*arguments: str) -> str:
    with pytest.raises(CommandError) as raised:
        run(*arguments)
    return str(raised.value)


# ── set_budget ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_budget_is_set_for_an_agent_a_workspace_and_the_site(support_bot: Agent, workspace: Workspace) -> None:
    spend(support_bot, 45)
    month = f"{LedgerState.current().today():%Y-%m}"

    assert run("set_budget", "acme", "--agent", "support-bot", "--limit-cents", "50") == (
        f"agent support-bot: 50 cents ($0.50) in {month}, 45 cents ($0.45) spent: near budget."
        " Mode hard, thresholds 50, 80, 100."
    )
    assert run("set_budget", "acme", "--limit-cents", "5000", "--mode", "monitor").startswith(
        f"workspace acme: 5,000 cents ($50.00) in {month}"
    )
    assert run("set_budget", "--site", "--limit-cents", "0").startswith("the whole site: 0 cents ($0.00)")

    for of, limit in ((support_bot, 50), (workspace, 5_000), (None, 0)):
        policy = policy_of(of)
        assert policy is not None
        assert policy.limit_cents == limit


def test_what_is_left_out_stays_and_every_change_is_noted_with_its_reason(support_bot: Agent) -> None:
    run("set_budget", "acme", "--agent", "support-bot", "--limit-cents", "50", "--thresholds", "25,75")
    run("set_budget", "acme", "--agent", "support-bot", "--mode", "dispatch", "--reason", "let runs finish")

    policy = policy_of(support_bot)
    assert policy is not None
    assert (policy.limit_cents, policy.thresholds, policy.mode) == (50, [25, 75], "dispatch")
    change = BudgetChange.objects.latest("pk")
    assert (change.before, change.after, change.reason, change.by_name) == (
        {"mode": "hard"}, {"mode": "dispatch"}, "let runs finish", "manage.py set_budget",
    )  # fmt: skip


def test_none_ends_a_budget_and_is_harmless_without_one(support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=50)
    assert run("set_budget", "acme", "--agent", "support-bot", "--none") == "agent support-bot: its budget has ended"
    assert policy_of(support_bot) is None
    assert "nothing was changed" in run("set_budget", "acme", "--agent", "support-bot", "--none")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--limit-cents", "5"), "Say whose budget"),
        (("acme", "--site", "--limit-cents", "5"), "--site stands alone"),
        (("nowhere", "--limit-cents", "5"), "create_workspace nowhere"),
        (("acme", "--agent", "nobody", "--limit-cents", "5"), "No agent 'nobody' in acme"),
        (("acme",), "Say what to set"),
        (("acme", "--mode", "hard"), "no budget yet; give it one with --limit-cents"),
        (("acme", "--none", "--limit-cents", "5"), "--none ends the budget"),
        (("acme", "--limit-cents", "-1"), "A budget is 0 cents or more"),
        (("acme", "--limit-cents", "100000000001"), "--limit-cents: "),
        (("acme", "--limit-cents", "5", "--thresholds", "80,50"), "out of order"),
        (("acme", "--limit-cents", "5", "--thresholds", "half"), "write percents from 1 to 100"),
        (("acme", "--limit-cents", "5", "--mode", "soft"), "invalid choice: 'soft'"),
    ],
)
def test_what_cannot_be_set_is_said_with_the_mend(workspace: Workspace, arguments: Any, said: str) -> None:
    assert said in error_of("set_budget", *arguments)
    assert not BudgetChange.objects.exists()


# ── grant_budget ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_grant_holds_through_the_last_day_it_names(support_bot: Agent, zone: LedgerState) -> None:
    zone.time_zone = "Europe/Berlin"
    zone.save()
    set_budget(support_bot, by=TESTER, limit_cents=50)
    last = zone.today() + timedelta(days=3)

    told = run(
        "grant_budget", "acme", "--agent", "support-bot", "--cents", "25", "--last-day", str(last), "--reason", "launch"
    )

    assert told.startswith("agent support-bot: 75 cents ($0.75) in ")
    given = BudgetGrant.objects.get()
    assert given.ends_at == zone.days().start(last + timedelta(days=1))
    assert (given.cents, given.reason) == (25, "launch")


def test_a_grant_without_a_day_holds_through_this_month(workspace: Workspace) -> None:
    set_budget(workspace, by=TESTER, limit_cents=50)
    run("grant_budget", "acme", "--cents", "25", "--reason", "launch")
    days = LedgerState.current().days()
    assert BudgetGrant.objects.get().ends_at == days.start(last_day_of_this_month() + timedelta(days=1))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cents", "5", "--last-day", "2020-01-01"), "--last-day: 2020-01-01 is over; choose today"),
        (("--cents", "5", "--last-day", "9999-12-31"), "over a year ahead; raise the budget"),
        (("--cents", "5", "--last-day", "soon"), "write it as 2026-11-30"),
        (("--cents", "0"), "--cents: "),
        (("--cents", "5", "--reason", " "), "--reason: "),
    ],
)
def test_a_grant_that_makes_no_sense_is_refused(workspace: Workspace, arguments: tuple[str, ...], said: str) -> None:
    set_budget(workspace, by=TESTER, limit_cents=50)
    assert said in error_of("grant_budget", "acme", "--reason", "launch", *arguments)
    assert not BudgetGrant.objects.exists()


def test_there_is_nothing_to_add_to_without_a_budget(workspace: Workspace) -> None:
    assert "workspace acme has no budget to add to" in error_of(
        "grant_budget", "acme", "--cents", "5", "--reason", "launch"
    )


# ── rebuild_budget_periods ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_healthy_database_is_left_as_it_is(support_bot: Agent, workspace: Workspace) -> None:
    for of in (support_bot, workspace, None):
        set_budget(of, by=TESTER, limit_cents=50)
    spend(support_bot, 7)
    before = list(BudgetPeriod.objects.values())

    assert run("rebuild_budget_periods", "--check") == "Every budget agrees with the ledger."
    assert run("rebuild_budget_periods") == "Every budget agrees with the ledger."

    assert list(BudgetPeriod.objects.values()) == before


def test_a_damaged_counter_is_told_and_mended_only_when_asked(support_bot: Agent, workspace: Workspace) -> None:
    for of in (support_bot, workspace):
        set_budget(of, by=TESTER, limit_cents=50)
    spend(support_bot, 7)
    BudgetPeriod.objects.filter(policy=policy_of(support_bot)).update(spent_microcents=1)
    BudgetPeriod.objects.filter(policy=policy_of(workspace)).delete()

    call = ("rebuild_budget_periods", "--check")
    assert "2 counters differ from the ledger" in error_of(*call)
    assert BudgetPeriod.objects.get().spent_microcents == 1

    told = run("rebuild_budget_periods")
    assert "Per-agent: support-bot" in told
    assert "+6,999,999 microcents" in told  # 7 cents less the 1 microcent it said
    assert told.endswith("2 counters mended.")
    assert run(*call) == "Every budget agrees with the ledger."
