from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from psycopg.pq import PipelineStatus

from agents import ledger
from agents.clock import month_of
from agents.models import (
    Agent,
    AgentDay,
    LedgerState,
    ModelDay,
    TagDay,
    TagMonth,
    UsageDay,
    UsageMonth,
    Workspace,
    WorkspaceDay,
    WorkspaceTagDay,
)
from budgets.counters import differences, mend
from budgets.models import BudgetPeriod, BudgetPolicy, SpendLease
from budgets.policies import set_budget
from tests.budgets.conftest import CENT, TESTER, TOKENS_PER_CENT, lease_of, spend
from tests.factories import AgentFactory, WorkspaceFactory, llm_call

pytestmark = pytest.mark.django_db


def counter(policy: BudgetPolicy | None, month: str | None = None) -> int:
    """Microcents; of this month unless another is named."""
    month = month or month_of(LedgerState.current().today())
    row = BudgetPeriod.objects.filter(policy=policy, month=month).first()
    return row.spent_microcents if row else 0


def test_a_call_counts_against_its_agent_its_workspace_and_the_site(support_bot: Agent, workspace: Workspace) -> None:
    other = AgentFactory(workspace=workspace, slug="other")
    elsewhere = AgentFactory(workspace=WorkspaceFactory(), slug="support-bot")
    of_agent = set_budget(support_bot, by=TESTER, limit_cents=50)
    of_workspace = set_budget(workspace, by=TESTER, limit_cents=500)
    of_site = set_budget(None, by=TESTER, limit_cents=5_000)

    spend(support_bot, 3)
    spend(other, 2)
    spend(elsewhere, 1)

    assert [counter(policy) for policy in (of_agent, of_workspace, of_site)] == [3 * CENT, 5 * CENT, 6 * CENT]


def test_a_budget_made_in_the_middle_of_a_month_starts_from_the_ledger(support_bot: Agent) -> None:
    spend(support_bot, 7)
    policy = set_budget(support_bot, by=TESTER, limit_cents=50)
    assert counter(policy) == 7 * CENT


def test_a_call_that_comes_twice_counts_once(support_bot: Agent) -> None:
    policy = set_budget(support_bot, by=TESTER, limit_cents=50)
    call_id, run_id = uuid4(), uuid4()
    for _ in range(2):
        spend(support_bot, 3, call_id=call_id, run_id=run_id)
    assert counter(policy) == 3 * CENT


def test_a_measured_call_replaces_what_was_estimated(support_bot: Agent) -> None:
    policy = set_budget(support_bot, by=TESTER, limit_cents=50)
    ids = {"call_id": uuid4(), "run_id": uuid4()}
    spend(support_bot, 9, usage_basis="estimated", status="cancelled", **ids)
    spend(support_bot, 4, **ids)
    assert counter(policy) == 4 * CENT


def test_leases_are_used_by_a_batch_that_spends_nothing_in_all(support_bot: Agent) -> None:
    """What a replaced call gives back under one lease, another spends under the next."""
    set_budget(support_bot, by=TESTER, limit_cents=5_000)
    first, second = (SpendLease.objects.get(pk=lease_of(support_bot)) for _ in range(2))
    now, run_id, call_id = datetime.now(UTC), uuid4(), uuid4()
    spend(support_bot, 9, usage_basis="estimated", run_id=run_id, call_id=call_id, lease_id=first.pk)
    calls = [
        llm_call(
            agent=support_bot.slug, run_id=run_id, call_id=call, lease_id=lease.pk, request_model="gpt-4o",
            input_tokens=cents * TOKENS_PER_CENT, output_tokens=0, started_at=now, ended_at=now,
        )
        for call, lease, cents in ((call_id, first, 5), (uuid4(), second, 4))
    ]  # fmt: skip
    ledger.record(support_bot.workspace, list(enumerate(calls)), client=None, received_at=now)

    for lease in (first, second):
        lease.refresh_from_db()
    assert (first.used_microcents, second.used_microcents) == (5 * CENT, 4 * CENT)


def test_a_late_call_counts_in_its_own_month_and_not_before_the_budget_was_made(support_bot: Agent) -> None:
    policy = set_budget(support_bot, by=TESTER, limit_cents=50)
    assert policy is not None
    this_month = policy.first_month
    BudgetPolicy.objects.filter(pk=policy.pk).update(first_month="2026-01")

    spend(support_bot, 2, at=datetime(2026, 2, 3, tzinfo=UTC), received_at=datetime.now(UTC))
    spend(support_bot, 1, at=datetime(2025, 12, 31, tzinfo=UTC), received_at=datetime.now(UTC))

    assert counter(policy, "2026-02") == 2 * CENT
    assert counter(policy, "2025-12") == 0
    assert counter(policy, this_month) == 0


def test_a_batch_across_the_turn_of_the_month_counts_in_both(support_bot: Agent, zone: LedgerState) -> None:
    policy = set_budget(support_bot, by=TESTER, limit_cents=50)
    BudgetPolicy.objects.filter(pk=policy and policy.pk).update(first_month="2026-01")
    midnight = datetime(2026, 3, 1, tzinfo=UTC)
    events = [
        llm_call(request_model="gpt-4o", input_tokens=4_000, output_tokens=0, started_at=at, ended_at=at)
        for at in (midnight - timedelta(seconds=1), midnight)
    ]
    ledger.record(
        support_bot.workspace, list(enumerate(events)), client=None, received_at=midnight + timedelta(minutes=1)
    )

    assert (counter(policy, "2026-02"), counter(policy, "2026-03")) == (CENT, CENT)


@pytest.mark.postgresql("SQLite's writers wait from the transaction's beginning")
@pytest.mark.parametrize("limit_cents", [5_000, 4], ids=["no line passed yet", "a line passed before"])
def test_nothing_is_left_to_do_once_sums_are_locked_that_others_raise(support_bot: Agent, limit_cents: int) -> None:
    """Sums of the day and counters go down in one trip; what calls refer to was looked up before it."""
    set_budget(support_bot, by=TESTER, limit_cents=limit_cents)
    lease_id = lease_of(support_bot)
    spend(support_bot, 2)  # the first notes when the agent last ran
    trips: list[tuple[bool, str]] = []

    def watch(execute: Any, sql: str, *rest: Any) -> Any:
        is_one_of_many = connection.connection.info.pipeline_status != PipelineStatus.OFF
        if not sql.startswith("RELEASE"):  # of a savepoint of the test's own transaction
            trips.append((is_one_of_many, " ".join(sql.split()[:3])))
        return execute(sql, *rest)

    with connection.execute_wrapper(watch):
        spend(support_bot, 1, lease_id=lease_id)

    together = [statement for is_one_of_many, statement in trips if is_one_of_many]
    assert together == [
        "SET CONSTRAINTS ALL", "SET CONSTRAINTS ALL",
        *(
            f"INSERT INTO {table._meta.db_table}"
            for table in (
                UsageDay, UsageMonth, AgentDay, TagDay, TagMonth, ModelDay, WorkspaceTagDay, WorkspaceDay, BudgetPeriod,
            )
        ),
    ]  # fmt: skip
    assert [statement for _, statement in trips[-len(together) :]] == together, "and then comes the commit"


def test_healthy_counters_differ_in_nothing_and_a_damaged_one_is_mended(support_bot: Agent) -> None:
    policy = set_budget(support_bot, by=TESTER, limit_cents=50)
    spend(support_bot, 3)
    assert list(differences()) == []

    BudgetPeriod.objects.filter(policy=policy).update(spent_microcents=1)
    (found,) = differences()
    assert str(found).endswith(f"+{3 * CENT - 1:,} microcents")
    mend(found)

    assert list(differences()) == []
    assert counter(policy) == 3 * CENT


def test_counting_twenty_budgets_takes_as_many_queries_as_counting_one(
    support_bot: Agent, workspace: Workspace
) -> None:
    agents = [support_bot, *(AgentFactory(workspace=workspace, slug=f"agent-{n}") for n in range(19))]

    def queries_of_a_batch() -> int:
        now = datetime.now(UTC)
        events = [llm_call(agent=agent.slug, started_at=now, ended_at=now) for agent in agents]
        with CaptureQueriesContext(connection) as queries:
            ledger.record(workspace, list(enumerate(events)), client=None, received_at=now)
        return len(queries)

    queries_of_a_batch()  # the first notes when each agent last ran
    set_budget(support_bot, by=TESTER, limit_cents=50_000)
    with_one = queries_of_a_batch()
    for agent in agents[1:]:
        set_budget(agent, by=TESTER, limit_cents=50_000)
    assert queries_of_a_batch() == with_one
