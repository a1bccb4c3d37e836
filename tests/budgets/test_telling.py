"""Who is told of what, and how often."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError
from django_q.models import OrmQ

from agents.models import Agent, Membership, Workspace
from budgets import crossings
from budgets.models import Notification, NotificationChannel, ThresholdCrossing
from budgets.notifications import telling
from budgets.notifications.telling import tell_of_crossing
from budgets.notifications.trials import TestRefusedError, send_test
from budgets.policies import set_budget
from tests.budgets.conftest import TESTER, spend
from tests.factories import MembershipFactory, UserFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

Channel = Callable[..., NotificationChannel]
SECRET = "jsons://hooks.example.com/the-secret"


@pytest.fixture
def root(db: None) -> User:
    return UserFactory(username="root", is_superuser=True)


@pytest.fixture
def channel(workspace: Workspace) -> Channel:
    def make(of: Workspace | None = workspace, **fields: object) -> NotificationChannel:
        return NotificationChannel.objects.create(
            **{"workspace": of, "kind": "webhook", "name": "#costs", "url": SECRET} | fields
        )

    return make


def told() -> list[tuple[str, str]]:
    """Whom, and what, in the order they were told."""
    return [
        (str(row.user or row.via.name), row.title)
        for row in Notification.objects.select_related("user", "channel").order_by("pk")
    ]


def queued() -> list[int]:
    """Notifications that a task was queued for."""
    return [task.task["args"][0] for task in OrmQ.objects.order_by("pk") if task.task["func"] == telling.SEND_TASK]


def month_name() -> str:
    return f"{datetime.now(UTC):%B}"


def test_the_owners_and_the_channels_of_the_workspace_and_the_site_are_told(
    support_bot: Agent, ada: User, root: User, channel: Channel
) -> None:
    ours, sites = channel(), channel(None, name="#site")
    channel(WorkspaceFactory(), name="#others")
    channel(name="#off", enabled=False)
    MembershipFactory(workspace=support_bot.workspace, user__username="viewer")
    MembershipFactory(role=Membership.Role.OWNER, user__username="owner elsewhere")
    MembershipFactory(workspace=support_bot.workspace, role=Membership.Role.OWNER, user__is_active=False)
    set_budget(support_bot, by=TESTER, limit_cents=50)

    spend(support_bot, 25)

    title = f"support-bot: 50 % of the {month_name()} budget"
    assert told() == [("ada", title), ("#costs", title), ("#site", title)]
    assert queued() == [row.pk for row in Notification.objects.filter(channel__in=[ours, sites]).order_by("pk")]


def test_whoever_runs_the_site_is_told_of_its_budget_and_of_workspaces_nobody_owns(
    support_bot: Agent, root: User
) -> None:
    set_budget(None, by=TESTER, limit_cents=100)
    set_budget(support_bot, by=TESTER, limit_cents=50)
    spend(support_bot, 50)
    assert told() == [
        ("root", "support-bot is blocked"),
        ("root", f"The whole site: 50 % of the {month_name()} budget"),
    ]


def test_the_sites_budget_is_not_told_to_a_workspaces_channels(support_bot: Agent, ada: User, channel: Channel) -> None:
    channel()
    set_budget(None, by=TESTER, limit_cents=50)
    spend(support_bot, 50)
    assert told() == []


def test_lines_passed_in_one_commit_are_told_once_by_the_highest(
    support_bot: Agent, ada: User, channel: Channel
) -> None:
    channel()
    set_budget(support_bot, by=TESTER, limit_cents=50)
    spend(support_bot, 60)
    assert ThresholdCrossing.objects.count() == 3
    assert told() == [("ada", "support-bot is blocked"), ("#costs", "support-bot is blocked")]
    assert set(Notification.objects.values_list("crossing__threshold", flat=True)) == {100}


def test_lines_passed_one_after_another_are_told_one_after_another(support_bot: Agent, ada: User) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=50)
    for _ in range(2):
        spend(support_bot, 20)
    spend(support_bot, 10)
    # 20 of 50 is no line yet; 40 is 50 and 80 at once.
    assert told() == [("ada", f"support-bot: 80 % of the {month_name()} budget"), ("ada", "support-bot is blocked")]


def test_a_lower_line_announced_after_a_higher_one_is_no_news(
    support_bot: Agent, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=50)
    with monkeypatch.context() as dead:
        dead.setattr(crossings, "announce", lambda ids: 0)
        spend(support_bot, 25)
    spend(support_bot, 25)
    assert crossings.sweep(datetime.now(UTC) + timedelta(minutes=5)) == "1 crossings announced"
    assert told() == [("ada", "support-bot is blocked")]


def test_a_raised_limit_tells_again(support_bot: Agent, ada: User) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=50)
    spend(support_bot, 25)
    set_budget(support_bot, by=TESTER, limit_cents=100)
    spend(support_bot, 25)
    assert told() == [("ada", f"support-bot: 50 % of the {month_name()} budget")] * 2


def test_what_lay_behind_when_the_budget_was_made_waits_in_the_inbox(
    support_bot: Agent, ada: User, channel: Channel
) -> None:
    channel()
    spend(support_bot, 45)
    set_budget(support_bot, by=TESTER, limit_cents=50)
    assert told() == [("ada", f"support-bot: 90 % of the {month_name()} budget")]
    assert queued() == []


def test_calls_of_a_month_that_is_over_are_told_in_the_inbox_alone(
    support_bot: Agent, ada: User, channel: Channel
) -> None:
    channel()
    policy = set_budget(support_bot, by=TESTER, limit_cents=50)
    last_month = datetime.now(UTC).replace(day=1, hour=12) - timedelta(days=2)
    type(policy).objects.filter(pk=policy and policy.pk).update(first_month=f"{last_month:%Y-%m}")
    spend(support_bot, 50, at=last_month, received_at=datetime.now(UTC))
    assert told() == [("ada", f"support-bot: 100 % of the {last_month:%B} budget")]
    assert Notification.objects.get().body.endswith("so nothing is stopped.")


def test_a_crossing_announced_twice_tells_once(support_bot: Agent, ada: User, channel: Channel) -> None:
    channel()
    set_budget(support_bot, by=TESTER, limit_cents=50)
    spend(support_bot, 25)
    before = told(), queued()
    crossing = ThresholdCrossing.objects.select_related("policy__workspace", "policy__agent").get()
    assert tell_of_crossing(crossings.event_of(crossing)) == []
    assert (told(), queued()) == before


def test_the_database_itself_keeps_one_cause_to_one_notification_each(
    support_bot: Agent, ada: User, channel: Channel
) -> None:
    fields = {"cause": "test", "cause_key": "test:1", "title": "t", "body": "b"}
    costs = channel()
    for to in ({"user": ada}, {"channel": costs}):
        Notification.objects.create(**fields, **to)
        with pytest.raises(IntegrityError):
            Notification.objects.create(**fields, **to)
    for to in ({}, {"user": ada, "channel": costs, "cause_key": "test:2"}):
        with pytest.raises(IntegrityError):
            Notification.objects.create(**fields | to)


def test_an_inbox_has_it_at_once_and_unread(support_bot: Agent, ada: User) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=50)
    spend(support_bot, 25)
    (row,) = Notification.objects.inbox_of(ada).unread()
    assert (row.state, row.next_try_at) == (Notification.State.SENT, None)
    row.read_at = datetime.now(UTC)
    row.save()
    assert not Notification.objects.inbox_of(ada).unread().exists()


def test_nobody_reads_the_inbox_of_another_or_of_a_workspace_they_left(
    support_bot: Agent, ada: User, root: User, channel: Channel
) -> None:
    channel()
    viewer = MembershipFactory(workspace=support_bot.workspace).user
    set_budget(support_bot, by=TESTER, limit_cents=50)
    spend(support_bot, 25)

    def sees(user: User) -> set[str]:
        return {str(row.user or row.via.name) for row in Notification.objects.visible_to(user)}

    assert sees(ada) == {"ada", "#costs"}
    assert sees(viewer) == {"#costs"}
    assert sees(root) == {"#costs"}
    assert sees(UserFactory()) == set()
    Membership.objects.filter(user=ada).delete()
    assert not Notification.objects.inbox_of(User.objects.get(pk=ada.pk)).exists()


def test_a_webhook_is_told_the_figures_exactly(support_bot: Agent, ada: User, channel: Channel) -> None:
    channel()
    set_budget(support_bot, by=TESTER, limit_cents=50)
    spend(support_bot, 25.5)
    facts = Notification.objects.get(user=None).facts
    now = datetime.now(UTC)
    assert facts | {"crossed_at": None, "period_end": None} == {
        "event": "budget_threshold_crossed", "scope": "agent", "workspace": "acme", "agent": "support-bot",
        "month": f"{now:%Y-%m}", "threshold_percent": 50, "limit_cents": "50", "spent_cents": "25.5", "mode": "hard",
        "refuses_new_runs": False, "crossed_at": None, "period_end": None,
    }  # fmt: skip
    assert datetime.fromisoformat(facts["crossed_at"]) <= now < datetime.fromisoformat(facts["period_end"])


def test_a_queue_that_cannot_be_reached_loses_nothing(
    support_bot: Agent, ada: User, channel: Channel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_args: object) -> None:
        raise ConnectionError("no Redis today")

    monkeypatch.setattr(telling, "async_task", refuse)
    channel()
    set_budget(support_bot, by=TESTER, limit_cents=50)
    assert spend(support_bot, 25).accepted == [0]
    row = Notification.objects.get(user=None)
    assert (row.state, row.queued_at) == (Notification.State.PENDING, None)
    assert "could not be queued; the tick tries again" in caplog.text
    assert SECRET not in caplog.text


def test_a_test_goes_through_the_queue_also_when_the_channel_is_off(ada: User, channel: Channel) -> None:
    off = channel(enabled=False)
    first = send_test(off, ada)
    assert first.body == "ada tests the channel #costs. Budget notifications arrive here."
    assert queued() == [first.pk]
    assert (first.workspace, first.facts["event"]) == (off.workspace, "test")
    with pytest.raises(TestRefusedError, match="under way"):
        send_test(off, ada)


def test_the_address_of_a_channel_is_shown_nowhere(channel: Channel) -> None:
    made = channel()
    assert "the-secret" not in f"{made!r} {made} {made.masked_url}"
    assert made.masked_url == "jsons://hooks.example.com/…"


def test_a_workspaces_owners_cannot_open_windows_on_the_servers_desktop(workspace: Workspace) -> None:
    with pytest.raises(IntegrityError):
        NotificationChannel.objects.create(workspace=workspace, kind="desktop", name="screen")
    assert NotificationChannel.objects.create(kind="desktop", name="screen").shows_once
