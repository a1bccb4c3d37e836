"""Workspaces: what each spent, this month, on the same days of the last, and in the range shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Sum

from agents.cost_tracker import CostTracker, SpendOf
from agents.models import Agent, TagDay, WorkspaceTagDay
from agents.spend import NOTHING, Spend, known_cost
from costsite.analytics.periods import Days, months_to_read
from costsite.analytics.queries.agents_by_span import Span, agents_by_span
from costsite.analytics.queries.plain import plain_rows
from costsite.analytics.queries.rollups import Spans, spend_by_day, spend_of, within

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


_FACTS = ("id", "name", "slug", "active", "archived_at")


def usage_of_workspace(user: User, workspace_id: int, spans: Spans, wanted: Mapping[str, object]) -> WorkspaceUsage:
    """At most as many rows as the workspace has agents, times the models of each.

    `wanted`: of the range shown, what columns of `UsageDay` have to be.
    """
    months = months_to_read(spans.shown, spans.tomorrow)
    rows = agents_by_span(
        Agent.objects.visible_to(user).filter(workspace_id=workspace_id),
        _FACTS,
        (
            Span(spans.month),
            Span(spans.compared),
            Span(spans.before),
            Span(spans.shown, ("calls",), besides=(spans.recent, spans.shown_before or spans.shown)),
            Span(spans.shown, wanted=wanted, by=("provider", "model"), months=months),
        ),
    )
    by_agent: dict[int, list[Sequence[Any]]] = {}
    by_model: dict[tuple[str, str], Spend] = {}
    for row in rows:
        by_agent.setdefault(row[0], []).append(row)
        provider, model, *sums = row[-5:]
        if sums[0]:
            by_model[provider, model] = by_model.get((provider, model), NOTHING) + spend_of(*sums)
    agents = sorted(
        map(_spender, by_agent.values()),
        key=lambda spender: (-spender.month.cost_microcents, -spender.month.calls, spender.name, spender.slug),
    )
    models = sorted(by_model.items(), key=lambda item: (-item[1].cost_microcents, -item[1].calls, item[0]))
    return WorkspaceUsage(tuple(agents), tuple(models), Spend.sum_of(by_model.values()))


def _spender(rows: Sequence[Sequence[Any]]) -> Spender:
    """Of one agent's rows: they differ in what was shown alone."""
    pk, name, slug, active, archived_at, *sums = rows[0]
    month, compared, before = sums[:3], sums[3:6], sums[6:9]
    return Spender(
        id=pk,
        name=name or slug,
        slug=slug,
        month=spend_of(*month),
        compared=known_cost(*compared),
        before=known_cost(*before),
        shown=sum(row[-1] for row in rows),
        active=bool(active),
        archived=archived_at is not None,
    )


@dataclass(frozen=True)
class TagSpend:
    tag: str
    """Empty: calls without a tag."""
    spend: Spend


def tags_of(user: User, workspace_id: int, days: Days, most: int, *, agent_id: int | None) -> list[TagSpend]:
    """The dearest tags, one more than `most` when there are more; of one agent where one is named.

    A call with two tags is under both. Sums by tag know neither models nor providers nor states of calls.
    """
    rows: Any = WorkspaceTagDay.objects if agent_id is None else TagDay.objects.filter(agent_id=agent_id)
    rows = rows.visible_to(user).filter(within(days), workspace_id=workspace_id).order_by().values_list("tag")
    summed = rows.annotate(made=Sum("calls"), unpriced=Sum("unpriced_calls"), cost=Sum("cost_microcents"))
    dearest = plain_rows(summed.order_by("-cost", "-made", "tag")[: most + 1])
    return [TagSpend(tag, spend_of(*counted)) for tag, *counted in dearest]
