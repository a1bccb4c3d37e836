"""What was spent, by whom, between when and when: the one answer, from the rollups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any, Generic, Self, TypeVar

from django.db.models import QuerySet

from agents.clock import month_bounds, month_of
from agents.models import Agent, AgentDay, LedgerState, ModelDay, UsageDay, Workspace, WorkspaceDay
from agents.models.sums import columns_of, spend_from, sums
from agents.models.visibility import User
from agents.spend import Spend

Key = TypeVar("Key")


@dataclass(frozen=True)
class SpendOf(Spend, Generic[Key]):
    """What was spent by one of a list: an agent, a workspace, a model as (provider, name), a day."""

    of: Key = field(kw_only=True)


@dataclass(frozen=True)
class CostTracker:
    """Spend by agent, workspace, site, model or day, over any period.

    >>> from agents.cost_tracker import CostTracker
    >>> CostTracker().site().this_month().total().estimated_cost_cents
    Decimal('0')
    >>> [(spend.of, spend.estimated_cost_cents) for spend in CostTracker().month("2026-11").by_model()]
    []

    Say what (`agent`, `workspace`, `site`), when (`month`, `this_month`, `today`, `between`; otherwise all time) and
    for whose eyes (`visible_to`), in any order: each returns a new tracker. Then ask: `total`, or `by_agent`,
    `by_workspace`, `by_model`, `by_day`. A period is [start, end) of local days in the ledger's time zone, and a call
    belongs to the day it began. Daily sums are read, never the calls: an answer takes milliseconds at any traffic.
    """

    _agent: Agent | int | None = None
    _workspace: Workspace | int | None = None
    _start: date | None = None
    _end: date | None = None
    _reader: User | None = None

    # ── of what ──────────────────────────────────────────────────────────────────────────────────────────────────

    def agent(self, agent: Agent | int) -> Self:
        """Of this agent, or of the one with this primary key."""
        return replace(self, _agent=agent, _workspace=None)

    def workspace(self, workspace: Workspace | int) -> Self:
        """Of this workspace, or of the one with this primary key."""
        return replace(self, _workspace=workspace, _agent=None)

    def site(self) -> Self:
        """Everything, the default."""
        return replace(self, _agent=None, _workspace=None)

    def visible_to(self, user: User) -> Self:
        """Only what `user` may see."""
        return replace(self, _reader=user)

    # ── when ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def between(self, start: date, end: date) -> Self:
        """From `start` to the day before `end`. ValueError when it ends before it begins."""
        if end < start:
            raise ValueError(f"The period ends on {end}, before it begins on {start}: swap the two.")
        return replace(self, _start=start, _end=end)

    def month(self, month: str) -> Self:
        """A calendar month, as '2026-11'. ValueError on anything else."""
        return self.between(*month_bounds(month))

    def this_month(self) -> Self:
        return self.month(month_of(LedgerState.current().today()))

    def today(self) -> Self:
        today = LedgerState.current().today()
        return self.between(today, today + timedelta(days=1))

    # ── the answers ──────────────────────────────────────────────────────────────────────────────────────────────

    def total(self) -> Spend:
        return spend_from(self._rows().aggregate(**sums()))

    def by_agent(self) -> list[SpendOf[Agent]]:
        """Agents that made calls in the period, the dearest first."""
        return self._grouped(self._in_reach(AgentDay.objects.all()), "agent_id", Agent.objects.all())

    def by_workspace(self) -> list[SpendOf[Workspace]]:
        """Workspaces with calls in the period, the dearest first."""
        return self._grouped(self._rows(), "workspace_id", Workspace.objects.all())

    def by_model(self, *, most: int | None = None) -> list[SpendOf[tuple[str, str]]]:
        """(provider, model) with calls in the period, the dearest first, at most `most` of them."""
        days = self._in_reach(ModelDay.objects.all() if self._agent is None else UsageDay.objects.all())
        rows = days.values("provider", "model").annotate(**sums()).filter(calls_sum__gt=0)
        dearest = rows.order_by("-cost_microcents_sum", "-calls_sum", "provider", "model")[:most]
        return [_spend_of((row["provider"], row["model"]), row) for row in dearest]

    def by_day(self) -> list[SpendOf[date]]:
        """Local days with calls, in their order. A day without calls is left out."""
        rows = self._rows().values("day").annotate(**sums()).filter(calls_sum__gt=0).order_by("day")
        return [_spend_of(row["day"], row) for row in rows]

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _rows(self) -> QuerySet[Any]:
        """The fewest that hold the answer: one for each day and workspace, or agent where one is asked for."""
        return self._in_reach(WorkspaceDay.objects.all() if self._agent is None else AgentDay.objects.all())

    def _in_reach(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        if self._reader is not None:
            rows = rows.visible_to(self._reader)  # type: ignore[attr-defined]  # each table has a VisibleQuerySet
        if self._agent is not None:
            rows = rows.filter(agent=self._agent)
        if self._workspace is not None:
            rows = rows.filter(workspace=self._workspace)
        if self._start is not None:
            rows = rows.filter(day__gte=self._start, day__lt=self._end)
        return rows.order_by()

    def _grouped(self, rows: QuerySet[Any], column: str, subjects: QuerySet[Any]) -> list[SpendOf[Any]]:
        found = rows.values(column).annotate(**sums()).filter(calls_sum__gt=0)
        by_key = {row[column]: row for row in found}
        known = subjects.in_bulk(by_key)
        return _dearest_first(_spend_of(known[key], row) for key, row in by_key.items())


def _spend_of(of: Key, row: Mapping[str, Any]) -> SpendOf[Key]:
    return SpendOf(**columns_of(row), of=of)


def _dearest_first(spends: Iterable[SpendOf[Key]]) -> list[SpendOf[Key]]:
    return sorted(spends, key=lambda spend: (-spend.cost_microcents, -spend.calls, str(spend.of)))
