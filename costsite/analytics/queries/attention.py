"""What needs a person: calls without a price, agents that fail, processes that lost events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Max, OuterRef, Q, Subquery, Sum

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


def fortnight(user: User, calendar: Calendar) -> list[AgentFortnight]:
    """Every agent that made a call in two weeks and today.

    Summed from the first day of each of these spans on: what lies between two is their difference.
    """
    today, before = calendar.today, week_before(calendar).start
    week, recent = last_week(calendar).start, today - timedelta(days=6)
    agents = Agent.objects.visible_to(user).order_by()
    # By the agents: each one's sums are its part of an index, in its order. By the days alone, all would be sorted.
    rows = UsageDay.objects.filter(agent__in=agents.values("pk"), day__gte=before, day__lte=today)
    # Of each agent once, behind its sums: joined, it would be read, and sorted by, for each of its rows.
    agent = Agent.objects.filter(pk=OuterRef("agent")).order_by()
    found: Any = (
        rows.values("agent")
        .annotate(
            **_known_from(None, "all"),
            **_known_from(week, "later"),
            **_known_from(today, "today"),
            **_from(recent, made="calls", failed="failed_calls", estimated="estimated_calls"),
        )
        .annotate(**{f"agent_{column}": Subquery(agent.values(column)) for column in _OF_AN_AGENT})
        .order_by()
    )
    return [
        AgentFortnight(
            agent_id=row["agent"],
            name=row["agent_name"] or row["agent_slug"],
            slug=row["agent_slug"],
            workspace_id=row["agent_workspace_id"],
            created_at=row["agent_created_at"],
            archived=row["agent_archived_at"] is not None,
            calls=int(row["made"]),
            earlier_calls=int(row["all_calls"]) - int(row["made"]),
            failed_calls=int(row["failed"]),
            estimated_calls=int(row["estimated"]),
            cost=_cost_between(row, "later", "today"),
            before=_cost_between(row, "all", "later"),
        )
        for row in found
    ]


_OF_AN_AGENT = ("name", "slug", "workspace_id", "created_at", "archived_at")


def _from(day: date | None, **columns: str) -> dict[str, Any]:
    where = Q(day__gte=day) if day else None
    return {name: Sum(column, filter=where, default=0) for name, column in columns.items()}


def _known_from(day: date | None, name: str) -> dict[str, Any]:
    columns = {f"{name}_calls": "calls", f"{name}_unpriced": "unpriced_calls", f"{name}_cost": "cost_microcents"}
    return _from(day, **columns)


def _cost_between(row: Any, since: str, until: str) -> int | None:
    """Microcents from the first day of `since` to before that of `until`."""
    parts = ("calls", "unpriced", "cost")
    return known_cost(*(int(row[f"{since}_{part}"]) - int(row[f"{until}_{part}"]) for part in parts))


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
