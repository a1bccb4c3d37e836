"""Letting go of old calls: whole days, in small steps, behind a horizon that is stored before anything is deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet, Sum

from agents import server_clock
from agents.models import AgentRunLog, LedgerState, LLMCall, ReportedRefusal, Workspace, WorkspaceDay
from agents.models.ledger_state import LEAST_RETENTION_DAYS
from agents.write_lock import only_job, writing

AT_ONCE: Final = 500
"""Rows deleted in one transaction: well under 200 ms, in which others wait."""
JOB: Final = "retention"
"""The name under which the tick and the command keep out of each other's way."""


def horizon(today: date, retention_days: int) -> date:
    """The first day that is kept. ValueError when that is less than can be compared with the year before."""
    if retention_days < LEAST_RETENTION_DAYS:
        raise ValueError(
            f"COSTSITE_RETENTION_DAYS is {retention_days}; set it to {LEAST_RETENTION_DAYS} or more, or to 0."
        )
    return today - timedelta(days=retention_days)


def first_kept_day() -> date | None:
    """The first day that COSTSITE_RETENTION_DAYS keeps, as of now; None when it is 0 and everything is kept.

    ValueError, with the mend, when the setting is less than `horizon` takes.
    """
    if not settings.COSTSITE_RETENTION_DAYS:
        return None
    return horizon(LedgerState.current().today(), settings.COSTSITE_RETENTION_DAYS)


def sweep(seconds: float = 60.0) -> str:
    """Delete what is older than COSTSITE_RETENTION_DAYS, for at most `seconds`; the next sweep goes on.

    Nothing while the server's clock is doubted: what it calls old may be of yesterday. AlreadyRunningError while
    somebody runs `manage.py retention --delete`. Cheap when nothing is due.
    """
    first_kept = first_kept_day()
    if first_kept is None:
        return "all calls are kept"
    server_clock.follow()
    if problem := server_clock.doubt(LedgerState.current()):
        return problem
    # A question per workspace, because days are indexed by workspace.
    old = (LLMCall.objects.filter(workspace=workspace, day__lt=first_kept) for workspace in Workspace.objects.all())
    if not any(calls.exists() for calls in old):
        return "nothing due"
    until = time.monotonic() + seconds
    deleted = 0
    with only_job(JOB):
        for rows in let_go(first_kept):
            deleted += rows
            if time.monotonic() > until:
                return f"{deleted} rows from before {first_kept} deleted, more are left"
    return f"{deleted} rows from before {first_kept} deleted"


def calls_before(first_kept: date) -> int:
    """How many calls would go, by the rollups: nothing is counted one by one."""
    state = LedgerState.current()
    days = WorkspaceDay.objects.filter(day__lt=first_kept)
    if state.retained_from is not None:
        days = days.filter(day__gte=state.retained_from)
    return int(days.aggregate(calls=Sum("calls", default=0))["calls"])


def let_go(first_kept: date) -> Iterator[int]:
    """Delete calls, refusals and runs of days before `first_kept`; yields the rows deleted, step by step.

    The horizon is stored first and alone: from then on nothing of those days is accepted, rebuilt or repriced, and the
    rollups, which stay, are their only truth. It never moves back. A run goes once the last of its calls has gone.
    """
    with writing(alone=True):
        state = LedgerState.current()
        if state.retained_from is None or state.retained_from < first_kept:
            state.retained_from = first_kept
            state.save()
    first_kept = state.retained_from
    for workspace in Workspace.objects.order_by("pk"):  # days are indexed by workspace
        yield from _delete(LLMCall.objects.filter(workspace=workspace, day__lt=first_kept))
        yield from _delete(ReportedRefusal.objects.filter(workspace=workspace, day__lt=first_kept))
    calls = LLMCall.objects.filter(workspace_id=OuterRef("workspace_id"), run_id=OuterRef("run_id"))
    # By the start, which is indexed; a run without a call left is found by its own day.
    old = AgentRunLog.objects.filter(started_at__lt=state.days().start(first_kept))
    yield from _delete(old.filter(~Exists(calls)))


def _delete(rows: QuerySet[Any]) -> Iterator[int]:
    while ids := list(rows.values_list("pk", flat=True)[:AT_ONCE]):
        # Alone, and asked again: a late call may have come to a run that had none left.
        with writing(alone=True):
            rows.filter(pk__in=ids).delete()
        yield len(ids)
