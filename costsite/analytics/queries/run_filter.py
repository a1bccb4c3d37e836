"""Which runs one asks for: what an index leads to, and what is looked for among those."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from django.db import connections
from django.db.models import BooleanField, Exists, F, Func, OuterRef, Q, Value

from agents.models import AgentRunLog, LLMCall
from agents.models.visibility import VisibleQuerySet
from costsite.advice.models import RunReview
from costsite.analytics.periods import Calendar, Days

STATUSES = AgentRunLog.Status


@dataclass(frozen=True)
class RunFilter:
    workspace_id: int | None = None
    agent_id: int | None = None
    days: Days | None = None
    """Of the run's start."""
    status: str = ""
    """One of `STATUSES`; empty: any."""
    begun_from: datetime | None = None
    begun_before: datetime | None = None
    """Instants, beside the days."""
    cost_over: int | None = None
    """Microcents."""
    tokens_over: int | None = None
    """Input and output."""
    tag: str = ""
    thread: str = ""
    provider: str = ""
    model: str = ""
    call_status: str = ""
    """Runs with a call that is all of these three."""
    marked: bool = False
    """By the last review, as unusually high in tokens or cost for their agent."""

    @property
    def sifts(self) -> bool:
        """No index has the runs it wants in their order: they are looked for among those that one has."""
        return (
            self.cost_over is not None
            or self.tokens_over is not None
            or bool(self.tag or self.thread or self.marked or self.of_calls)
        )

    @property
    def of_calls(self) -> dict[str, str]:
        """What one of its calls has to be, by the columns of `LLMCall`."""
        wanted = {"provider": self.provider, "model": self.model, "status": self.call_status}
        return {name: value for name, value in wanted.items() if value}

    def since(self, at: datetime) -> RunFilter:
        return replace(self, begun_from=at)


def led_to(calendar: Calendar, wanted: RunFilter) -> VisibleQuerySet[AgentRunLog]:
    """What an index knows of the runs that are wanted, but for whose they are and since when."""
    rows = AgentRunLog.objects.all()
    if wanted.days is not None:
        rows = rows.filter(started_at__lt=wanted.days.ends_at(calendar.zone))
    if wanted.begun_before is not None:
        rows = rows.filter(started_at__lt=wanted.begun_before)
    return rows.filter(status=wanted.status) if wanted.status else rows


def led_from(calendar: Calendar, wanted: RunFilter) -> datetime | None:
    """Since when; None: since ever."""
    bounds = [wanted.begun_from, wanted.days.starts_at(calendar.zone) if wanted.days is not None else None]
    return max((bound for bound in bounds if bound is not None), default=None)


class _HasTag(Func):
    """Whether a list of tags has one, on SQLite: `_HasTag("tags", Value("night"))`, whose joiner is the middle."""

    template = "EXISTS (SELECT 1 FROM json_each(%(expressions)s))"
    arg_joiner = ") WHERE value = ("
    output_field = BooleanField()


def as_wanted(wanted: RunFilter, database: str) -> Q:
    """Whether a run that an index led to is as wanted in what no index knows."""
    so = Q()
    if wanted.cost_over is not None:
        so &= Q(cost_microcents__gt=wanted.cost_over)
    if wanted.tokens_over is not None:
        so &= Q(input_tokens__gt=wanted.tokens_over - F("output_tokens"))
    if wanted.thread:
        so &= Q(thread_id=wanted.thread)
    if wanted.of_calls:
        called = LLMCall.objects.filter(workspace_id=OuterRef("workspace_id"), run_id=OuterRef("run_id"))
        so &= Q(Exists(called.filter(**wanted.of_calls)))
    if wanted.marked:
        so &= Q(Exists(RunReview.objects.filter(run=OuterRef("pk"))))
    if not wanted.tag:
        return so
    if connections[database].vendor == "postgresql":
        return so & Q(tags__contains=[wanted.tag])
    return so & Q(_HasTag("tags", Value(wanted.tag)))
