"""Gets a notification to its channel, whatever fails on the way.

A task claims its row by one conditional update, so of any number of workers with the same id one sends. Mail, chat and
webhooks are sent at least once: a row whose worker was killed is sent again, with the same id. The desktop is told at
most once: what may have been shown is noted as not known. Retries wait in the row, not in the queue, so nothing rests
on a queue that keeps its tasks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from agents.write_lock import after_writing, writing
from budgets.couriers.answer import Answer, Fate
from budgets.couriers.process import run
from budgets.models import Notification
from budgets.notifications.telling import queue

log = logging.getLogger(__name__)

COURIER_SECONDS: Final = 30.0
SENDING_TAKES: Final = timedelta(minutes=3)
"""A worker that claimed a row longer ago is gone: the courier has its deadline, and the database its own."""
QUEUE_TAKES: Final = timedelta(minutes=10)
"""A task that was queued longer ago and did not start is taken for lost. Twice in the queue is harmless."""
WAITS: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 60, 120, 240, 480, 540))
"""After each failed attempt; 24 hours and 21 minutes in all. Then it has failed for good."""
SWEPT_AT_ONCE: Final = 200

DIED_AFTER_SHOWING: Final = "The process that showed it ended before it could say so; it may have been shown."
DIED: Final = "The process that sent it ended before it could say so."
SWITCHED_OFF: Final = "The channel was switched off before it was sent."

Carry = Callable[[Notification], Answer]


def send(notification_id: int, *, carry: Carry | None = None, now: Callable[[], datetime] = timezone.now) -> str:
    """Send a notification if it is due and nobody else is at it; in a few words, what became of it.

    `carry` hands one message over and says what became of it; by default a process of its own does.
    """
    notification = _claim(notification_id, now())
    if notification is None:
        return "not due"
    if notification.via.enabled or notification.cause == Notification.Cause.TEST:
        answer = (carry or by_courier)(notification)
    else:
        answer = Answer(Fate.REFUSED, SWITCHED_OFF)
    _settle(notification, answer, now())
    if notification.cause == Notification.Cause.TEST:
        _queue_next_test(now())
    return notification.get_state_display().lower()


def by_courier(notification: Notification) -> Answer:
    """Hand it to the process that shows or sends things of its channel's kind."""
    channel = notification.via
    message = {"title": notification.title, "body": notification.body}
    if channel.shows_once:
        return run("desktop", message, seconds=COURIER_SECONDS)
    order = message | {
        "url": channel.url,
        "private": settings.COSTSITE_NOTIFY_PRIVATE_ADDRESSES,
        "id": str(notification.notification_id),
        "urgent": notification.cause == Notification.Cause.CROSSING,
        "facts": notification.facts,
    }
    return run("services", order, seconds=COURIER_SECONDS)


def _claim(notification_id: int, at: datetime) -> Notification | None:
    """The row, now being sent by us; None when it is not due, or another worker has it."""
    due = Notification.objects.filter(pk=notification_id, state=Notification.State.PENDING, next_try_at__lte=at)
    with writing():
        if _waits_for_another_test(due, at):
            return None
        if not due.update(state=Notification.State.SENDING, claimed_at=at, attempts=F("attempts") + 1):
            return None
    return Notification.objects.select_related("channel").get(pk=notification_id)


def _waits_for_another_test(due: QuerySet[Notification], at: datetime) -> bool:
    """Whether it is a test while another is being sent; then it waits for that one, or for the sweep. Whoever names an
    address that never answers holds one worker by it, and what budgets have to tell has the others.
    """
    tests = Notification.objects.filter(cause=Notification.Cause.TEST)
    if not due.filter(cause=Notification.Cause.TEST).exists():
        return False
    if not tests.filter(state=Notification.State.SENDING, claimed_at__gt=at - SENDING_TAKES).exists():
        return False
    due.update(queued_at=None)
    return True


def _queue_next_test(at: datetime) -> None:
    """Queue the test that has waited longest for the one that was settled."""
    waits = Notification.objects.filter(
        cause=Notification.Cause.TEST, state=Notification.State.PENDING, queued_at=None, next_try_at__lte=at
    )
    queue(waits.order_by("pk").values_list("pk", flat=True)[:1])


def _settle(notification: Notification, answer: Answer, at: datetime, *, retry_at: datetime | None = None) -> None:
    """Note what became of an attempt, unless the sweep took the row from us. `retry_at`: when another may follow, by
    default after a pause.
    """
    state = Notification.State
    notification.last_error = answer.reason
    notification.settled_at = at
    notification.next_try_at = notification.queued_at = None
    if answer.fate == Fate.SENT:
        notification.state = state.SENT
    elif answer.fate == Fate.UNVERIFIED:
        notification.state = state.UNVERIFIED
    elif answer.fate == Fate.FAILED and _may_try_again(notification):
        notification.state = state.PENDING
        notification.next_try_at = retry_at or at + WAITS[notification.attempts - 1]
    else:
        notification.state = state.FAILED
    fields = ("state", "last_error", "settled_at", "next_try_at", "queued_at")
    ours = Notification.objects.filter(pk=notification.pk, state=state.SENDING, claimed_at=notification.claimed_at)
    with writing():
        ours.update(**{name: getattr(notification, name) for name in fields})
    if notification.state == state.FAILED:
        log.warning("Notification %s could not be sent: %s", notification.notification_id, answer.reason)


def _may_try_again(notification: Notification) -> bool:
    return (
        not notification.via.shows_once
        and notification.cause != Notification.Cause.TEST
        and notification.attempts <= len(WAITS)
    )


# ── what was lost ────────────────────────────────────────────────────────────────────────────────────────────────────


def sweep(now: datetime | None = None) -> str:
    """Take up what a killed worker or a lost task left behind, and what is due for another attempt. Called by the tick;
    two indexed reads when nothing is.
    """
    now = now or timezone.now()
    state = Notification.State
    lost = Notification.objects.filter(state=state.SENDING, claimed_at__lt=now - SENDING_TAKES)
    for notification in lost.select_related("channel").order_by("pk")[:SWEPT_AT_ONCE]:
        if notification.via.shows_once:
            _settle(notification, Answer(Fate.UNVERIFIED, DIED_AFTER_SHOWING), now)
        else:
            # Whoever is to be told has waited long enough: the attempt that died counts, a pause does not follow.
            _settle(notification, Answer(Fate.FAILED, DIED), now, retry_at=notification.claimed_at)
    due = Notification.objects.filter(
        Q(queued_at=None) | Q(queued_at__lt=now - QUEUE_TAKES), state=state.PENDING, next_try_at__lte=now
    )
    ids = list(due.order_by("pk").values_list("pk", flat=True)[:SWEPT_AT_ONCE])
    if ids:
        after_writing(lambda: queue(ids))
    return f"{len(ids)} notifications queued"
