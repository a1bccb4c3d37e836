"""The inbox and the bell: what one was told, and how much of it one has not read."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents.models import Membership, Workspace
from budgets.models import Notification, NotificationChannel
from budgets.policies import By, set_budget
from tests.analytics.facts import AFTERNOON, Cast, Spend, text_of

HOSTILE = "<script>alert('x')</script>\u202e&\"" + "W" * 140 + "🤖"


def notice(user: User, workspace: Workspace | None, key: str, **fields: Any) -> Notification:
    fields = {"title": f"Notice {key}", "body": "half of it is spent"} | fields
    return Notification.objects.create(cause="crossing", cause_key=key, user=user, workspace=workspace, **fields)


def bell(client: Client, page: str = "dashboard") -> int:
    """What the bell says to who does not see it."""
    found = re.search(r"Inbox(?:, ([\d,]+) unread)?</span>", client.get(reverse(page)).content.decode())
    assert found is not None
    return int((found[1] or "0").replace(",", ""))


def test_the_bell_counts_what_lies_unread_in_ones_own_inbox(cast: Cast, client: Client) -> None:
    for key in ("a", "b", "c"):
        notice(cast.owner, cast.acme, key)
    notice(cast.owner, cast.acme, "read", read_at=AFTERNOON)
    notice(cast.owner, cast.elsewhere, "of a workspace that was left")
    notice(cast.viewer, cast.acme, "of somebody else")
    notice(cast.superuser, None, "of the whole site")
    notice(cast.superuser, cast.elsewhere, "of any workspace")
    channel = NotificationChannel.objects.create(workspace=cast.acme, kind="webhook", name="#costs")
    Notification.objects.create(cause="crossing", cause_key="sent", channel=channel, workspace=cast.acme, title="sent")

    for person, count in ((cast.owner, 3), (cast.viewer, 1), (cast.outsider, 0), (cast.superuser, 2)):
        client.force_login(person)
        assert bell(client) == bell(client, "inbox") == count, person
        # By the door that everything else goes through.
        assert Notification.objects.inbox_of(User.objects.get(pk=person.pk)).unread().count() == count, person


def test_the_bell_costs_no_query_of_its_own(cast: Cast, as_viewer: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        as_viewer.get(reverse("dashboard"))
    asked = [query["sql"] for query in queries if "budgets_notification" in query["sql"]]

    assert len(asked) == 1
    assert "auth_user" in asked[0]


def test_a_line_that_is_passed_rings_the_bell_of_the_owner(
    cast: Cast, spend: Spend, client: Client, django_capture_on_commit_callbacks: Any
) -> None:
    policy = set_budget(cast.acme, by=By(command="test"), limit_cents=1)
    assert policy is not None
    client.force_login(cast.owner)
    assert bell(client) == 0

    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(3):
            spend()  # 0.54 of 1 cent

    assert bell(client) == 1
    html = client.get(reverse("inbox")).content.decode()
    assert "Workspace Acme: 54 % of the November budget" in html
    assert reverse("budget", args=[policy.pk]) in html


def test_one_notice_is_marked_as_read(cast: Cast, client: Client) -> None:
    first, second = notice(cast.owner, cast.acme, "a"), notice(cast.owner, cast.acme, "b")
    client.force_login(cast.owner)

    client.post(reverse("inbox-read"), {"notice": str(first.pk)})

    assert list(Notification.objects.order_by("pk").values_list("read_at", flat=True)) == [AFTERNOON, None]
    assert bell(client) == 1
    said = text_of(client, f"{reverse('inbox')}?show=unread")
    assert second.title in said
    assert first.title not in said


def test_all_that_were_shown_are_marked_and_what_came_since_stays_unread(cast: Cast, client: Client) -> None:
    shown = [notice(cast.owner, cast.acme, key) for key in "ab"]
    client.force_login(cast.owner)
    html = client.get(reverse("inbox")).content.decode()
    (through,) = re.findall(r'name="through" value="(\d+)"', html)
    later = notice(cast.owner, cast.acme, "c")

    client.post(reverse("inbox-read"), {"through": through})

    unread = Notification.objects.filter(read_at=None)
    assert list(unread) == [later]
    assert int(through) == shown[-1].pk


def test_nobody_reads_or_marks_the_notices_of_others(cast: Cast, client: Client) -> None:
    theirs = notice(cast.owner, cast.acme, "a", title="Only for Olive")
    for person in (cast.viewer, cast.outsider, cast.superuser):
        client.force_login(person)
        assert "Only for Olive" not in text_of(client, "inbox"), person
        client.post(reverse("inbox-read"), {"notice": str(theirs.pk)})
        client.post(reverse("inbox-read"), {"through": str(theirs.pk + 5)})

    theirs.refresh_from_db()
    assert theirs.read_at is None


def test_of_a_workspace_that_one_has_left_nothing_is_shown(cast: Cast, client: Client) -> None:
    notice(cast.owner, cast.acme, "a")
    Membership.objects.filter(user=cast.owner).delete()
    client.force_login(cast.owner)

    assert bell(client) == 0
    assert "No notices yet" in text_of(client, "inbox")


@pytest.mark.parametrize("form", [{}, {"notice": "x"}, {"through": "99999999999999999999"}, {"notice": "-1"}])
def test_a_form_that_names_nothing_marks_nothing(cast: Cast, client: Client, form: dict[str, str]) -> None:
    notice(cast.owner, cast.acme, "a")
    client.force_login(cast.owner)

    assert client.post(reverse("inbox-read"), form).status_code == 302
    assert bell(client) == 1


def test_older_notices_are_on_the_next_page(cast: Cast, client: Client) -> None:
    for number in range(32):
        notice(cast.owner, cast.acme, f"{number:02}")
    client.force_login(cast.owner)

    html = client.get(reverse("inbox")).content.decode()
    (older,) = re.findall(r'href="(\?before=\d+)"', html)

    assert re.findall(r"Notice (\d\d)</bdi>", html) == [f"{number:02}" for number in range(31, 1, -1)]
    assert re.findall(r"Notice (\d\d)</bdi>", client.get(reverse("inbox") + older).content.decode()) == ["01", "00"]
    assert bell(client) == 32


def test_a_hundred_and_more_are_said_as_such_on_the_bell(cast: Cast, client: Client) -> None:
    for number in range(101):
        notice(cast.owner, cast.acme, str(number))
    client.force_login(cast.owner)

    assert '<span class="count" aria-hidden="true">99+</span>' in client.get(reverse("dashboard")).content.decode()


def test_what_a_notice_says_is_shown_as_text(cast: Cast, client: Client) -> None:
    notice(cast.owner, cast.acme, "a", title=HOSTILE, body=HOSTILE)
    client.force_login(cast.owner)

    html = client.get(reverse("inbox")).content.decode()

    assert "<script>alert" not in html
    assert html.count("alert(") >= 2
