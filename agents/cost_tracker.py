"""What was spent, by whom, between when and when: the one answer, from the rollups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Generic, Self, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import QuerySet, Sum
from django.utils import timezone

from agents.clock import days_of, month_bounds, month_of
from agents.models import Agent, LedgerState, UsageDay, Workspace, WorkspaceDay
from agents.models.sums import SUM_COLUMNS, cents

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Spend(Generic[Key]):
    """Sums over the calls that began in a period. Tokens are inclusive totals, then their subsets."""

    of: Key
    """What these are the sums of: an agent, a workspace, a model's name, a day; None for a total."""
    calls: int = 0
    failed_calls: int = 0
    estimated_calls: int = 0
    unpriced_calls: int = 0
    """Calls whose cost nobody knows; `cost_microcents` is the sum of the others."""
    local_cache_hits: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    cache_write_unknown_tokens: int = 0
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    cost_microcents: int = 0
    saved_microcents: int = 0
    """What caches spared; negative when writing them cost more than reading them brought back."""

    @property
    def cost_cents(self) -> Decimal | None:
        """Cents, exact. None when calls were made and none of them has a price: unknown is never 0."""
        if self.calls and self.unpriced_calls == self.calls:
            return None
        return cents(self.cost_microcents)

    @property
    def saved_cents(self) -> Decimal:
        return cents(self.saved_microcents)


@dataclass(frozen=True)
class CostTracker:
    """Spend by agent, workspace, site, model or day, over any period.

    >>> from agents.cost_tracker import CostTracker
    >>> CostTracker().site().this_month().total().cost_cents
    Decimal('0')
    >>> [(spend.of, spend.cost_cents) for spend in CostTracker().month("2026-11").by_model()]
    []

    Say what (`agent`, `workspace`, `site`), when (`month`, `this_month`, `today`, `between`; otherwise all time) and
    for whose eyes (`visible_to`), in any order: each returns a new tracker. Then ask: `total`, or `by_agent`,
    `by_workspace`, `by_model`, `by_day`. A period is [start, end) of local days in the ledger's time zone, and a call
    belongs to the day it began. Daily sums are read, never the calls: an answer takes milliseconds at any traffic.
    """

    _agent: Agent | None = None
    _workspace: Workspace | None = None
    _start: date | None = None
    _end: date | None = None
    _reader: AbstractBaseUser | AnonymousUser | None = None

    # ── of what ──────────────────────────────────────────────────────────────────────────────────────────────────

    def agent(self, agent: Agent) -> Self:
        return replace(self, _agent=agent, _workspace=None)

    def workspace(self, workspace: Workspace) -> Self:
        return replace(self, _workspace=workspace, _agent=None)

    def site(self) -> Self:
        """Everything, the default."""
        return replace(self, _agent=None, _workspace=None)

    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
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
        return self.month(month_of(_today()))

    def today(self) -> Self:
        today = _today()
        return self.between(today, today + timedelta(days=1))

    # ── the answers ──────────────────────────────────────────────────────────────────────────────────────────────

    def total(self) -> Spend[None]:
        return _spend(None, self._rows().aggregate(**_sums()))

    def by_agent(self) -> list[Spend[Agent]]:
        """Agents that made calls in the period, the dearest first."""
        return self._grouped(self._usage_days(), "agent_id", Agent.objects.all())

    def by_workspace(self) -> list[Spend[Workspace]]:
        """Workspaces with calls in the period, the dearest first."""
        return self._grouped(self._rows(), "workspace_id", Workspace.objects.all())

    def by_model(self) -> list[Spend[tuple[str, str]]]:
        """(provider, model) with calls in the period, the dearest first."""
        rows = self._usage_days().values("provider", "model").annotate(**_sums())
        return _dearest_first(_spend((row["provider"], row["model"]), row) for row in rows if row["calls_sum"])

    def by_day(self) -> list[Spend[date]]:
        """Local days with calls, in their order. A day without calls is left out."""
        rows = self._rows().values("day").annotate(**_sums()).order_by("day")
        return [_spend(row["day"], row) for row in rows if row["calls_sum"]]

    # ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _rows(self) -> QuerySet[Any]:
        """The fewest rows that hold the answer: one for each workspace and day, unless an agent is asked for."""
        return self._usage_days() if self._agent is not None else self._in_reach(WorkspaceDay.objects.all())

    def _usage_days(self) -> QuerySet[Any]:
        rows = self._in_reach(UsageDay.objects.all())
        return rows if self._agent is None else rows.filter(agent=self._agent)

    def _in_reach(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        if self._reader is not None:
            rows = rows.visible_to(self._reader)  # type: ignore[attr-defined]
        if self._workspace is not None:
            rows = rows.filter(workspace=self._workspace)
        if self._start is not None:
            rows = rows.filter(day__gte=self._start, day__lt=self._end)
        return rows.order_by()

    def _grouped(self, rows: QuerySet[Any], column: str, subjects: QuerySet[Any]) -> list[Spend[Any]]:
        sums = {row[column]: row for row in rows.values(column).annotate(**_sums()) if row["calls_sum"]}
        known = subjects.in_bulk(sums)
        return _dearest_first(_spend(known[key], row) for key, row in sums.items())


def _today() -> date:
    return days_of(LedgerState.current().time_zone).of(timezone.now())


def _sums() -> dict[str, Sum]:
    return {f"{column}_sum": Sum(column, default=0) for column in SUM_COLUMNS}


def _spend(of: Key, row: dict[str, Any]) -> Spend[Key]:
    # int(): PostgreSQL adds big integers up as decimals.
    return Spend(of, **{column: int(row[f"{column}_sum"]) for column in SUM_COLUMNS})


def _dearest_first(spends: Iterable[Spend[Key]]) -> list[Spend[Key]]:
    return sorted(spends, key=lambda spend: (-spend.cost_microcents, str(spend.of)))
