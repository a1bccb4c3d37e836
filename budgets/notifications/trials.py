"""The test button: a test goes the way everything goes, and nobody waits for it.

Whoever is at the other end decides how long a test takes. So the page does not wait; a channel has one test under way;
and of a site's workers, tests have one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from django.utils import timezone

from agents.write_lock import writing
from budgets import words
from budgets.models import Notification, NotificationChannel
from budgets.notifications.telling import News, tell

if TYPE_CHECKING:
    from django.contrib.auth.models import User

TESTS_PER_MINUTE: Final = 5
"""Of a workspace, and of the site's own channels together."""

UNDER_WAY: Final = "A test of this channel is under way already; below is what becomes of it."
TOO_MANY: Final = f"A workspace has {TESTS_PER_MINUTE} tests a minute; wait a minute, then send it again."


class TestRefusedError(Exception):
    """No test is sent now; its message says why, and what to do."""

    __test__ = False


def send_test(channel: NotificationChannel, user: User) -> Notification:
    """Send a test through a channel, switched on or not, by the background service; `TestRefusedError` when it has to
    wait for others.

    Returns at once, and sends after the commit. It is tried once.
    """
    news = News(
        Notification.Cause.TEST,
        f"test:{uuid4()}",
        words.trial(channel.name, user.get_username()),
        {"event": "test", "workspace": channel.workspace.slug if channel.workspace else None},
        channel.workspace,
    )
    tests = Notification.objects.filter(cause=Notification.Cause.TEST)
    with writing():
        # Those who press at the same moment come one after another.
        list(NotificationChannel.objects.select_for_update().filter(workspace=channel.workspace).values_list("pk"))
        if tests.unsettled().filter(channel=channel).exists():
            raise TestRefusedError(UNDER_WAY)
        lately = timezone.now() - timedelta(minutes=1)
        if tests.filter(workspace=channel.workspace, created_at__gt=lately).count() >= TESTS_PER_MINUTE:
            raise TestRefusedError(TOO_MANY)
        (notification,) = tell(news, [], [channel])
    return notification


def last_test(channel: NotificationChannel) -> Notification | None:
    """The newest test of a channel, whatever became of it."""
    return channel.notifications.filter(cause=Notification.Cause.TEST).order_by("-created_at", "-pk").first()
