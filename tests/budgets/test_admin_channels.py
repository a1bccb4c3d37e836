"""Channels in the admin: who makes them, that an address stays a secret, and the test button."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.models import Workspace
from budgets.models import Notification, NotificationChannel
from budgets.notifications import sending
from budgets.notifications.trials import TESTS_PER_MINUTE
from tests.budgets.conftest import text
from tests.budgets.receivers import Webhook, webhook

pytestmark = pytest.mark.django_db(databases="__all__")

LIST = "admin:budgets_notificationchannel_changelist"
ADD = "admin:budgets_notificationchannel_add"
SECRET = "jsons://hooks.example.com/the-secret"
SHOWN = {"notifications-TOTAL_FORMS": "0", "notifications-INITIAL_FORMS": "0"}
"""What a browser sends of the table of what was sent, which nobody edits."""


@pytest.fixture
def channel(workspace: Workspace) -> NotificationChannel:
    return NotificationChannel.objects.create(workspace=workspace, kind="webhook", name="#costs", url=SECRET)


def page_of(channel: NotificationChannel) -> str:
    return reverse("admin:budgets_notificationchannel_change", args=[channel.pk])


def test_of(channel: NotificationChannel) -> str:
    return reverse("admin:budgets_notificationchannel_test", args=[channel.pk])


test_of.__test__ = False  # type: ignore[attr-defined]  # an address, whatever it is called


def form(workspace: Workspace | None, **fields: str) -> dict[str, str]:
    facts = {"kind": "webhook", "name": "#costs", "url": SECRET, "enabled": "on"}
    return facts | {"workspace": "" if workspace is None else str(workspace.pk)} | fields


def test_an_owner_makes_a_channel_of_their_workspace_and_its_address_is_shown_never_again(
    workspace: Workspace, owner: User, client: Client
) -> None:
    client.force_login(owner)
    assert client.post(reverse(ADD), form(workspace)).status_code == 302
    made = NotificationChannel.objects.get()
    assert (made.workspace, made.url, made.created_by) == (workspace, SECRET, owner)
    for address in (page_of(made), reverse(LIST)):
        page = client.get(address).content.decode()
        assert "the-secret" not in page
        assert "hooks.example.com/…" in page


def test_an_address_left_empty_is_kept_and_a_new_one_takes_its_place(
    channel: NotificationChannel, owner: User, client: Client
) -> None:
    client.force_login(owner)
    assert client.post(page_of(channel), SHOWN | {"name": "#money", "url": ""}).status_code == 302
    channel.refresh_from_db()
    assert (channel.name, channel.url, channel.enabled) == ("#money", SECRET, False)
    other = "jsons://hooks.example.com/another"
    assert client.post(page_of(channel), SHOWN | {"name": "#money", "url": other}).status_code == 302
    channel.refresh_from_db()
    assert channel.url == other


def test_what_is_no_address_is_said_at_its_field_without_repeating_it(
    workspace: Workspace, owner: User, client: Client
) -> None:
    client.force_login(owner)
    response = client.post(reverse(ADD), form(workspace, url="ftp://example.com/the-secret"))
    assert response.status_code == 200
    assert response.context["adminform"].form.errors["url"]
    assert not NotificationChannel.objects.exists()


@pytest.mark.parametrize("kind", ["of the site", "of another workspace", "of the desktop"])
def test_an_owner_makes_none_beyond_their_workspace(
    kind: str, workspace: Workspace, elsewhere: Workspace, owner: User, client: Client
) -> None:
    client.force_login(owner)
    sent = {
        "of the site": form(None),
        "of another workspace": form(elsewhere),
        "of the desktop": form(workspace, kind="desktop", url=""),
    }[kind]
    assert client.post(reverse(ADD), sent).status_code == 200
    assert not NotificationChannel.objects.exists()


def test_whoever_runs_the_site_makes_its_own(superuser: User, client: Client) -> None:
    client.force_login(superuser)
    assert client.post(reverse(ADD), form(None, kind="desktop", url="")).status_code == 302
    assert client.post(reverse(ADD), form(None)).status_code == 302
    assert sorted(NotificationChannel.objects.values_list("kind", "workspace")) == [
        ("desktop", None),
        ("webhook", None),
    ]


def test_each_sees_the_channels_of_their_workspaces(
    channel: NotificationChannel, elsewhere: Workspace, owner: User, viewer: User, superuser: User, client: Client
) -> None:
    NotificationChannel.objects.create(workspace=elsewhere, kind="webhook", name="#theirs", url=SECRET)
    NotificationChannel.objects.create(kind="desktop", name="#ours")
    for person, seen in ((owner, ["#costs"]), (viewer, ["#costs"]), (superuser, ["#costs", "#ours", "#theirs"])):
        client.force_login(person)
        assert sorted(set(re.findall(r"#\w+(?=</a>)", client.get(reverse(LIST)).content.decode()))) == seen


def test_a_viewer_is_shown_no_secret_and_no_button(channel: NotificationChannel, viewer: User, client: Client) -> None:
    client.force_login(viewer)
    page = client.get(page_of(channel)).content.decode()
    assert "the-secret" not in page
    assert test_of(channel) not in page


def test_a_channel_is_removed_with_its_secret_and_what_was_sent_through_it(
    channel: NotificationChannel, owner: User, client: Client
) -> None:
    Notification.objects.create(channel=channel, cause="test", cause_key="test:1", title="t", body="b")
    client.force_login(owner)
    delete = reverse("admin:budgets_notificationchannel_delete", args=[channel.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 302
    assert not NotificationChannel.objects.exists()


# ── the test button ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as state:
        yield state


def background_service() -> None:
    """What is due is sent, by the code and the courier that the real service runs."""
    for pk in Notification.objects.filter(state="pending").values_list("pk", flat=True):
        sending.send(pk)


def test_the_page_of_a_channel_says_what_became_of_a_test_and_nobody_waits_for_it(
    channel: NotificationChannel, owner: User, client: Client, hook: Webhook, settings: Any
) -> None:
    settings.COSTSITE_NOTIFY_PRIVATE_ADDRESSES = True
    NotificationChannel.objects.update(url=hook.url())
    client.force_login(owner)
    assert test_of(channel) in client.get(page_of(channel)).content.decode()
    assert client.get(test_of(channel)).status_code == 200
    assert not Notification.objects.exists()

    said = text(client.post(test_of(channel), follow=True))
    assert "It is on its way." in said
    assert "see that the background service runs" in said
    assert Notification.objects.get().state == "pending"
    assert hook.taken == []

    background_service()
    assert "It was sent, and taken at the other end." in text(client.get(page_of(channel)))
    (taken,) = hook.taken
    assert taken.json["message"] == "olive tests the channel #costs. Budget notifications arrive here."

    hook.status = 500
    client.post(test_of(channel))
    background_service()
    said = text(client.get(page_of(channel)))
    assert "It could not be sent." in said
    assert "500" in said


def test_a_channel_has_one_test_under_way(channel: NotificationChannel, owner: User, client: Client) -> None:
    client.force_login(owner)
    client.post(test_of(channel))
    assert "under way already" in text(client.post(test_of(channel), follow=True))
    assert Notification.objects.count() == 1
    Notification.objects.update(state="failed")
    client.post(test_of(channel))
    assert Notification.objects.count() == 2


def test_a_workspace_has_a_few_tests_a_minute_over_all_its_channels(
    channel: NotificationChannel, elsewhere: Workspace, superuser: User, client: Client
) -> None:
    client.force_login(superuser)
    channels = [
        NotificationChannel.objects.create(workspace=channel.workspace, kind="webhook", name=f"#{n}", url=SECRET)
        for n in range(TESTS_PER_MINUTE)
    ]
    for one in channels:
        client.post(test_of(one))
    assert f"{TESTS_PER_MINUTE} tests a minute" in text(client.post(test_of(channel), follow=True))
    assert Notification.objects.count() == TESTS_PER_MINUTE

    other = NotificationChannel.objects.create(workspace=elsewhere, kind="webhook", name="#theirs", url=SECRET)
    client.post(test_of(other))
    assert Notification.objects.filter(channel=other).count() == 1

    Notification.objects.update(created_at=timezone.now() - timedelta(seconds=61))
    client.post(test_of(channel))
    assert Notification.objects.filter(channel=channel).count() == 1
