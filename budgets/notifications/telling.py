"""Turns what happened into notifications: a row for each inbox and each channel, in one transaction; then a task for
each row that must be sent.

A row is unique by its cause and whom it tells. So a cause may be announced twice, as one is whose process died between
announcing and noting so, and nobody is told twice.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from django_q.tasks import async_task

from agents.models import LedgerState, Workspace
from agents.spend import cents_text
from agents.write_lock import after_writing, writing
from budgets import words
from budgets.crossings import event_of
from budgets.models import BudgetPolicy, Notification, NotificationChannel, ThresholdCrossing
from budgets.notifications.recipients import owners_of, superusers
from budgets.signals import BudgetThresholdCrossed

if TYPE_CHECKING:
    from django.contrib.auth.models import User

log = logging.getLogger(__name__)

SEND_TASK = "budgets.tasks.send_notification"


@dataclass(frozen=True)
class News:
    """What there is to tell."""

    cause: Notification.Cause
    key: str
    """Which crossing, month or test it is."""
    words: words.Words
    facts: Mapping[str, Any]
    """What a webhook gets beside the words; flat."""
    workspace: Workspace | None
    crossing: ThresholdCrossing | None = field(default=None)


def tell(news: News, users: Iterable[User], channels: Iterable[NotificationChannel]) -> list[Notification]:
    """Put news into inboxes, and queue it for channels. Whoever was told of it already is not told again."""
    now = timezone.now()
    state = Notification.State
    by_age = sorted(channels, key=lambda channel: channel.pk)
    rows = [_row(news, now, user=user, state=state.SENT, settled_at=now) for user in users]
    rows += [_row(news, now, channel=channel, state=state.PENDING, next_try_at=now) for channel in by_age]
    if not rows:
        return []
    with writing():
        Notification.objects.bulk_create(rows, ignore_conflicts=True)
        ours = Notification.objects.filter(notification_id__in=[row.notification_id for row in rows])
        told = list(ours.order_by("pk"))
    ids = [notification.pk for notification in told if notification.state == state.PENDING]
    # Not within: a queue that hangs would hold up everybody who writes.
    after_writing(partial(queue, ids))
    return told


def _row(news: News, now: datetime, **to: Any) -> Notification:
    return Notification(
        cause=news.cause, cause_key=news.key, crossing=news.crossing, workspace=news.workspace,
        title=news.words.title[:300], body=news.words.body, facts=dict(news.facts), created_at=now, **to,
    )  # fmt: skip


def queue(notification_ids: Collection[int]) -> int:
    """Queue a task for each; how many were. A queue that cannot be reached costs nothing but time: the sweep queues
    them again.
    """
    queued = []
    for notification_id in notification_ids:
        try:
            async_task(SEND_TASK, notification_id)
        except Exception:
            log.exception("Notifications could not be queued; the tick tries again.")
            break
        queued.append(notification_id)
    if queued:
        with writing():
            Notification.objects.filter(pk__in=queued).update(queued_at=timezone.now())
    return len(queued)


# ── crossings ────────────────────────────────────────────────────────────────────────────────────────────────────────


def tell_of_crossing(event: BudgetThresholdCrossed) -> list[Notification]:
    """Tell of a line that was passed: once for those passed in one commit, with the highest of them.

    What happened in a month that is over, or before somebody made or changed the budget, waits in the inbox and rings
    nowhere.
    """
    crossing = ThresholdCrossing.objects.select_related("policy__workspace").get(pk=event.crossing_id)
    if _is_outdone(crossing):
        return []
    policy = crossing.policy
    workspace = policy.workspace
    quiet = event.late or event.at_creation
    news = News(
        Notification.Cause.CROSSING,
        f"crossing:{crossing.pk}",
        words.passed(_line(event, policy.mode)),
        _facts_of(event, policy.mode),
        workspace,
        crossing,
    )
    # Of a workspace that nobody owns, whoever runs the site hears.
    users = superusers() if workspace is None else owners_of(workspace) or superusers()
    return tell(news, users, [] if quiet else NotificationChannel.objects.hearing(workspace))


def words_of(crossing: ThresholdCrossing) -> words.Words:
    """What people are told of a line, wherever they are told."""
    return words.passed(_line(event_of(crossing), crossing.policy.mode))


def _is_outdone(crossing: ThresholdCrossing) -> bool:
    """A higher line of the same budget was passed in the same commit, or since: that one is told. A lower one that a
    process died over is announced minutes later, and would be old news.
    """
    return ThresholdCrossing.objects.filter(
        policy=crossing.policy_id,
        month=crossing.month,
        limit_microcents=crossing.limit_microcents,
        crossed_at__gte=crossing.crossed_at,
        threshold__gt=crossing.threshold,
    ).exists()


def _line(event: BudgetThresholdCrossed, mode: str) -> words.Passed:
    return words.Passed(
        scope=event.scope, subject=event.subject, mode=mode, threshold=event.threshold, limit=event.limit_microcents,
        spent=event.spent_microcents, month=event.month, ends_at=event.period_end, at=event.crossed_at,
        zone=LedgerState.current().time_zone, late=event.late, at_creation=event.at_creation,
    )  # fmt: skip


def _facts_of(event: BudgetThresholdCrossed, mode: str) -> dict[str, Any]:
    """Cents as exact decimal text; times in ISO 8601."""
    return {
        "event": "budget_threshold_crossed",
        "scope": event.scope,
        "workspace": event.workspace,
        "agent": event.agent,
        "month": event.month,
        "threshold_percent": event.threshold,
        "limit_cents": cents_text(event.limit_microcents),
        "spent_cents": cents_text(event.spent_microcents),
        "mode": mode,
        "refuses_new_runs": (
            mode != BudgetPolicy.Mode.MONITOR and not event.late and event.spent_microcents >= event.limit_microcents
        ),
        "period_end": event.period_end.isoformat(),
        "crossed_at": event.crossed_at.isoformat(),
    }
