"""The nightly review: what is usual for each agent, every day that changed, and the advice that follows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from typing import Final

from django.db.models import Model
from django.utils import timezone

from agents.models import Agent, LedgerState, Workspace, WorkspaceDay
from agents.write_lock import only_job, writing
from costsite.advice.finding.find import find_advice
from costsite.advice.models import (
    AgentUsualRun,
    ReviewedDay,
    ReviewState,
    RunReview,
    ScannedDay,
    TaskDay,
    UsageSlice,
)
from costsite.advice.scan import scan_day
from costsite.advice.usual_runs import make_usual_run

JOB: Final = "review_runs"
DAYS_REVIEWED: Final = 35
"""Days back that are looked at: a month, and what comes late to it."""
DAYS_KEPT: Final = 100
"""Sums by day are kept so long: what was done is measured against the month before it."""
READ_BY_DAY: Final[tuple[type[Model], ...]] = (ReviewedDay, RunReview, ScannedDay, TaskDay, UsageSlice)
NIGHT_HOUR: Final = 3
"""Local hour from which yesterday is reviewed: its last calls have come, and few agents run."""


def sweep(seconds: float = 60.0) -> str:
    """Review what is due, for at most `seconds`; the next sweep goes on. One read when nothing is due."""
    days = LedgerState.current().days()
    now = timezone.now()
    today = days.of(now)
    if now.astimezone(days.zone).hour < NIGHT_HOUR:
        today -= timedelta(days=1)
    yesterday = today - timedelta(days=1)
    state, _ = ReviewState.objects.get_or_create(pk=1)
    if state.through is not None and state.through >= yesterday:
        return "nothing due"
    until = time.monotonic() + seconds
    with only_job(JOB):
        return review(yesterday, is_over=lambda: time.monotonic() > until)


def review(
    through: date,
    *,
    workspace: Workspace | None = None,
    is_over: Callable[[], bool] = lambda: False,
    on_day: Callable[[Workspace, date, int], object] = lambda *_: None,
) -> str:
    """Everything up to the day `through`, included. Safe to break off and to repeat: what is done is not done again.

    Calls `on_day` with the workspace, the day and its calls after each day that was read.
    """
    _begin(through)
    workspaces = [workspace] if workspace else list(Workspace.objects.order_by("pk"))
    before = LedgerState.current().days().start(through + timedelta(days=1))
    read = 0
    for one in workspaces:
        for agent in _agents_due(one, through, before):
            make_usual_run(agent, through, before)
            if is_over():
                return "what is usual was being found; more is left"
        for day in _days_due(one, through):
            calls = scan_day(one.pk, day)
            read += calls
            on_day(one, day, calls)
            if is_over():
                return f"{read:,} calls reviewed; more are left"
    found = sum(find_advice(one, through) for one in workspaces)
    if workspace is None:
        ReviewState.objects.update_or_create(pk=1, defaults={"through": through})
    return f"{read:,} calls reviewed; {found} pieces of advice"


def _begin(through: date) -> None:
    """Forget what was read of days that are other days now, and let go of sums that nothing looks at any more."""
    zone = LedgerState.current().time_zone
    state, _ = ReviewState.objects.get_or_create(pk=1, defaults={"time_zone": zone})
    old = through - timedelta(days=DAYS_KEPT)
    with writing():
        if state.time_zone != zone:
            for table in READ_BY_DAY:
                table._default_manager.all().delete()
            ReviewState.objects.filter(pk=1).update(time_zone=zone)
        for table in READ_BY_DAY:
            if table is not RunReview:  # a mark stays as long as its run
                table._default_manager.filter(day__lt=old).delete()


def _agents_due(workspace: Workspace, through: date, before: datetime) -> list[Agent]:
    """Agents that ran lately and whose usual run is not of this day yet."""
    done = AgentUsualRun.objects.filter(workspace=workspace, made_for__gte=through).values("agent")
    ran = Agent.objects.filter(workspace=workspace, last_run_at__gte=before - timedelta(days=DAYS_REVIEWED))
    return list(ran.exclude(pk__in=done).order_by("pk"))


def _days_due(workspace: Workspace, through: date) -> Iterator[date]:
    """Days whose figures are not those they were read with, the newest first."""
    since = through - timedelta(days=DAYS_REVIEWED - 1)
    columns = ("runs", "calls", "cost_microcents")
    of_days = {"workspace": workspace, "day__gte": since, "day__lte": through}
    now = {day: figures for day, *figures in WorkspaceDay.objects.filter(**of_days).values_list("day", *columns)}
    seen = {day: figures for day, *figures in ScannedDay.objects.filter(**of_days).values_list("day", *columns)}
    yield from sorted((day for day, figures in now.items() if seen.get(day) != figures), reverse=True)
