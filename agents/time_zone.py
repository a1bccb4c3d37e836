"""Moving every day of the ledger to another time zone, while it is in use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from django.db.models import QuerySet

from agents.clock import Days, days_of
from agents.models import AgentRunLog, LedgerState, LLMCall, ReportedRefusal
from agents.rollups import Postings, place_of, sums_of_stored
from agents.signals import days_moved
from agents.storage import storage
from agents.write_lock import writing

AT_ONCE: Final = 500
"""Rows looked through in one transaction: well under 200 ms, in which others wait."""


@dataclass(frozen=True)
class Moved:
    """What one transaction took to other days, for those who keep counters."""

    workspace_id: int
    spent: dict[tuple[int, date], int] = field(default_factory=lambda: defaultdict(int))
    """Microcents by agent id and local day, to be added: off the day a call leaves, on the one it comes to."""


def change_time_zone(zone_name: str) -> Iterator[int]:
    """Put `zone_name` in force, then move what lies on another day under it; yields the rows moved, step by step.

    The zone changes first and alone, so that whatever is recorded meanwhile is right already. Each step moves rows and
    their sums together: totals hold at every moment, and what was interrupted is finished by starting again.
    """
    days = days_of(zone_name)
    with writing(alone=True):
        state = LedgerState.current()
        if state.time_zone != zone_name and state.retained_from is not None:
            # Of the first day that is kept, a part may be gone under the new zone: it must not be rebuilt.
            state.retained_from += timedelta(days=1)
        state.time_zone = zone_name
        state.save()
    yield from _move_calls(days)
    yield from _move_runs(days)
    for batch in _steps(ReportedRefusal.objects.only("id", "refused_at", "day")):
        moved = [row for row in batch if days.of(row.refused_at) != row.day]
        for row in moved:
            row.day = days.of(row.refused_at)
        with writing():
            ReportedRefusal.objects.bulk_update(moved, ["day"])
        yield len(moved)


def _move_calls(days: Days) -> Iterator[int]:
    for batch in _steps(LLMCall.objects.only("id", "started_at", "day")):
        ids = [row.pk for row in batch if days.of(row.started_at) != row.day]
        if not ids:
            yield 0
            continue
        with writing(alone=True):
            postings: dict[int, Postings] = {}
            moved: dict[int, Moved] = {}
            calls = list(LLMCall.objects.filter(pk__in=ids))  # again: a measured report may have come meanwhile
            for call in calls:
                of_workspace = postings.setdefault(call.workspace_id, Postings(call.workspace_id))
                spent = moved.setdefault(call.workspace_id, Moved(call.workspace_id)).spent
                of_workspace.take_out(place_of(call), sums_of_stored(call))
                spent[call.agent_id, call.day] -= call.cost_microcents or 0
                call.day = days.of(call.started_at)
                of_workspace.add(place_of(call), sums_of_stored(call))
                spent[call.agent_id, call.day] += call.cost_microcents or 0
            LLMCall.objects.bulk_update(calls, ["day"])
            for _, of_workspace in sorted(postings.items()):
                of_workspace.post_rollups(storage())
            for workspace_id in sorted(moved):
                days_moved.send(Moved, moved=moved[workspace_id])
        yield len(ids)


def _move_runs(days: Days) -> Iterator[int]:
    for batch in _steps(AgentRunLog.objects.only("id", "started_at", "day")):
        ids = [row.pk for row in batch if days.of(row.started_at) != row.day]
        if not ids:
            yield 0
            continue
        with writing(alone=True):
            postings: dict[int, Postings] = {}
            runs = list(AgentRunLog.objects.filter(pk__in=ids).only("id", "workspace_id", "started_at", "day"))
            for run in runs:
                of_workspace = postings.setdefault(run.workspace_id, Postings(run.workspace_id))
                of_workspace.run_leaves(run.day)
                run.day = days.of(run.started_at)
                of_workspace.run_begins(run.day)
            AgentRunLog.objects.bulk_update(runs, ["day"])
            for _, of_workspace in sorted(postings.items()):
                of_workspace.post_rollups(storage())
        yield len(ids)


def _steps(rows: QuerySet[Any]) -> Iterator[list[Any]]:
    """All rows by their number, a bounded count at a time, with no cursor held open between."""
    last = 0
    while batch := list(rows.filter(pk__gt=last).order_by("pk")[:AT_ONCE]):
        yield batch
        last = batch[-1].pk
