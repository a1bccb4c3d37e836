"""What needs a person: calls without a price, agents that fail, processes that lost events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Max, Q, Sum

from agents.models import Agent, Client, UsageDay
from agents.spend import known_cost
from costsite.analytics.periods import Calendar, Days
from costsite.analytics.queries.rollups import within

User = AbstractBaseUser | AnonymousUser

CLIENTS_READ = 500
"""The newest processes that reported in the last week; a fleet larger than this is summed over these."""
FAILING_FROM_CALLS = 5
FAILING_FROM_PERCENT = 10


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
    last_report_at: datetime | None

    @property
    def dropped_events(self) -> int:
        return sum(self.dropped.values())


def unpriced_models(user: User, days: Days, limit: int) -> list[UnpricedModel]:
    """Models of which calls have no price, those with the most such calls first."""
    rows = (
        UsageDay.objects.visible_to(user)
        .filter(within(days), unpriced_calls__gt=0)
        .values_list("provider", "model")
        .annotate(unpriced=Sum("unpriced_calls"))
        .order_by("-unpriced", "provider", "model")[:limit]
    )
    return [UnpricedModel(*row) for row in rows]


@dataclass(frozen=True)
class AgentFortnight:
    """What an agent did in the last 7 days, and what it spent on as many before."""

    agent_id: int
    name: str
    slug: str
    workspace_id: int
    created_at: datetime
    archived: bool
    calls: int
    earlier_calls: int
    """In the week before these 7 days."""
    failed_calls: int
    estimated_calls: int
    cost: int | None
    """Microcents of the last 7 whole days; None: not known."""
    before: int | None
    """Of the 7 before these."""

    @property
    def fails(self) -> bool:
        """A tenth or more, and at least five, of its calls in 7 days."""
        return self.failed_calls >= FAILING_FROM_CALLS and self.calls * FAILING_FROM_PERCENT <= self.failed_calls * 100

    @property
    def reports_nothing(self) -> bool:
        """It ran, and of none of its calls the provider reported any usage."""
        return bool(self.calls) and self.estimated_calls == self.calls

    @property
    def moved(self) -> int:
        """Microcents; 0 where one of the two is not known."""
        return 0 if self.cost is None or self.before is None else self.cost - self.before


def last_week(calendar: Calendar) -> Days:
    """The last 7 whole days. A part of today against a whole day would hide a rise until midnight."""
    return Days(calendar.today - timedelta(days=7), calendar.today)


def week_before(calendar: Calendar) -> Days:
    return Days(calendar.today - timedelta(days=14), calendar.today - timedelta(days=7))


def fortnight(user: User, calendar: Calendar, workspace_id: int | None = None) -> list[AgentFortnight]:
    """Every agent that made a call in two weeks and today."""
    recent = Q(day__gt=calendar.today - timedelta(days=7))
    week, before = within(last_week(calendar)), within(week_before(calendar))
    rows = UsageDay.objects.visible_to(user).filter(day__gte=week_before(calendar).start, day__lte=calendar.today)
    if workspace_id is not None:
        rows = rows.filter(workspace_id=workspace_id)
    found: Any = (
        rows.values(
            "agent", "agent__name", "agent__slug", "agent__workspace", "agent__created_at", "agent__archived_at"
        )
        .annotate(
            made=Sum("calls", filter=recent, default=0),
            earlier=Sum("calls", filter=~recent, default=0),
            failed=Sum("failed_calls", filter=recent, default=0),
            estimated=Sum("estimated_calls", filter=recent, default=0),
            **_known(week, "week"),
            **_known(before, "before"),
        )
        .order_by()
    )
    return [
        AgentFortnight(
            agent_id=row["agent"],
            name=row["agent__name"] or row["agent__slug"],
            slug=row["agent__slug"],
            workspace_id=row["agent__workspace"],
            created_at=row["agent__created_at"],
            archived=row["agent__archived_at"] is not None,
            calls=int(row["made"]),
            earlier_calls=int(row["earlier"]),
            failed_calls=int(row["failed"]),
            estimated_calls=int(row["estimated"]),
            cost=_cost_of(row, "week"),
            before=_cost_of(row, "before"),
        )
        for row in found
    ]


def _known(where: Q, name: str) -> dict[str, Any]:
    columns = {"calls": "calls", "unpriced": "unpriced_calls", "cost": "cost_microcents"}
    return {f"{name}_{part}": Sum(column, filter=where, default=0) for part, column in columns.items()}


def _cost_of(row: Any, name: str) -> int | None:
    return known_cost(*(int(row[f"{name}_{part}"]) for part in ("calls", "unpriced", "cost")))


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
        for reason, count in lost.items():
            dropped[reason] = dropped.get(reason, 0) + int(count)
    return Clients(processes, waiting, dropped, rejected, last)


def last_run_at(user: User) -> datetime | None:
    at: datetime | None = Agent.objects.visible_to(user).aggregate(last=Max("last_run_at"))["last"]
    return at
