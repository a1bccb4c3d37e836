"""What a merged agent did becomes the other's: runs, then calls day by day with the sums they are in, then the rest.

Runs go first, the newest before the older: a call is booked to the agent of its run, so once these have moved, nothing
new comes to the source, and its calls are a set that only shrinks. Each step finds what is left without a lock, reads
it once more inside one short transaction, and moves it there with its sums, its counters and the figures of the merge
itself. So it may be stopped anywhere and begun again, beside any traffic, and at every moment calls, rollups and
counters agree. Nothing is kept of how far it came: what is left is what still names the source.

Days whose calls retention has let go of have their sums alone; these move as they are.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from django.db.models import F
from django.utils import timezone

from agents.clock import month_of
from agents.figures import many
from agents.models import (
    Agent,
    AgentDay,
    AgentMerge,
    AgentRunLog,
    CostCorrection,
    LLMCall,
    ReportedRefusal,
    TagDay,
    TagMonth,
    UsageDay,
    UsageMonth,
)
from agents.models.sums import SUM_COLUMNS
from agents.rollups import (
    AGENT_KEY,
    TAG_KEY,
    TAG_MONTH_KEY,
    USAGE_KEY,
    USAGE_MONTH_KEY,
    Postings,
    negative,
    place_of,
    sums_of_stored,
)
from agents.signals import merge_settling, merged_calls_moved
from agents.storage import Additions, Row, storage
from agents.write_lock import AlreadyRunningError, only_job, writing
from langchain_plugin.wire import TokenCounts

log = logging.getLogger(__name__)

JOB: Final = "merge_agents"
RUNS_AT_ONCE: Final = 250
CALLS_AT_ONCE: Final = 250
"""Per transaction: what keeps everybody who waits behind it under 200 ms."""
CALLS_PER_PAGE: Final = 5_000
"""Whose ids are read at a time, without a lock: finding the source's calls takes reading the day of its workspace."""

_READ: Final = (
    "workspace_id", "agent_id", "run_id", "day", "provider", "model", "status", "effort", "tags", *TokenCounts._fields,
    "usage_basis", "served_from_local_cache", "cost_microcents", "saved_microcents",
)  # fmt: skip


@dataclass
class MovedCalls:
    """What one transaction took to the other agent, for those who keep counters."""

    workspace_id: int
    source_id: int
    target_id: int
    spent: dict[tuple[int, date], int] = field(default_factory=lambda: defaultdict(int))
    """Microcents by agent id and local day, to be added: off the source, on the target."""
    calls: int = 0
    unpriced_calls: int = 0

    def take(self, day: date, cost: int, *, calls: int = 1, unpriced_calls: int = 0) -> None:
        self.spent[self.source_id, day] -= cost
        self.spent[self.target_id, day] += cost
        self.calls += calls
        self.unpriced_calls += unpriced_calls


def sweep(seconds: float = 60.0) -> str:
    """Move what merges left to be moved, for at most `seconds`; the next sweep goes on. One read when nothing is due.

    AlreadyRunningError while another process is at it.
    """
    waiting = AgentMerge.objects.filter(finished_at=None).order_by("pk")
    if not waiting.exists():
        return "nothing due"
    until = time.monotonic() + seconds
    rows = finished = last = 0
    left = ""
    with only_job(JOB):
        while (merge := waiting.filter(pk__gt=last).first()) is not None:
            last = merge.pk
            try:
                for moved in move(merge):
                    rows += moved
                    if time.monotonic() > until:
                        return f"{many(rows, 'row')} moved, {many(finished, 'merge')} finished; more is left"
            except AlreadyRunningError as busy:
                left = f"; merge #{merge.pk} waits: {busy}"
            except Exception:
                # One that fails keeps the others from nothing.
                log.exception("Merge #%s failed; the next tick goes on with it.", merge.pk)
                left = f"; merge #{merge.pk} failed"
            else:
                finished += 1
    return f"{many(rows, 'row')} moved, {many(finished, 'merge')} finished{left}"


def move(merge: AgentMerge) -> Iterator[int]:
    """Move what is left of a merge and finish it; yields the rows moved after each transaction."""
    while True:
        yield from _move_runs(merge)
        yield from _move_calls(merge)
        yield from _move_corrections(merge)
        merge_settling.send(AgentMerge, merge=AgentMerge.objects.get(pk=merge.pk))
        yield 0
        if _finish(merge):
            return


def _finish(merge: AgentMerge) -> bool:
    """Say that nothing is left; False when something is, such as a day that another time zone made meanwhile."""
    with writing(alone=True):
        left = (AgentRunLog, UsageDay, AgentDay)
        if any(table._default_manager.filter(agent=merge.source_id).exists() for table in left):
            return False
        AgentMerge.objects.filter(pk=merge.pk, finished_at=None).update(finished_at=timezone.now())
        return True


def _target_of(merge: AgentMerge) -> int:
    """Whose the source is now: the target may have been merged itself since."""
    return Agent.objects.values_list("merged_into_id", flat=True).get(pk=merge.source_id) or merge.target_id


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _move_runs(merge: AgentMerge) -> Iterator[int]:
    """With what they report of refused calls. No sum by agent has them, so that is all."""
    left = AgentRunLog.objects.filter(agent=merge.source_id).order_by("-started_at", "-id")
    while found := dict(left.values_list("pk", "run_id")[:RUNS_AT_ONCE]):
        with writing(alone=True):
            target = _target_of(merge)
            runs = AgentRunLog.objects.filter(pk__in=found, agent=merge.source_id).update(agent=target)
            ReportedRefusal.objects.filter(
                workspace=merge.workspace_id, run_id__in=found.values(), agent=merge.source_id
            ).update(agent=target)
            AgentMerge.objects.filter(pk=merge.pk).update(runs=F("runs") + runs)
        yield runs


# ── calls and their sums ─────────────────────────────────────────────────────────────────────────────────────────────


def _move_calls(merge: AgentMerge) -> Iterator[int]:
    days: set[date] = set()
    for table in (UsageDay, AgentDay):
        days.update(table._default_manager.filter(agent=merge.source_id).values_list("day", flat=True))
    for day in sorted(days, reverse=True):
        left = LLMCall.objects.filter(workspace=merge.workspace_id, day=day, agent=merge.source_id).order_by("pk")
        after = 0
        while ids := list(left.filter(pk__gt=after).values_list("pk", flat=True)[:CALLS_PER_PAGE]):
            after = ids[-1]
            for start in range(0, len(ids), CALLS_AT_ONCE):
                yield _move_some(merge, ids[start : start + CALLS_AT_ONCE])
        yield from _move_other_sums(merge, day)


def _move_some(merge: AgentMerge, ids: Sequence[int]) -> int:
    """One transaction: the calls as they are now."""
    with writing(alone=True):
        store = storage()
        retained_from = store.ledger_state()[1]
        postings, moved = Postings(merge.workspace_id), _moved(merge)
        calls = list(LLMCall.objects.filter(pk__in=ids, agent=merge.source_id).only(*_READ))
        for call in calls:
            if retained_from is not None and call.day < retained_from:
                continue  # it is about to be deleted, and its sums stay: they move as they are
            sums = sums_of_stored(call)
            postings.take_out(place_of(call), sums)
            call.agent_id = moved.target_id
            postings.add(place_of(call), sums)
            moved.take(call.day, call.cost_microcents or 0, unpriced_calls=call.cost_microcents is None)
        LLMCall.objects.filter(pk__in=[call.pk for call in calls]).update(agent=moved.target_id)
        postings.post_rollups(store)
        _count(merge, moved)
    return len(calls)


def _move_other_sums(merge: AgentMerge, day: date) -> Iterator[int]:
    """Sums of a day that are left when its calls have moved: those of calls that retention has let go of. On a day
    whose calls are kept there are none, unless the sums were wrong; they then stay as wrong as they were.
    """
    usage = UsageDay.objects.filter(agent=merge.source_id, day=day)
    whole = AgentDay.objects.filter(agent=merge.source_id, day=day)
    if not (usage.exists() or whole.exists()):
        return
    with writing(alone=True):
        store = storage()
        retained_from = store.ledger_state()[1]
        is_kept = retained_from is None or day >= retained_from
        calls = LLMCall.objects.filter(workspace=merge.workspace_id, day=day, agent=merge.source_id)
        if is_kept and calls.exists():
            return  # they came to this day meanwhile, and are found by the next round
        moved = _moved(merge)
        for row in usage:
            moved.take(day, row.cost_microcents, calls=row.calls, unpriced_calls=row.unpriced_calls)
        tags = TagDay.objects.filter(workspace=merge.workspace_id, agent=merge.source_id, day=day)
        for rows, table, key, of_months in (
            (usage, UsageDay, USAGE_KEY, (UsageMonth, USAGE_MONTH_KEY)),
            (whole, AgentDay, AGENT_KEY, None),
            (tags, TagDay, TAG_KEY, (TagMonth, TAG_MONTH_KEY)),
        ):
            found = list(rows.values_list(*key, *SUM_COLUMNS))
            to_target = _booked(found, key, moved.target_id, store.day(day))
            store.add_up([Additions(table, key, SUM_COLUMNS, to_target)])
            if of_months:
                month_table, month_key = of_months
                month = store.day(day.replace(day=1))
                off_source = [(*row[: len(key)], *negative(row[len(key) :])) for row in found]
                both = _booked(found, key, moved.target_id, month) + _booked(off_source, key, merge.source_id, month)
                moved_months = Additions(month_table, month_key, SUM_COLUMNS, sorted(both))
                store.add_up([moved_months])
                store.drop_empty(moved_months)
        deleted = usage.delete()[0] + whole.delete()[0] + tags.delete()[0]
        _count(merge, moved)
    yield deleted


def _booked(rows: Iterable[Row], key: Sequence[str], agent_id: int, day: str) -> list[Row]:
    """Sums under another agent and day, which may be the first of a month, in the order in which all writers lock."""
    own = {"agent_id": agent_id, "day": day}
    at = len(key)
    return sorted(
        (*(own.get(column, value) for column, value in zip(key, row[:at], strict=True)), *row[at:]) for row in rows
    )


def _moved(merge: AgentMerge) -> MovedCalls:
    return MovedCalls(merge.workspace_id, merge.source_id, _target_of(merge))


def _count(merge: AgentMerge, moved: MovedCalls) -> None:
    """Keep with the merge what moved, and tell who keeps counters; in the transaction that moved it."""
    row = AgentMerge.objects.get(pk=merge.pk)
    for (agent_id, day), microcents in moved.spent.items():
        if agent_id == moved.target_id:
            row.months[month_of(day)] = row.months.get(month_of(day), 0) + microcents
            row.cost_microcents += microcents
    row.calls += moved.calls
    row.unpriced_calls += moved.unpriced_calls
    row.save(update_fields=["months", "cost_microcents", "calls", "unpriced_calls"])
    merged_calls_moved.send(MovedCalls, moved=moved)


# ── what was put right before ────────────────────────────────────────────────────────────────────────────────────────


def _move_corrections(merge: AgentMerge) -> Iterator[int]:
    """A repricing may have corrected both agents on the same day: the two corrections become one."""
    left = CostCorrection.objects.filter(agent=merge.source_id).order_by("pk")
    while ids := list(left.values_list("pk", flat=True)[:CALLS_AT_ONCE]):
        with writing(alone=True):
            target = _target_of(merge)
            for row in left.filter(pk__in=ids):
                same = CostCorrection.objects.filter(
                    repricing_id=row.repricing_id, workspace=row.workspace_id, agent=target, day=row.day,
                    provider=row.provider, model=row.model,
                )  # fmt: skip
                added = same.update(**{name: F(name) + getattr(row, name) for name in _CORRECTED})
                if added:
                    row.delete()
                else:
                    CostCorrection.objects.filter(pk=row.pk).update(agent=target)
        yield len(ids)


_CORRECTED: Final = (
    "calls", "newly_priced_calls", "no_longer_priced_calls", "cost_before_microcents", "cost_after_microcents",
)  # fmt: skip
