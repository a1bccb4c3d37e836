"""What needs a person: calls without a price, processes that lost events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Max, Sum

from agents.clients import lost_events
from agents.models import Agent, Client, ModelDay
from costsite.analytics.periods import Calendar, Days
from costsite.analytics.queries.rollups import within

User = AbstractBaseUser | AnonymousUser

CLIENTS_READ = 500
"""The newest processes that reported in the last week; a fleet larger than this is summed over these."""


@dataclass(frozen=True)
class UnpricedModel:
    provider: str
    model: str
    calls: int


@dataclass(frozen=True)
class Clients:
    """What the reporting processes of the last 7 days say of themselves."""

    processes: int
    waiting_events: int
    dropped: dict[str, int]
    rejected_events: int
    """How often one was: one that is sent again before its reason is mended counts again."""
    last_report_at: datetime | None

    @property
    def dropped_events(self) -> int:
        return sum(self.dropped.values())


def unpriced_models(user: User, days: Days, limit: int) -> list[UnpricedModel]:
    """Models of which calls have no price, those with the most such calls first."""
    rows = (
        ModelDay.objects.visible_to(user)
        .filter(within(days), unpriced_calls__gt=0)
        .values_list("provider", "model")
        .annotate(unpriced=Sum("unpriced_calls"))
        .order_by("-unpriced", "provider", "model")[:limit]
    )
    return [UnpricedModel(*row) for row in rows]


def clients(user: User, calendar: Calendar) -> Clients:
    rows = (
        Client.objects.visible_to(user)
        .filter(last_seen_at__gte=calendar.now - timedelta(days=7))
        .order_by("-last_seen_at")
        .values_list("spool_events", "dropped", "rejected_events", "last_seen_at")[:CLIENTS_READ]
    )
    processes, waiting, rejected, last = 0, 0, 0, None
    dropped: dict[str, int] = {}
    for spool_events, lost, refused, seen_at in rows:
        processes += 1
        waiting += spool_events
        rejected += refused
        last = last or seen_at
        for reason, count in lost_events(lost).items():
            dropped[reason] = dropped.get(reason, 0) + count
    return Clients(processes, waiting, dropped, rejected, last)


def last_run_at(user: User) -> datetime | None:
    at: datetime | None = Agent.objects.visible_to(user).aggregate(last=Max("last_run_at"))["last"]
    return at
