"""What people are shown of an agent's budgets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Agent, LedgerState, Workspace
from budgets.enforcement import BudgetEnforcementService
from budgets.policies import grant, set_budget
from budgets.state import Kind, instant_in_short, standings_in_bulk, state_of, states_of, states_of_workspaces
from tests.budgets.conftest import CENT, TESTER, spend
from tests.factories import AgentFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db


def both_ways(agent: Agent) -> tuple[Kind, str]:
    """The state of one agent, asked alone and in a list, which must agree."""
    alone, listed = state_of(agent), states_of([agent])[agent.pk]
    assert (alone.kind, alone.by, alone.words) == (listed.kind, listed.by, listed.words)
    return alone.kind, alone.by


def test_without_a_budget_an_agent_has_none(support_bot: Agent) -> None:
    assert both_ways(support_bot) == (Kind.NO_BUDGET, "")
    assert state_of(support_bot).words == "no budget"


@pytest.mark.parametrize(
    ("spent", "kind"), [(0, Kind.ON_TRACK), (79, Kind.ON_TRACK), (80, Kind.NEAR), (99, Kind.NEAR), (100, Kind.BLOCKED)]
)
def test_a_budget_of_100_cents_is_near_from_80_and_blocked_from_100(support_bot: Agent, spent: int, kind: Kind) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    if spent:
        spend(support_bot, spent)
    assert both_ways(support_bot) == (kind, "agent support-bot")


@pytest.mark.parametrize(("thresholds", "near_from"), [([25, 60], 60), ([50, 95, 100], 95), ([100], 80)])
def test_near_begins_at_the_last_threshold_under_100(support_bot: Agent, thresholds: list[int], near_from: int) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100, thresholds=thresholds)
    spend(support_bot, near_from - 1)
    assert state_of(support_bot).kind == Kind.ON_TRACK
    spend(support_bot, 1)
    assert state_of(support_bot).kind == Kind.NEAR


def test_nothing_may_be_spent_of_a_budget_of_nothing(support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=0)
    assert state_of(support_bot).kind == Kind.BLOCKED


@pytest.mark.parametrize(
    ("mode", "begins"),
    [("hard", "blocked until 1 "), ("dispatch", "new runs are refused until 1 "), ("monitor", "over budget")],
)
def test_each_mode_says_what_it_does_at_the_limit(support_bot: Agent, mode: str, begins: str) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10, mode=mode)
    spend(support_bot, 10)
    state = state_of(support_bot)
    assert state.words.startswith(begins)
    assert state.is_refusing is (mode != "monitor")
    assert (BudgetEnforcementService().may_dispatch(support_bot) is not None) is state.is_refusing


def test_the_end_of_a_block_is_in_the_ledgers_zone(support_bot: Agent, zone: LedgerState) -> None:
    zone.time_zone = "Europe/Berlin"
    zone.save()
    at = datetime(2026, 11, 30, 23, 0, tzinfo=UTC)
    assert instant_in_short(at, zone.time_zone) == "1 Dec 00:00 Europe/Berlin"
    set_budget(support_bot, by=TESTER, limit_cents=0)
    assert state_of(support_bot).words.endswith(" 00:00 Europe/Berlin")


def test_the_gravest_of_three_budgets_speaks_and_is_named(support_bot: Agent, workspace: Workspace) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=200)
    set_budget(workspace, by=TESTER, limit_cents=100)
    set_budget(None, by=TESTER, limit_cents=1_000)
    spend(support_bot, 90)
    assert both_ways(support_bot) == (Kind.NEAR, "workspace Acme")

    set_budget(None, by=TESTER, limit_cents=90)
    assert both_ways(support_bot) == (Kind.BLOCKED, "the whole site")
    assert states_of_workspaces([workspace])[workspace.pk].by == "the whole site"


def test_of_two_budgets_alike_the_one_with_the_least_left_speaks(support_bot: Agent, workspace: Workspace) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=50)
    set_budget(workspace, by=TESTER, limit_cents=49)
    assert both_ways(support_bot) == (Kind.ON_TRACK, "workspace Acme")


def test_a_workspace_answers_for_itself_and_not_for_its_agents(support_bot: Agent, workspace: Workspace) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=0)
    assert states_of_workspaces([workspace])[workspace.pk].kind == Kind.NO_BUDGET
    set_budget(workspace, by=TESTER, limit_cents=10)
    assert states_of_workspaces([workspace])[workspace.pk].kind == Kind.ON_TRACK


def test_a_budget_elsewhere_says_nothing_here(support_bot: Agent) -> None:
    elsewhere = WorkspaceFactory()
    set_budget(elsewhere, by=TESTER, limit_cents=0)
    set_budget(AgentFactory(workspace=elsewhere), by=TESTER, limit_cents=0)
    assert both_ways(support_bot) == (Kind.NO_BUDGET, "")


def test_a_grant_takes_the_block_away(support_bot: Agent) -> None:
    policy = set_budget(support_bot, by=TESTER, limit_cents=10)
    assert policy is not None
    spend(support_bot, 10)
    grant(policy, 90, ends_at=datetime.now(UTC) + timedelta(days=1), reason="launch", by=TESTER)
    assert both_ways(support_bot) == (Kind.ON_TRACK, "agent support-bot")


def test_many_budgets_read_at_once_stand_as_each_read_alone(support_bot: Agent, workspace: Workspace) -> None:
    other = AgentFactory(workspace=workspace, slug="other")
    elsewhere = AgentFactory(workspace=WorkspaceFactory(), slug="elsewhere")
    policies = [
        set_budget(of, by=TESTER, limit_cents=1_000)
        for of in (support_bot, other, workspace, elsewhere.workspace, None)
    ]
    service = BudgetEnforcementService()
    for agent in (support_bot, other, elsewhere):
        spend(agent, 3)
        service.lease(agent, uuid4(), least=5 * CENT)

    alone = {s.policy.pk: s for agent in (support_bot, other, elsewhere) for s in service.standings(agent)}
    month = next(iter(alone.values())).month
    at_once = standings_in_bulk([policy for policy in policies if policy], datetime.now(UTC), month)

    assert {pk: (s.limit, s.spent, s.held) for pk, s in at_once.items()} == {
        pk: (s.limit, s.spent, s.held) for pk, s in alone.items()
    }
    assert all(standing.held for standing in at_once.values())


def test_a_list_of_agents_takes_five_queries_however_long(support_bot: Agent, workspace: Workspace) -> None:
    LedgerState.current()
    agents = [support_bot, *(AgentFactory(workspace=workspace) for _ in range(11))]
    for agent in agents:
        set_budget(agent, by=TESTER, limit_cents=50)
    set_budget(workspace, by=TESTER, limit_cents=50)
    for some in (agents[:1], agents):
        with CaptureQueriesContext(connection) as queries:
            assert {state.kind for state in states_of(some).values()} == {Kind.ON_TRACK}
        assert len(queries) == 5
