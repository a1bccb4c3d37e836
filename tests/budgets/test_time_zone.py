"""Budgets when the ledger's days move to another time zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from agents import ledger
from agents.models import Agent, LedgerState, Workspace
from agents.time_zone import change_time_zone
from budgets.counters import differences
from budgets.models import BudgetPeriod, BudgetPolicy
from budgets.policies import set_budget
from tests.budgets.conftest import CENT, TESTER, spend
from tests.factories import AgentFactory, WorkspaceFactory, llm_call

pytestmark = pytest.mark.django_db

LATE = datetime(2026, 9, 30, 23, 30, tzinfo=UTC)
"""September in London, October in Berlin."""
RECEIVED = datetime(2026, 10, 2, tzinfo=UTC)


def months(policy: BudgetPolicy | None) -> dict[str, int]:
    """Cents by month, without the months in which nothing was spent."""
    rows = BudgetPeriod.objects.filter(policy=policy).exclude(spent_microcents=0)
    return {row.month: row.spent_microcents // CENT for row in rows}


@pytest.fixture
def policies(support_bot: Agent, workspace: Workspace, zone: LedgerState) -> list[BudgetPolicy | None]:
    made = [set_budget(of, by=TESTER, limit_cents=1_000) for of in (support_bot, workspace, None)]
    BudgetPolicy.objects.update(first_month="2026-01")
    return made


def test_a_call_of_the_last_night_counts_in_the_month_the_new_zone_gives_it(
    support_bot: Agent, policies: list[BudgetPolicy | None]
) -> None:
    spend(support_bot, 3, at=LATE, received_at=RECEIVED)
    spend(support_bot, 2, at=LATE.replace(hour=12), received_at=RECEIVED)
    spend(AgentFactory(workspace=WorkspaceFactory()), 4, at=LATE, received_at=RECEIVED)
    assert [months(policy) for policy in policies] == [{"2026-09": 5}, {"2026-09": 5}, {"2026-09": 9}]

    list(change_time_zone("Europe/Berlin"))

    assert [months(policy) for policy in policies] == [
        {"2026-09": 2, "2026-10": 3}, {"2026-09": 2, "2026-10": 3}, {"2026-09": 2, "2026-10": 7},
    ]  # fmt: skip
    assert list(differences()) == []
    list(change_time_zone("UTC"))
    assert [months(policy) for policy in policies] == [{"2026-09": 5}, {"2026-09": 5}, {"2026-09": 9}]


def test_the_counters_are_right_after_every_step_of_an_interrupted_change(
    support_bot: Agent, policies: list[BudgetPolicy | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.time_zone.AT_ONCE", 2)
    for _ in range(5):
        spend(support_bot, 1, at=LATE, received_at=RECEIVED)
    steps: Iterator[int] = change_time_zone("Europe/Berlin")
    assert next(steps) == 2
    assert months(policies[0]) == {"2026-09": 3, "2026-10": 2}
    assert list(differences()) == []

    spend(support_bot, 1, at=LATE, received_at=RECEIVED)
    assert list(differences()) == [], "what comes meanwhile is right already"
    list(change_time_zone("Europe/Berlin"))
    assert months(policies[0]) == {"2026-10": 6}
    assert list(differences()) == []


def test_a_call_without_a_price_moves_nothing(support_bot: Agent, policies: list[BudgetPolicy | None]) -> None:
    spend(support_bot, 3, at=LATE, received_at=RECEIVED)
    unknown = llm_call(agent=support_bot.slug, request_model="acme-large-2", started_at=LATE, ended_at=LATE)
    ledger.record(support_bot.workspace, [(0, unknown)], client=None, received_at=RECEIVED)
    list(change_time_zone("Europe/Berlin"))
    assert months(policies[0]) == {"2026-10": 3}
    assert list(differences()) == []
