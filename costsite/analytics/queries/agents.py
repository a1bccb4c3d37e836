"""Agents: the list of them, and one agent's days, models and steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from operator import add
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Count, Exists, F, IntegerField, OuterRef, Q, Subquery, Sum
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce

from agents.cost_tracker import CostTracker, SpendOf
from agents.models import Agent, AgentDay, AgentRunLog, LLMCall, Membership, UsageMonth
from agents.models.sums import spend_from, sums
from agents.models.visibility import is_superuser
from agents.spend import NOTHING, Spend
from costsite.analytics.periods import Calendar, Cover, Days
from costsite.analytics.queries.rollups import CostByDay, SumsOf, days_of_agents, spend_by_day, within
from costsite.analytics.queries.runs import NEWEST_FIRST

User = AbstractBaseUser | AnonymousUser

COUNTED_RUNS = 10_000
"""Runs of an agent are counted up to here; a page that counted a million of them would be slow for no insight.

Counted in the order of the agent's index: for ten thousand of any agent's rows in no order, PostgreSQL takes the table
from its start, and of a small agent it never finds so many.
"""


class BoundedCount(Subquery):
    """How many rows a sliced queryset has."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) AS bounded)"
    output_field = IntegerField()


@dataclass(frozen=True)
class AgentFacts:
    id: int
    name: str
    slug: str
    workspace_id: int
    workspace_name: str
    workspace_slug: str
    active: bool
    archived: bool
    effort: str
    default_model: str
    last_run_at: datetime | None
    owned: bool
    """Its workspace is, by who asks: they may change the agent."""
    month_runs: int = 0
    """Where they were asked for: this month, at most `COUNTED_RUNS` + 1."""
    merged_into: int | None = None
    """The id of the agent that its name stands for, where that is another."""
    has_merged: bool = False
    """Where it was asked for: others were merged into it."""

    @classmethod
    def of(cls, row: Agent, *, owned: bool = False, month_runs: int = 0) -> AgentFacts:
        return cls(
            id=row.pk,
            name=row.name or row.slug,
            slug=row.slug,
            workspace_id=row.workspace_id,
            workspace_name=row.workspace.name,
            workspace_slug=row.workspace.slug,
            active=row.active,
            archived=row.archived_at is not None,
            effort=row.get_effort_display() if row.effort else "",
            default_model=row.default_model,
            last_run_at=row.last_run_at,
            owned=owned,
            month_runs=month_runs,
            merged_into=row.merged_into_id,
            has_merged=getattr(row, "has_merged", False),
        )


@dataclass(frozen=True)
class AgentRow:
    agent: AgentFacts
    month: Spend
    runs: int
    """This month, at most `COUNTED_RUNS` + 1."""
    by_day: CostByDay


SORTS = {
    "spend": ("-spent", "-last_run_at", "slug", "pk"),
    "name": ("slug", "pk"),
    "last-run": ("-last_run_at", "slug", "pk"),
}


def find_agent(user: User, pk: int | Combinable, calendar: Calendar | None = None) -> AgentFacts | None:
    """With a calendar: and how many runs it had this month, and whether others were merged into it."""
    rows: Any = Agent.objects.visible_to(user).select_related("workspace").filter(pk=pk)
    if calendar is not None:
        merged = Agent.objects.filter(merged_into=OuterRef("pk"))
        rows = rows.annotate(month_runs=_runs_of_month(calendar), has_merged=Exists(merged))
    if not is_superuser(user):
        # Of "a workspace that this user owns" SQLite walks the workspaces; of a membership it knows the row.
        owner = Membership.objects.filter(
            user=user.pk or 0, workspace=OuterRef("workspace"), role=Membership.Role.OWNER
        )
        rows = rows.annotate(owned=Exists(owner))
    row = rows.first()
    if row is None:
        return None
    return AgentFacts.of(row, owned=getattr(row, "owned", True), month_runs=getattr(row, "month_runs", 0))


def find_booked_to(user: User, pk: int) -> AgentFacts | None:
    """An agent that an old address names; of one that was merged, the agent it was merged into."""
    target = Agent.objects.filter(pk=pk).values("merged_into")
    return find_agent(user, Coalesce(Subquery(target), pk))


def _runs_of_month(calendar: Calendar) -> BoundedCount:
    month = calendar.month_to_date
    runs = AgentRunLog.objects.filter(
        agent=OuterRef("pk"),
        started_at__gte=month.starts_at(calendar.zone),
        started_at__lt=month.ends_at(calendar.zone),
    ).order_by(*NEWEST_FIRST)
    return BoundedCount(runs.values("pk")[: COUNTED_RUNS + 1])


def visible_agents(user: User, workspace_id: int | None, limit: int) -> list[AgentFacts]:
    """By name, of one workspace or of all one sees; those that are archived last."""
    rows = Agent.objects.visible_to(user).standing().select_related("workspace")
    if workspace_id is not None:
        rows = rows.filter(workspace_id=workspace_id)
    return [AgentFacts.of(row) for row in rows.order_by(F("archived_at").asc(nulls_first=True), "slug", "pk")[:limit]]


def list_agents(user: User, calendar: Calendar, *, search: str, sort: str, offset: int, limit: int) -> list[AgentRow]:
    """Agents one sees whose name, slug or workspace contains `search`, with this month's spend.

    One row more than `limit` says that there are more.
    """
    month = calendar.month_to_date
    rows = (
        Agent.objects.visible_to(user)
        .standing()
        .select_related("workspace")
        .annotate(spent=_spent(Cover.in_months(month, calendar.tomorrow)))
    )
    if search:
        rows = rows.filter(Q(slug__icontains=search) | Q(name__icontains=search) | Q(workspace__name__icontains=search))
    found = list(rows.order_by(*SORTS[sort])[offset : offset + limit + 1])
    ids = [row.pk for row in found]
    # Of those shown alone: beside the order, they would be counted of every agent before them.
    counted = Agent.objects.filter(pk__in=ids).order_by().annotate(month_runs=_runs_of_month(calendar))
    month_runs = dict(counted.values_list("pk", "month_runs"))
    month_spend = {
        row["agent"]: spend_from(row)
        for row in AgentDay.objects.visible_to(user)
        .filter(within(month), agent__in=ids)
        .values("agent")
        .annotate(**sums())
        .order_by()
    }
    days = days_of_agents(Cover.of([calendar.last_30_days]), ids)
    return [
        AgentRow(AgentFacts.of(row), month_spend.get(row.pk, NOTHING), month_runs.get(row.pk, 0), days.get(row.pk, {}))
        for row in found
    ]


def _spent(cover: Cover) -> Any:
    """Microcents of an agent's row."""
    of_one = SumsOf.tables(AgentDay, UsageMonth).filter(agent=OuterRef("pk"))
    sums = (
        rows.values("agent").annotate(sum=Sum("added_cost_microcents")).values("sum") for rows in of_one.over(cover)
    )
    return reduce(add, [Coalesce(Subquery(rows), 0) for rows in sums])


def agent_by_day(user: User, agent_id: int, days: Days) -> dict[date, SpendOf[date]]:
    return spend_by_day(CostTracker().visible_to(user).agent(agent_id), days)


def names_of(user: User, ids: Iterable[int]) -> dict[int, str]:
    rows = Agent.objects.visible_to(user).filter(pk__in=list(ids)).values_list("pk", "name", "slug")
    return {pk: name or slug for pk, name, slug in rows}


@dataclass(frozen=True)
class StepSpend:
    step: str
    sub_agent: str
    spend: Spend


def steps_of_runs(
    user: User, workspace_id: int, runs: list[int], limit: int, of_calls: Mapping[str, str]
) -> list[StepSpend]:
    """Calls of runs, by their ids, summed by step: rollups have no steps, so it is of runs one can read by index.

    `of_calls`: what a call has to be, by the columns of `LLMCall`.
    """
    run_ids = AgentRunLog.objects.visible_among(user, runs).order_by().values("run_id")
    rows = (
        LLMCall.objects.visible_to(user)
        .filter(workspace_id=workspace_id, run_id__in=run_ids, **of_calls)
        .values("step", "sub_agent")
        .annotate(
            step_calls=Count("pk"),
            cost=Coalesce(Sum("cost_microcents"), 0),
            unpriced=Count("pk", filter=Q(cost_basis="unpriced")),
        )
        .order_by("-cost", "-step_calls", "step", "sub_agent")[:limit]
    )
    return [
        StepSpend(
            row["step"],
            row["sub_agent"],
            Spend(calls=row["step_calls"], unpriced_calls=row["unpriced"], cost_microcents=int(row["cost"])),
        )
        for row in rows
    ]
