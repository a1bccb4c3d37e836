"""The scene a budget is for, from its first cent to the next month, under a clock that is moved: per agent, per
workspace, globally and all at once, in three zones whose clocks change within or at the end of the month.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.utils import timezone

from agents.models import Agent, LedgerState, Membership, Workspace
from budgets import crossings
from budgets.counters import differences
from budgets.enforcement import BudgetEnforcementService, Permit, Refused
from budgets.models import BudgetPolicy, MonthlyStatement, Notification
from budgets.policies import grant, set_budget
from budgets.signals import BudgetThresholdCrossed, budget_threshold_crossed
from budgets.state import state_of
from budgets.tasks import monthly_rollover
from tests.budgets.conftest import CENT, TESTER, spend
from tests.factories import MembershipFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 10, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The site's: every part of it asks Django for the time."""
    moved = Clock()
    monkeypatch.setattr(timezone, "now", moved)
    return moved


@pytest.fixture
def heard() -> Iterator[list[BudgetThresholdCrossed]]:
    events: list[BudgetThresholdCrossed] = []

    def hear(event: BudgetThresholdCrossed, **_kwargs: object) -> None:
        events.append(event)

    budget_threshold_crossed.connect(hear)
    yield events
    budget_threshold_crossed.disconnect(hear)


@pytest.fixture
def ada(workspace: Workspace) -> User:
    UserFactory(username="root", is_superuser=True)
    return MembershipFactory(workspace=workspace, role=Membership.Role.OWNER, user__username="ada").user


LIMITS = {
    "agent": {"agent": 50},
    "workspace": {"workspace": 50},
    "site": {"site": 50},
    "all three": {"agent": 50, "workspace": 60, "site": 70},
}
PASSED = {
    # 26, then 41, then 50 cents: of 50 that is 52, 82 and 100 %; of 60, 43, 68 and 83; of 70, 37, 59 and 71.
    "agent": [("agent", 50), ("agent", 80), ("agent", 100)],
    "workspace": [("workspace", 50), ("workspace", 80), ("workspace", 100)],
    "site": [("site", 50), ("site", 80), ("site", 100)],
    "all three": [
        ("agent", 50), ("agent", 80), ("workspace", 50), ("site", 50), ("agent", 100), ("workspace", 80),
    ],
}  # fmt: skip


@pytest.mark.parametrize("scopes", LIMITS)
@pytest.mark.parametrize("zone_name", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_a_budget_is_spent_raised_spent_again_and_free_at_the_first_instant_of_the_month(
    zone_name: str,
    scopes: str,
    support_bot: Agent,
    workspace: Workspace,
    zone: LedgerState,
    clock: Clock,
    heard: list[BudgetThresholdCrossed],
    ada: User,
) -> None:
    zone.time_zone = zone_name
    zone.save()
    local = ZoneInfo(zone_name)
    midnight = datetime(2026, 11, 1, tzinfo=local).astimezone(UTC)
    service = BudgetEnforcementService(clock)
    of = {"agent": support_bot, "workspace": workspace, "site": None}

    # The budget is set, and the agent passes its lines.
    clock.now = datetime(2026, 10, 20, 12, tzinfo=local).astimezone(UTC)
    policies = {
        scope: set_budget(of[scope], by=TESTER, limit_cents=limit)  # type: ignore[arg-type]  # mixed on purpose
        for scope, limit in LIMITS[scopes].items()
    }
    assert isinstance(service.lease(support_bot, uuid4(), least=CENT), Permit)
    for cents in (26, 15, 9):
        clock.now += timedelta(hours=1)
        spend(support_bot, cents, at=clock.now)
    assert sorted((event.scope, event.threshold) for event in heard) == sorted(PASSED[scopes])
    assert all(not event.late and not event.at_creation for event in heard)
    tightest = min(LIMITS[scopes], key=lambda scope: LIMITS[scopes][scope])
    told = Notification.objects.filter(crossing__policy=policies[tightest], user__isnull=False)
    assert told.filter(title__contains="blocked").count() == 1
    assert told.count() == 3

    # The next dispatch is refused, everywhere alike, and says until when.
    refused = service.may_dispatch(support_bot)
    assert refused is not None
    assert (refused.policy.scope, refused.kind, refused.month.ends_at) == (tightest, "exhausted", midnight)
    assert isinstance(service.lease(support_bot, uuid4(), least=1), Refused)
    assert state_of(support_bot, service).words == f"blocked until 1 Nov 00:00 {zone_name}"

    # A grant in the middle: it runs, spends what was granted, and is refused again, by lines of their own.
    policy = policies[tightest]
    assert policy is not None
    clock.now += timedelta(hours=1)
    grant(policy, 8, ends_at=midnight, reason="launch", by=TESTER)
    assert isinstance(service.lease(support_bot, uuid4(), least=8 * CENT), Permit)
    heard.clear()
    spend(support_bot, 8, at=clock.now)
    assert [(event.scope, event.threshold, event.limit_microcents) for event in heard if event.scope == tightest] == [
        (tightest, 100, 58 * CENT)
    ]
    assert service.may_dispatch(support_bot) is not None

    # The last instant of the month refuses, the first of the next does not: whether nobody works behind the scenes,
    # or everybody has.
    clock.now = midnight - timedelta(microseconds=1)
    monthly_rollover()
    assert service.may_dispatch(support_bot) is not None
    clock.now = midnight
    assert service.may_dispatch(support_bot) is None
    permit = service.lease(support_bot, uuid4(), least=CENT)
    assert isinstance(permit, Permit)
    assert {standing.spent for standing in permit.standings} == {0}
    monthly_rollover()
    crossings.sweep()
    assert isinstance(service.lease(support_bot, uuid4(), least=CENT), Permit)
    assert state_of(support_bot, service).words == "on track"

    # A late event of the month that is over counts there, stops nothing, and makes a new revision of its statement.
    clock.now = midnight + timedelta(hours=1)
    monthly_rollover()
    heard.clear()
    spend(support_bot, 3, at=midnight - timedelta(hours=2), received_at=clock.now)
    assert all(event.late for event in heard)
    assert service.may_dispatch(support_bot) is None
    assert policy.periods.get(month="2026-10").spent_microcents == 61 * CENT
    assert not policy.periods.filter(month="2026-11", spent_microcents__gt=0).exists()
    clock.now += timedelta(hours=2)
    monthly_rollover()
    revisions = MonthlyStatement.objects.filter(agent=support_bot, month="2026-10").order_by("revision")
    assert [row.cost_microcents for row in revisions] == [58 * CENT, 61 * CENT]

    # And the counters are what the ledger says.
    assert list(differences()) == []
    call_command("rebuild_budget_periods", check=True)
    assert BudgetPolicy.objects.live().count() == len(policies)
