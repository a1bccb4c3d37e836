"""What each agent did in the last two weeks: who moved, who fails, who is new."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from operator import add
from typing import Any, NamedTuple

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from agents.models import Agent
from agents.spend import known_cost
from costsite.analytics.periods import Calendar, Days
from costsite.analytics.queries.agents_by_span import Span, agents_by_span
from costsite.analytics.queries.plain import instant
from costsite.analytics.queries.rollups import COST

User = AbstractBaseUser | AnonymousUser

FAILING_FROM_CALLS = 5
FAILING_FROM_PERCENT = 10


class AgentFortnight(NamedTuple):
    """What an agent did in the last 7 days, and what it spent on as many before. A tuple: there are thousands."""

    agent_id: int
    name: str
    slug: str
    workspace_id: int
    created_at: datetime
    archived: bool
    calls: int
    """In the last 7 days, today among them."""
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


_FACTS = ("id", "name", "slug", "workspace_id", "created_at", "archived_at")
_FARE = ("calls", "failed_calls", "estimated_calls")


def fortnight(user: User, calendar: Calendar) -> list[AgentFortnight]:
    """Every agent that made a call in two weeks and today."""
    today, second = calendar.today, calendar.today - timedelta(days=6)
    spans = (
        Span(week_before(calendar)),
        Span(Days(last_week(calendar).start, second)),
        Span(Days(second, today), (*COST, *_FARE[1:])),
        Span(Days(today, today + timedelta(days=1)), _FARE),
    )
    return [_of_row(row) for row in agents_by_span(Agent.objects.visible_to(user), _FACTS, spans)]


def _of_row(row: Sequence[Any]) -> AgentFortnight:
    """Of an agent's facts and its sums over `fortnight`'s spans."""
    pk, name, slug, workspace_id, created_at, archived_at, *sums = row
    earlier, first, whole, today = sums[:3], sums[3:6], sums[6:11], sums[11:]
    return AgentFortnight(
        agent_id=pk,
        name=name or slug,
        slug=slug,
        workspace_id=workspace_id,
        created_at=instant(created_at),
        archived=archived_at is not None,
        calls=whole[0] + today[0],
        earlier_calls=earlier[0] + first[0],
        failed_calls=whole[3] + today[1],
        estimated_calls=whole[4] + today[2],
        cost=known_cost(*map(add, first, whole)),
        before=known_cost(*earlier),
    )
