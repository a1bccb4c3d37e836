from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from agents.models import Agent, LedgerState, Workspace
from budgets.enforcement import CALLS_ARRIVE, GRACE, VALID, BudgetEnforcementService, Permit, Refused
from budgets.models import BudgetPolicy, Refusal, SpendLease, ThresholdCrossing
from budgets.policies import archive, grant, set_budget
from tests.budgets.conftest import CENT, TESTER, spend
from tests.factories import AgentFactory

pytestmark = pytest.mark.django_db

MINE, THEIRS = UUID(int=1), UUID(int=2)


class Clock:
    def __init__(self, now: datetime | None = None) -> None:
        self.now = now or datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, time: timedelta) -> None:
        self.now += time


@pytest.fixture
def clock() -> Clock:
    # The middle of a day: no test meets the end of a month by chance.
    return Clock(datetime.now(UTC).replace(hour=12, minute=0) if datetime.now(UTC).day < 28 else datetime.now(UTC))


@pytest.fixture
def service(clock: Clock, zone: LedgerState) -> BudgetEnforcementService:
    return BudgetEnforcementService(clock)


def granted(answer: Permit | Refused) -> Permit:
    assert isinstance(answer, Permit), answer
    return answer


def refused(answer: Permit | Refused) -> Refused:
    assert isinstance(answer, Refused), answer
    return answer


def held(service: BudgetEnforcementService, agent: Agent) -> list[int]:
    return [standing.held for standing in service.standings(agent)]


# ── whether ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_without_a_budget_an_agent_may_go_on_without_bound(
    service: BudgetEnforcementService, support_bot: Agent
) -> None:
    permit = granted(service.lease(support_bot, MINE, least=CENT))
    assert (permit.lease, permit.available, permit.standings) == (None, None, [])
    assert service.may_dispatch(support_bot) is None


@pytest.mark.parametrize("mode", ["monitor", "dispatch"])
def test_a_budget_that_does_not_stop_runs_sets_nothing_aside(
    service: BudgetEnforcementService, support_bot: Agent, mode: str
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10, mode=mode)
    permit = granted(service.lease(support_bot, MINE, least=100 * CENT))
    assert (permit.lease, permit.available) == (None, None)
    assert [standing.left for standing in permit.standings] == [10 * CENT]


@pytest.mark.parametrize(("mode", "refuses"), [("monitor", False), ("dispatch", True), ("hard", True)])
def test_a_spent_budget_refuses_new_runs_by_its_mode(
    service: BudgetEnforcementService, support_bot: Agent, mode: str, refuses: bool
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10, mode=mode)
    spend(support_bot, 10)
    assert (service.may_dispatch(support_bot) is not None) is refuses


def test_under_dispatch_what_runs_may_finish(service: BudgetEnforcementService, support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10, mode="dispatch")
    spend(support_bot, 10)
    permit = granted(service.lease(support_bot, MINE, least=CENT))
    assert permit.lease is None
    assert permit.no_new_runs is not None
    assert permit.no_new_runs.kind == Refusal.Kind.EXHAUSTED


def test_a_budget_of_nothing_lets_nothing_through(service: BudgetEnforcementService, support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=0)
    assert refused(service.lease(support_bot, MINE)).kind == Refusal.Kind.EXHAUSTED


# ── how much ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_lease_is_a_share_of_what_is_left(service: BudgetEnforcementService, support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    first = granted(service.lease(support_bot, MINE, least=CENT))
    second = granted(service.lease(support_bot, THEIRS, least=CENT))
    # Half of 100; then, of the 50 that are free, one of two halves for each of two.
    assert (first.available, second.available) == (50 * CENT, 50 * CENT // 4)


def test_a_lease_is_at_least_what_the_next_call_may_cost(service: BudgetEnforcementService, support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    assert granted(service.lease(support_bot, MINE, least=90 * CENT)).available == 90 * CENT


def test_all_leases_together_never_exceed_what_is_left(service: BudgetEnforcementService, support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10)
    answers = [service.lease(support_bot, uuid4(), least=CENT) for _ in range(20)]
    amounts = [answer.available or 0 for answer in answers if isinstance(answer, Permit)]
    assert sum(amounts) <= 10 * CENT
    assert sum(amounts) + CENT > 10 * CENT
    assert {answer.kind for answer in answers if isinstance(answer, Refused)} == {Refusal.Kind.HELD}


def test_the_tightest_of_three_budgets_decides_and_is_named(
    service: BudgetEnforcementService, support_bot: Agent, workspace: Workspace
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    of_workspace = set_budget(workspace, by=TESTER, limit_cents=40)
    set_budget(None, by=TESTER, limit_cents=1_000)
    assert granted(service.lease(support_bot, MINE)).available == 20 * CENT

    answer = refused(service.lease(support_bot, THEIRS, least=41 * CENT))
    assert (answer.kind, answer.policy, answer.left) == (Refusal.Kind.TOO_LARGE, of_workspace, 40 * CENT)


def test_a_lease_of_one_agent_is_held_against_its_workspace_too(
    service: BudgetEnforcementService, support_bot: Agent, workspace: Workspace
) -> None:
    set_budget(workspace, by=TESTER, limit_cents=10)
    other = AgentFactory(workspace=workspace, slug="other")
    service.lease(support_bot, MINE, least=8 * CENT)
    assert refused(service.lease(other, THEIRS, least=3 * CENT)).kind == Refusal.Kind.HELD


# ── renewing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_the_calls_of_a_lease_cost_is_no_longer_held(
    service: BudgetEnforcementService, support_bot: Agent
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    lease = granted(service.lease(support_bot, MINE)).lease
    assert lease is not None
    spend(support_bot, 30, lease_id=lease.lease_id)
    (standing,) = service.standings(support_bot)
    assert (standing.spent, standing.held) == (30 * CENT, 20 * CENT)


def test_a_renewal_keeps_the_lease_and_what_its_open_calls_hold(
    service: BudgetEnforcementService, support_bot: Agent
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    first = granted(service.lease(support_bot, MINE))
    second = granted(service.lease(support_bot, MINE, outstanding=20 * CENT))
    assert first.lease == second.lease
    # 100 less the 20 of open calls, and half of that.
    assert second.available == 40 * CENT
    assert held(service, support_bot) == [60 * CENT]


def test_asking_twice_holds_once(service: BudgetEnforcementService, support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    for _ in range(3):
        service.lease(support_bot, MINE)
    assert held(service, support_bot) == [50 * CENT]


def test_a_refused_renewal_gives_back_what_was_too_little(
    service: BudgetEnforcementService, support_bot: Agent
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10)
    service.lease(support_bot, MINE, least=5 * CENT)
    service.lease(support_bot, THEIRS, least=5 * CENT)
    assert refused(service.lease(support_bot, MINE, least=6 * CENT, outstanding=CENT)).kind == Refusal.Kind.HELD
    assert held(service, support_bot) == [6 * CENT]  # 5 of theirs, and what my open call holds
    assert granted(service.lease(support_bot, uuid4(), least=4 * CENT)).available == 4 * CENT


def test_a_dead_process_frees_its_lease_after_its_grace(
    service: BudgetEnforcementService, support_bot: Agent, clock: Clock
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10)
    service.lease(support_bot, MINE, least=10 * CENT)
    clock.pass_(VALID + GRACE - timedelta(seconds=1))
    assert refused(service.lease(support_bot, THEIRS, least=CENT)).kind == Refusal.Kind.HELD
    clock.pass_(timedelta(seconds=1))
    assert granted(service.lease(support_bot, THEIRS, least=CENT)).available == 5 * CENT


def test_a_released_lease_holds_what_its_open_calls_may_cost_until_they_arrive(
    service: BudgetEnforcementService, support_bot: Agent, clock: Clock
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10)
    lease = granted(service.lease(support_bot, MINE)).lease
    assert lease is not None
    service.release(lease, outstanding=2 * CENT)
    assert held(service, support_bot) == [2 * CENT]

    spend(support_bot, 2, lease_id=lease.lease_id)
    assert held(service, support_bot) == [0]
    clock.pass_(CALLS_ARRIVE)
    assert held(service, support_bot) == [0]


def test_a_lease_released_twice_or_after_its_end_stays_as_it_is(
    service: BudgetEnforcementService, support_bot: Agent, clock: Clock
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10)
    lease = granted(service.lease(support_bot, MINE)).lease
    assert lease is not None
    service.release(lease)
    service.release(lease, outstanding=5 * CENT)
    assert held(service, support_bot) == [0]


def test_the_call_of_another_workspace_frees_nothing_here(
    service: BudgetEnforcementService, support_bot: Agent
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10)
    lease = granted(service.lease(support_bot, MINE)).lease
    assert lease is not None
    stranger = AgentFactory(slug="stranger")
    spend(stranger, 5, lease_id=lease.lease_id)
    assert held(service, support_bot) == [5 * CENT]


def test_the_call_of_another_agent_frees_nothing_and_counts_all_the_same(
    service: BudgetEnforcementService, support_bot: Agent, workspace: Workspace
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10)
    lease = granted(service.lease(support_bot, MINE)).lease
    assert lease is not None
    set_budget(workspace, by=TESTER, limit_cents=100)
    other = AgentFactory(workspace=workspace, slug="other")

    ids = {"run_id": uuid4(), "call_id": uuid4(), "lease_id": lease.lease_id}
    spend(other, 9, usage_basis="estimated", status="cancelled", **ids)
    spend(other, 5, **ids)

    assert held(service, support_bot) == [5 * CENT, 5 * CENT]
    assert [standing.spent for standing in service.standings(support_bot)] == [0, 5 * CENT]


def test_a_lease_is_used_by_the_calls_of_its_month(support_bot: Agent, zone: LedgerState) -> None:
    midnight = datetime(2026, 11, 1, tzinfo=UTC)
    service = BudgetEnforcementService(Clock(midnight - timedelta(seconds=30)))
    policy = set_budget(support_bot, by=TESTER, limit_cents=100)
    BudgetPolicy.objects.filter(pk=policy and policy.pk).update(first_month="2026-01")
    lease = granted(service.lease(support_bot, MINE)).lease
    assert lease is not None

    for began_at, cents in (
        (datetime(2026, 9, 30, 23, tzinfo=UTC), 4),
        (midnight - timedelta(milliseconds=1), 2),
        (midnight, 1),
    ):
        spend(support_bot, cents, at=began_at, received_at=midnight + timedelta(minutes=1), lease_id=lease.lease_id)

    lease.refresh_from_db()
    assert (lease.month, lease.used_microcents) == ("2026-10", 2 * CENT)


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_refusals_are_counted_by_the_minute(service: BudgetEnforcementService, support_bot: Agent) -> None:
    policy = set_budget(support_bot, by=TESTER, limit_cents=0)
    for _ in range(3):
        service.lease(support_bot, MINE)
    (row,) = Refusal.objects.all()
    assert (row.policy, row.agent, row.kind, row.count) == (policy, support_bot, "exhausted", 3)


def test_a_call_refused_for_next_to_nothing_crosses_the_last_line(
    service: BudgetEnforcementService, support_bot: Agent
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    spend(support_bot, 98.5)
    assert set(ThresholdCrossing.objects.values_list("threshold", flat=True)) == {50, 80}
    service.lease(support_bot, MINE, least=2 * CENT)
    assert set(ThresholdCrossing.objects.values_list("threshold", flat=True)) == {50, 80, 100}


def test_a_grant_lets_a_blocked_agent_go_on_and_its_end_blocks_it_again(
    service: BudgetEnforcementService, support_bot: Agent, clock: Clock
) -> None:
    policy = set_budget(support_bot, by=TESTER, limit_cents=10)
    assert policy is not None
    spend(support_bot, 10)
    assert service.may_dispatch(support_bot) is not None
    real_now = datetime.now(UTC)
    clock.now = real_now + timedelta(seconds=1)
    grant(policy, 5, ends_at=real_now + timedelta(hours=1), reason="launch", by=TESTER)
    assert service.may_dispatch(support_bot) is None
    assert granted(service.lease(support_bot, MINE, least=5 * CENT)).available == 5 * CENT
    clock.pass_(timedelta(hours=2))
    assert service.may_dispatch(support_bot) is not None


@pytest.mark.parametrize("asked", [0, 8 * CENT])
def test_a_renewal_after_its_end_keeps_nothing_that_others_were_given_meanwhile(
    service: BudgetEnforcementService, support_bot: Agent, clock: Clock, asked: int
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10)
    granted(service.lease(support_bot, MINE, least=8 * CENT))
    clock.pass_(timedelta(minutes=10))
    granted(service.lease(support_bot, THEIRS, least=8 * CENT))
    answer = service.lease(support_bot, MINE, least=asked, keep=8 * CENT)
    assert isinstance(answer, Refused) if asked else (granted(answer).available or 0) <= 2 * CENT
    assert sum(held(service, support_bot)) <= 10 * CENT


def test_a_budget_that_changes_while_an_agent_runs_holds_from_its_next_renewal(
    service: BudgetEnforcementService, support_bot: Agent
) -> None:
    policy = set_budget(support_bot, by=TESTER, limit_cents=10)
    assert policy is not None
    lease = granted(service.lease(support_bot, MINE, least=4 * CENT)).lease
    assert lease is not None
    spend(support_bot, 4, lease_id=lease.lease_id)

    set_budget(support_bot, by=TESTER, limit_cents=3)
    assert refused(service.lease(support_bot, MINE, least=CENT)).kind == "exhausted"
    set_budget(support_bot, by=TESTER, limit_cents=20)
    assert granted(service.lease(support_bot, MINE, least=CENT)).available
    set_budget(support_bot, by=TESTER, mode="monitor")
    assert granted(service.lease(support_bot, MINE, least=CENT)).available is None
    archive(policy, by=TESTER)
    assert granted(service.lease(support_bot, MINE, least=100 * CENT)).lease is None


@pytest.mark.parametrize(("limit", "left"), [(7, 3), (4, None), (2, None)])
def test_a_budget_set_below_what_a_process_holds_ends_that_at_its_next_renewal(
    service: BudgetEnforcementService, support_bot: Agent, limit: int, left: int | None
) -> None:
    """Its workspace's budget gave it leave for 50 cents; it spent 4 of them."""
    set_budget(support_bot.workspace, by=TESTER, limit_cents=100)
    lease = granted(service.lease(support_bot, MINE, least=50 * CENT)).lease
    assert lease is not None
    spend(support_bot, 4, lease_id=lease.lease_id)
    set_budget(support_bot, by=TESTER, limit_cents=limit)

    answer = service.lease(support_bot, MINE, keep=46 * CENT)

    if left is None:
        assert refused(answer).kind == "exhausted"
    else:
        assert granted(answer).available == left * CENT
    assert sum(held(service, support_bot)) == 2 * (left or 0) * CENT, "of both budgets"


# ── the turn of the month ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("zone_name", ["Europe/Berlin", "America/New_York", "Asia/Tokyo"])
def test_at_the_first_instant_of_the_month_an_agent_is_free_whoever_runs(
    support_bot: Agent, zone: LedgerState, zone_name: str
) -> None:
    zone.time_zone = zone_name
    zone.save()
    midnight = datetime(2026, 11, 1, tzinfo=ZoneInfo(zone_name)).astimezone(UTC)  # a week after Berlin's clocks changed
    clock = Clock(midnight - timedelta(microseconds=1))
    service = BudgetEnforcementService(clock)
    policy = set_budget(support_bot, by=TESTER, limit_cents=10)
    BudgetPolicy.objects.filter(pk=policy and policy.pk).update(first_month="2026-01")
    spend(support_bot, 10, at=midnight - timedelta(days=1))

    assert service.may_dispatch(support_bot) is not None
    clock.now = midnight
    assert service.may_dispatch(support_bot) is None


def test_a_lease_never_outlives_its_month(support_bot: Agent, zone: LedgerState) -> None:
    midnight = datetime(2026, 11, 1, tzinfo=UTC)
    clock = Clock(midnight - timedelta(seconds=30))
    service = BudgetEnforcementService(clock)
    set_budget(support_bot, by=TESTER, limit_cents=100)
    old = granted(service.lease(support_bot, MINE))
    assert old.valid == timedelta(seconds=30)

    clock.now = midnight
    new = granted(service.lease(support_bot, MINE))
    assert new.lease != old.lease
    assert new.available == 50 * CENT  # the old month's lease holds nothing of the new month
    assert SpendLease.objects.count() == 2


@pytest.mark.parametrize(("ahead", "month"), [(50, "2026-11"), (0, "2026-10"), (-50, "2026-10")])
def test_a_lease_is_for_the_month_that_the_process_takes_it_to_be(
    support_bot: Agent, zone: LedgerState, ahead: int, month: str
) -> None:
    # The ledger takes the times of a clock that is less than a minute off as they are: its calls count in that month.
    service = BudgetEnforcementService(Clock(datetime(2026, 10, 31, 23, 59, 30, tzinfo=UTC)))
    policy = set_budget(support_bot, by=TESTER, limit_cents=100)
    BudgetPolicy.objects.filter(pk=policy and policy.pk).update(first_month="2026-01")
    permit = granted(service.lease(support_bot, MINE, ahead=timedelta(seconds=ahead)))

    assert permit.lease is not None
    assert permit.lease.month == month
    assert permit.valid == min(VALID, timedelta(seconds=30 - ahead) if month == "2026-10" else VALID)


def test_a_process_whose_clock_is_behind_spends_the_month_that_was(support_bot: Agent, zone: LedgerState) -> None:
    midnight = datetime(2026, 11, 1, tzinfo=UTC)
    service = BudgetEnforcementService(Clock(midnight + timedelta(seconds=5)))
    policy = set_budget(support_bot, by=TESTER, limit_cents=100)
    BudgetPolicy.objects.filter(pk=policy and policy.pk).update(first_month="2026-01")
    spend(support_bot, 100, at=midnight - timedelta(hours=1))

    assert refused(service.lease(support_bot, MINE, least=CENT, ahead=timedelta(seconds=-10))).kind == "exhausted"
    assert granted(service.lease(support_bot, THEIRS, least=CENT)).available
