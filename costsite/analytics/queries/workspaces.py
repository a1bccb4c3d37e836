"""Workspaces: what each spent, this month, on the same days of the last, and in the range shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Exists, F, OuterRef, Sum
from django.db.models.functions import Coalesce

from agents.cost_tracker import CostTracker, SpendOf
from agents.models import UsageDay, Workspace, WorkspaceDay
from agents.models.sums import spend_from, sums
from agents.spend import NOTHING, Spend, known_cost
from costsite.analytics.periods import Days
from costsite.analytics.queries.rollups import CostByDay, Spans, cost_by_key_and_day, spend_by_day, within

User = AbstractBaseUser | AnonymousUser

MOST_ROWS = 50
"""Workspaces or agents a page names; what is over is summed as "Other"."""


@dataclass(frozen=True)
class Spender:
    """A workspace or an agent with what it spent: a row of a table and a series of a chart."""

    id: int
    name: str
    slug: str
    month: Spend
    compared: int | None
    """Microcents on the whole days of this month; None: not known."""
    before: int | None
    """The same on as many days of last month."""
    shown: int
    """Microcents in the range shown."""
    runs: int | None = None
    active: bool = True
    archived: bool = False


@dataclass(frozen=True)
class WorkspaceFacts:
    id: int
    slug: str
    name: str
    archived: bool
    owned: bool = False
    """By who asks: they may change it."""


def find_workspace(user: User, slug: str) -> WorkspaceFacts | None:
    rows: Any = Workspace.objects.visible_to(user).filter(slug=slug)
    row = rows.annotate(owned=Exists(Workspace.objects.owned_by(user).filter(pk=OuterRef("pk")))).first()
    return None if row is None else WorkspaceFacts(row.pk, row.slug, row.name, row.archived_at is not None, row.owned)


def visible_workspaces(user: User, limit: int) -> list[WorkspaceFacts]:
    """By name; those that are archived last."""
    rows = Workspace.objects.visible_to(user).order_by(F("archived_at").asc(nulls_first=True), "name")[:limit]
    return [WorkspaceFacts(row.pk, row.slug, row.name, row.archived_at is not None) for row in rows]


def workspace_spenders(user: User, spans: Spans) -> list[Spender]:
    """Every workspace one sees that is live or had calls, dearest this month first."""
    by_workspace = {
        row["workspace"]: row
        for row in WorkspaceDay.objects.visible_to(user)
        .filter(within(spans.all))
        .values("workspace")
        .annotate(
            **sums(within(spans.month)),
            **_costs("compared", spans.compared),
            **_costs("before", spans.before),
            month_runs=Coalesce(Sum("runs", filter=within(spans.month)), 0),
            shown=Coalesce(Sum("cost_microcents", filter=within(spans.shown)), 0),
        )
        .order_by()
    }
    spenders = []
    for pk, name, slug, archived_at in Workspace.objects.visible_to(user).values_list(
        "pk", "name", "slug", "archived_at"
    ):
        row = by_workspace.get(pk)
        if row is not None:
            compared, before = _cost_from(row, "compared"), _cost_from(row, "before")
            spenders.append(
                Spender(
                    pk,
                    name,
                    slug,
                    spend_from(row),
                    compared,
                    before,
                    row["shown"],
                    row["month_runs"],
                    archived=archived_at is not None,
                )
            )
        elif archived_at is None:
            spenders.append(Spender(pk, name, slug, NOTHING, 0, 0, 0, 0))
    return sorted(spenders, key=lambda spender: (-spender.month.cost_microcents, -spender.month.calls, spender.name))


def _costs(name: str, days: Days) -> dict[str, Any]:
    """Aggregates of `days` that `_cost_from` reads."""
    columns = {"calls": "calls", "unpriced": "unpriced_calls", "cost": "cost_microcents"}
    return {f"{name}_{part}": Coalesce(Sum(column, filter=within(days)), 0) for part, column in columns.items()}


def _cost_from(row: Mapping[str, Any], name: str) -> int | None:
    return known_cost(*(int(row[f"{name}_{part}"]) for part in ("calls", "unpriced", "cost")))


def workspace_days(user: User, days: Days, workspace_ids: list[int]) -> dict[int, CostByDay]:
    return cost_by_key_and_day(WorkspaceDay.objects.visible_to(user), days, "workspace", workspace_ids)


def site_by_day(user: User, days: Days) -> dict[date, SpendOf[date]]:
    """Over every workspace one sees."""
    return spend_by_day(CostTracker().visible_to(user), days)


def workspace_by_day(user: User, workspace_id: int, days: Days) -> dict[date, SpendOf[date]]:
    return spend_by_day(CostTracker().visible_to(user).workspace(workspace_id), days)


def workspace_runs(user: User, workspace_id: int, days: Days) -> int:
    """Runs that began within `days`."""
    rows = WorkspaceDay.objects.visible_to(user).filter(within(days), workspace_id=workspace_id)
    runs: int = rows.aggregate(runs=Coalesce(Sum("runs"), 0))["runs"]
    return runs


def agents_of(user: User, workspace_id: int, spans: Spans) -> list[Spender]:
    """The agents of a workspace that had calls in the spans, dearest this month first.

    At most as many rows as the workspace may have agents.
    """
    rows = (
        UsageDay.objects.visible_to(user)
        .filter(within(spans.all), workspace_id=workspace_id)
        .values("agent", "agent__name", "agent__slug", "agent__active", "agent__archived_at")
        .annotate(
            **sums(within(spans.month)),
            **_costs("compared", spans.compared),
            **_costs("before", spans.before),
            shown=Coalesce(Sum("cost_microcents", filter=within(spans.shown)), 0),
        )
        .order_by()
    )
    spenders = [
        Spender(
            row["agent"],
            row["agent__name"] or row["agent__slug"],
            row["agent__slug"],
            spend_from(row),
            _cost_from(row, "compared"),
            _cost_from(row, "before"),
            row["shown"],
            active=row["agent__active"],
            archived=row["agent__archived_at"] is not None,
        )
        for row in rows
    ]
    return sorted(spenders, key=lambda spender: (-spender.month.cost_microcents, -spender.month.calls, spender.name))


def agent_days(user: User, days: Days, agent_ids: list[int]) -> dict[int, CostByDay]:
    return cost_by_key_and_day(UsageDay.objects.visible_to(user), days, "agent", agent_ids)


def models_of(user: User, workspace_id: int, days: Days, limit: int) -> list[SpendOf[tuple[str, str]]]:
    """By (provider, model), the dearest first."""
    return CostTracker().visible_to(user).workspace(workspace_id).between(days.start, days.end).by_model(most=limit)
