"""Who asks, loaded with what every page shows of them."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.db.models import Count, Exists, IntegerField, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from agents.models import Membership
from budgets.models import Notification


class PeopleBackend(ModelBackend):
    """Django's own, with `unread_notices`: the bell is on every page, and so costs no query of its own."""

    def get_user(self, user_id: int) -> Any:
        user: Any = next(iter(_people().filter(pk=user_id)), None)
        return user if user is not None and self.user_can_authenticate(user) else None


@cache
def _people() -> QuerySet[Any]:
    """Made once: to say it takes longer than to answer it, and it is asked for every page."""
    return get_user_model()._default_manager.order_by().annotate(unread_notices=unread_notices())


def unread_notices() -> Coalesce:
    """Of the user of the row: how many of `Notification.objects.inbox_of(user).unread()`."""
    of_theirs = Exists(Membership.objects.filter(user=OuterRef("user"), workspace=OuterRef("workspace")))
    unread = (
        Notification.objects.filter(Q(of_theirs) | Q(user__is_superuser=True), user=OuterRef("pk"), channel=None)
        .unread()
        .order_by()
        .values("user")
        .annotate(count=Count("pk"))
        .values("count")
    )
    return Coalesce(Subquery(unread, output_field=IntegerField()), Value(0))
