"""What a person was told, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from budgets.models import Notification

User = AbstractBaseUser | AnonymousUser

MOST_COUNTED = 99
"""Beside the bell; of more it says that there are more."""


@dataclass(frozen=True)
class Notice:
    id: int
    title: str
    body: str
    workspace_slug: str
    workspace_name: str
    policy_id: int | None
    """Of the budget whose line was passed."""
    at: datetime
    read: bool


def list_notices(user: User, *, unread: bool = False, before: int | None = None, limit: int) -> list[Notice]:
    """At most `limit` and one more, which says that there are more. `before`: the id the page before ended with."""
    rows = Notification.objects.inbox_of(user).select_related("workspace", "crossing").order_by("-pk")
    if unread:
        rows = rows.unread()
    if before is not None:
        rows = rows.filter(pk__lt=before)
    return [
        Notice(
            row.pk,
            row.title,
            row.body,
            row.workspace.slug if row.workspace else "",
            row.workspace.name if row.workspace else "",
            row.crossing.policy_id if row.crossing else None,
            row.created_at,
            row.read_at is not None,
        )
        for row in rows[: limit + 1]
    ]


def count_unread(user: Any) -> int:
    """As the user was loaded with it, else by a query."""
    known: int | None = getattr(user, "unread_notices", None)
    return Notification.objects.inbox_of(user).unread().count() if known is None else known
