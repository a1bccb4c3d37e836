"""Merging agents: who could be meant, what would move, and what has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Count, Exists, OuterRef, Q, Sum
from django.db.models.functions import TruncMonth

from agents.clock import days_of, month_of
from agents.merging import may_merge, why_not
from agents.models import Agent, AgentDay, AgentMerge, AgentRunLog, Membership
from agents.spend import NOTHING, Spend
from budgets.enforcement import Standing
from budgets.models import BudgetPolicy
from budgets.months import month_at
from budgets.state import standings_in_bulk
from costsite.analytics.near_names import letters_apart, plain
from costsite.analytics.periods import Calendar
from costsite.analytics.queries.agents import COUNTED_RUNS, BoundedCount

User = AbstractBaseUser | AnonymousUser

LISTED_NAMES = 100
COMPARED_NAMES = 1_000
NEAR_NAMES = 5
LISTED_MONTHS = 6
LISTED_MERGES = 20
"""On the page of the agent that others were merged into: the newest."""


@dataclass(frozen=True)
class Source:
    """An agent that somebody asks to merge, with what is told of it."""

    agent: Agent
    may_merge: bool
    runs: int
    """At most `COUNTED_RUNS` + 1."""
    keys: int
    """API keys that are bound to it, and in force."""


@dataclass(frozen=True)
class MonthThatMoves:
    first_day: date
    spend: Spend


@dataclass(frozen=True)
class Preview:
    """What merging would move and change."""

    months: Sequence[MonthThatMoves]
    """The newest `LISTED_MONTHS`."""
    earlier: MonthThatMoves | None
    """All before these as one, named by the first of them."""
    total: Spend
    has_closed_months: bool
    ends: Standing | None
    """The source's own budget, which ends."""
    before: Standing | None
    """The target's own budget, where it has one."""
    after: Standing | None


def find_source(user: User, pk: int) -> Source | None:
    runs = AgentRunLog.objects.filter(agent=OuterRef("pk")).order_by("-started_at", "-id")
    found: Any = (
        Agent.objects.visible_to(user)
        .filter(pk=pk)
        .select_related("workspace", "merged_into")
        .annotate(
            all_runs=BoundedCount(runs.values("pk")[: COUNTED_RUNS + 1]),
            bound_keys=Count("api_keys", filter=Q(api_keys__archived_at=None)),
            owned=Exists(
                Membership.objects.filter(
                    user=user.pk or 0, workspace=OuterRef("workspace"), role=Membership.Role.OWNER
                )
            ),
        )
        .first()
    )
    if found is None:
        return None
    return Source(found, may_merge(user, owned=found.owned), found.all_runs, found.bound_keys)


def names_to_choose(source: Agent) -> tuple[list[str], list[str]]:
    """Names of agents that `source` may be merged into: those that are almost its own, the nearest first and the older
    of equally near ones, and the others by name.
    """
    rows = (
        Agent.objects.live().filter(workspace=source.workspace_id).select_related("merged_into").exclude(pk=source.pk)
    )
    others = [row for row in rows.order_by("slug")[:COMPARED_NAMES] if not why_not(source, row)]
    own = plain(source.slug)
    apart = [(letters_apart(own, plain(row.slug)), row.created_at, row.pk, row.slug) for row in others]
    near = sorted(one for one in apart if one[0] is not None)
    return [slug for *_, slug in near[:NEAR_NAMES]], [row.slug for row in others[:LISTED_NAMES]]


def preview(source: Agent, target: Agent, calendar: Calendar) -> Preview:
    moving = _months(source)
    days = days_of(calendar.zone.key)
    month = month_at(calendar.now, days)
    policies = BudgetPolicy.objects.live().filter(agent__in=[source.pk, target.pk])
    own = list(policies.select_related("workspace", "agent"))
    standings = {one.policy.agent_id: one for one in standings_in_bulk(own, calendar.now, month).values()}
    before = standings.get(target.pk)
    this_month = sum(one.spend.cost_microcents for one in moving if month_of(one.first_day) == month.name)
    earlier = moving[LISTED_MONTHS:]
    return Preview(
        months=moving[:LISTED_MONTHS],
        earlier=MonthThatMoves(earlier[-1].first_day, sum((one.spend for one in earlier), NOTHING))
        if earlier
        else None,
        total=sum((one.spend for one in moving), NOTHING),
        has_closed_months=any(month_of(one.first_day) < month.name for one in moving),
        ends=standings.get(source.pk),
        before=before,
        after=before and replace(before, spent=before.spent + this_month),
    )


def _months(source: Agent) -> list[MonthThatMoves]:
    """The newest first."""
    rows: Any = (
        AgentDay.objects.filter(agent=source)
        .order_by()
        .annotate(month=TruncMonth("day"))
        .values("month")
        .annotate(made=Sum("calls"), unpriced=Sum("unpriced_calls"), spent=Sum("cost_microcents"))
        .order_by("-month")
    )
    return [
        MonthThatMoves(
            row["month"],
            Spend(calls=int(row["made"]), unpriced_calls=int(row["unpriced"]), cost_microcents=int(row["spent"])),
        )
        for row in rows
    ]


@dataclass(frozen=True)
class MergeRow:
    """An agent that was merged into the one whose page this is."""

    slug: str
    by: str
    merged_at: datetime
    is_moving: bool
    percent: int
    runs: int
    moved: Spend
    expected_calls: int


def merges_into(user: User, agent_id: int) -> list[MergeRow]:
    """The newest first; also of agents that were merged into one that was then merged into this."""
    rows = AgentMerge.objects.visible_to(user).filter(source__merged_into=agent_id).select_related("source")
    return [
        MergeRow(
            slug=row.source.slug,
            by=row.by_name,
            merged_at=row.merged_at,
            is_moving=row.finished_at is None,
            percent=row.percent,
            runs=row.runs,
            moved=Spend(calls=row.calls, unpriced_calls=row.unpriced_calls, cost_microcents=row.cost_microcents),
            expected_calls=max(row.expected_calls, row.calls),
        )
        for row in rows[:LISTED_MERGES]
    ]
