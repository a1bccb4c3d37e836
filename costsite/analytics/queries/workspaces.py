"""Workspaces: what each spent, this month, on the same days of the last, and in the range shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Q, Sum
from django.db.models.functions import Coalesce

from agents.cost_tracker import CostTracker, SpendOf
from agents.models import TagDay, UsageDay
from agents.spend import NOTHING, Spend
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


def _costs(name: str, days: Days) -> dict[str, Any]:
    """Aggregates of `days` that `_spend_of` reads."""
    return _sums_where(name, within(days))


def _sums_where(name: str, where: Q) -> dict[str, Any]:
    columns = {"calls": "calls", "unpriced": "unpriced_calls", "cost": "cost_microcents"}
    return {f"{name}_{part}": Coalesce(Sum(column, filter=where), 0) for part, column in columns.items()}


def site_by_day(user: User, days: Days) -> dict[date, SpendOf[date]]:
    """Over every workspace one sees."""
    return spend_by_day(CostTracker().visible_to(user), days)


def workspace_by_day(user: User, workspace_id: int, days: Days) -> dict[date, SpendOf[date]]:
    return spend_by_day(CostTracker().visible_to(user).workspace(workspace_id), days)


@dataclass(frozen=True)
class WorkspaceUsage:
    """Who of a workspace spent, on what."""

    agents: tuple[Spender, ...]
    """Those that had calls in the spans, the dearest this month first."""
    models: tuple[tuple[tuple[str, str], Spend], ...]
    """By (provider, model) in the range shown, the dearest first."""
    shown: Spend


def usage_of_workspace(user: User, workspace_id: int, spans: Spans, wanted: Q) -> WorkspaceUsage:
    """At most as many rows as the workspace has agents, times the models of each. `wanted`: of the range shown."""
    shown_where = within(spans.shown) & wanted
    rows: Any = (
        UsageDay.objects.visible_to(user)
        .filter(within(spans.all), workspace_id=workspace_id)
        .values("agent", "agent__name", "agent__slug", "agent__active", "agent__archived_at", "provider", "model")
        .annotate(
            **_costs("month", spans.month),
            **_costs("compared", spans.compared),
            **_costs("before", spans.before),
            **_sums_where("shown", shown_where),
        )
        .order_by()
    )
    by_agent: dict[int, list[Any]] = {}
    by_model: dict[tuple[str, str], Spend] = {}
    for row in rows:
        by_agent.setdefault(row["agent"], []).append(row)
        spend = _spend_of([row], "shown")
        if spend.calls:
            key = (row["provider"], row["model"])
            by_model[key] = by_model.get(key, NOTHING) + spend
    agents = [_spender(pk, found) for pk, found in by_agent.items()]
    agents.sort(key=lambda spender: (-spender.month.cost_microcents, -spender.month.calls, spender.name))
    models = sorted(by_model.items(), key=lambda item: (-item[1].cost_microcents, -item[1].calls, item[0]))
    return WorkspaceUsage(tuple(agents), tuple(models), sum(by_model.values(), NOTHING))


def _spender(pk: int, rows: list[Any]) -> Spender:
    first = rows[0]
    return Spender(
        id=pk,
        name=first["agent__name"] or first["agent__slug"],
        slug=first["agent__slug"],
        month=_spend_of(rows, "month"),
        compared=_spend_of(rows, "compared").cost,
        before=_spend_of(rows, "before").cost,
        shown=_spend_of(rows, "shown").cost_microcents,
        active=first["agent__active"],
        archived=first["agent__archived_at"] is not None,
    )


def _spend_of(rows: list[Any], name: str) -> Spend:
    """Calls and money of several rows of `_costs`."""
    calls, unpriced, cost = (sum(int(row[f"{name}_{part}"]) for row in rows) for part in ("calls", "unpriced", "cost"))
    return Spend(calls=calls, unpriced_calls=unpriced, cost_microcents=cost)


@dataclass(frozen=True)
class TagSpend:
    tag: str
    """Empty: calls without a tag."""
    spend: Spend


def tags_of(user: User, workspace_id: int, days: Days, most: int, *, agent_id: int | None) -> list[TagSpend]:
    """The dearest tags, one more than `most` when there are more; of one agent where one is named.

    A call with two tags is under both. Sums by tag know neither models nor providers nor states of calls.
    """
    of_agent = {} if agent_id is None else {"agent_id": agent_id}
    rows: Any = (
        TagDay.objects.visible_to(user)
        .filter(within(days), workspace_id=workspace_id, **of_agent)
        .values("tag")
        .annotate(made=Sum("calls"), unpriced=Sum("unpriced_calls"), spent=Sum("cost_microcents"))
        .filter(made__gt=0)
        .order_by("-spent", "-made", "tag")[: most + 1]
    )
    return [
        TagSpend(
            row["tag"],
            Spend(calls=int(row["made"]), unpriced_calls=int(row["unpriced"]), cost_microcents=int(row["spent"])),
        )
        for row in rows
    ]


def agent_days(user: User, days: Days, agent_ids: list[int]) -> dict[int, CostByDay]:
    return cost_by_key_and_day(UsageDay.objects.visible_to(user), days, "agent", agent_ids)
