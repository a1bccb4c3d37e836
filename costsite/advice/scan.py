"""Reading a day of a workspace: what its runs and calls say, as sums, and the runs that were unusual.

A day is the unit of work: it is read without a lock, in chunks of runs, and written in one short transaction that
replaces what was written of it before. So the scan may be stopped anywhere and begun again, and memory does not grow
with the day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from math import log2
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db.models import BigIntegerField, Case, CharField, Count, Max, Q, Sum, Value, When
from django.db.models.functions import Cast, Coalesce

from agents.models import AgentRunLog, LedgerState, LLMCall, WorkspaceDay
from agents.models.sums import SUM_COLUMNS
from agents.price_books import price_book
from agents.pricing import PriceBook
from agents.write_lock import writing
from costsite.advice import chains, compaction
from costsite.advice.chains import COLUMNS, Call
from costsite.advice.models import AgentUsualRun, ReviewedDay, RunReview, ScannedDay, TaskDay, UsageSlice
from costsite.advice.reviewing import review_of
from costsite.advice.tiers import task_in
from costsite.advice.whatif import CONTEXTS_UP_TO
from langchain_plugin.wire import UnitPrices

RUNS_AT_ONCE: Final = 500
CALLS_AT_ONCE: Final = 5_000
CALLS_OF_A_RUN: Final = 2_000
"""Of a longer run only its first calls are read; that it is too long, its sums say."""
NAMED_RUNS: Final = 5
TASKS_OF_A_DAY: Final = 50
"""Of an agent; a task with a ticket's number in it must not make a row for each."""
ROWS_AT_ONCE: Final = 500


class RunFacts(NamedTuple):
    id: int
    run_id: Any
    agent_id: int
    started_at: Any
    status: str
    calls: int
    failed_calls: int
    unpriced_calls: int
    input_tokens: int
    output_tokens: int
    cost_microcents: int
    tags: list[Any]


_RUN: Final = ("pk", *RunFacts._fields[1:])


@dataclass
class AgentSums:
    """What becomes a `ReviewedDay`."""

    runs: int = 0
    failed_runs: int = 0
    unpriced_runs: int = 0
    calls: int = 0
    cost_microcents: int = 0
    looped_calls: int = 0
    looped_microcents: int = 0
    failed_calls: int = 0
    failed_microcents: int = 0
    compactions: int = 0
    compaction_saved_microcents: int = 0
    uncached_calls: int = 0
    uncached_microcents: int = 0
    looped_runs: list[tuple[int, int]] = field(default_factory=list)
    failing_runs: list[tuple[int, int]] = field(default_factory=list)
    longest_runs: list[tuple[int, int]] = field(default_factory=list)
    uncached_runs: list[tuple[int, int]] = field(default_factory=list)
    compactable: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    growth: dict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))


@dataclass
class TaskSums:
    sums: list[int] = field(default_factory=lambda: [0] * len(SUM_COLUMNS))
    runs: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Scan:
    """A day being read."""

    workspace_id: int
    day: date
    book: PriceBook
    usual: dict[int, AgentUsualRun]
    agents: dict[int, AgentSums] = field(default_factory=lambda: defaultdict(AgentSums))
    tasks: dict[tuple[int, str, str, str, str], TaskSums] = field(default_factory=lambda: defaultdict(TaskSums))
    reviews: list[RunReview] = field(default_factory=list)
    named_tasks: dict[int, set[str]] = field(default_factory=lambda: defaultdict(set))


def fingerprint(workspace_id: int, day: date) -> tuple[int, int, int]:
    """Runs, calls and microcents of a day: what changes when a late call comes or a price is put right."""
    row = WorkspaceDay.objects.filter(workspace=workspace_id, day=day).values_list("runs", "calls", "cost_microcents")
    return row.first() or (0, 0, 0)


def scan_day(workspace_id: int, day: date) -> int:
    """Read a day and write what it says; how many calls it has."""
    seen = fingerprint(workspace_id, day)
    usual = {row.agent_id: row for row in AgentUsualRun.objects.filter(workspace=workspace_id)}
    scan = Scan(workspace_id, day, price_book(workspace_id), usual)
    for runs in _chunks(_runs(workspace_id, day)):
        calls = _calls_of(workspace_id, [run.run_id for run in runs])
        for run in runs:
            _add_run(scan, run, calls.pop(run.run_id, []))
    repeated = _repeated_prompts(workspace_id, day)
    slices = _slices(workspace_id, day)
    _write(scan, repeated, slices, seen)
    return seen[1]


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _runs(workspace_id: int, day: date) -> Iterator[RunFacts]:
    days = LedgerState.current().days()
    rows = AgentRunLog.objects.filter(
        workspace=workspace_id,
        started_at__gte=days.start(day),
        started_at__lt=days.start(day + timedelta(days=1)),
        calls__gt=0,
    ).order_by("started_at", "id")
    last: tuple[Any, int] | None = None
    while True:
        page = rows
        if last is not None:
            page = rows.filter(Q(started_at__gt=last[0]) | Q(id__gt=last[1]), started_at__gte=last[0])
        found = [RunFacts(*row) for row in page.values_list(*_RUN)[: 4 * RUNS_AT_ONCE]]
        yield from found
        if len(found) < 4 * RUNS_AT_ONCE:
            return
        last = (found[-1].started_at, found[-1].id)


def _chunks(runs: Iterator[RunFacts]) -> Iterator[list[RunFacts]]:
    """As many runs as have few enough calls; one with more is alone."""
    chunk: list[RunFacts] = []
    calls = 0
    for run in runs:
        if chunk and (len(chunk) == RUNS_AT_ONCE or calls + run.calls > CALLS_AT_ONCE):
            yield chunk
            chunk, calls = [], 0
        chunk.append(run)
        calls += run.calls
    if chunk:
        yield chunk


def _calls_of(workspace_id: int, run_ids: Sequence[Any]) -> dict[Any, list[Call]]:
    rows: Any = LLMCall.objects.filter(workspace=workspace_id, run_id__in=run_ids).order_by(
        "run_id", "started_at", "id"
    )
    # The run's id as text: to make a UUID of each call's takes as long as all the rest that is done with it.
    rows = rows.annotate(run_text=Cast("run_id", CharField()))
    by_run: dict[str, list[Call]] = defaultdict(list)
    # One run may have a million calls: alone in its chunk, it is cut.
    most = CALLS_OF_A_RUN if len(run_ids) == 1 else None
    for row in rows.values_list("run_text", *COLUMNS[1:])[:most].iterator(chunk_size=2_000):
        by_run[row[0]].append(Call._make(row))
    return {UUID(run_id): calls for run_id, calls in by_run.items()}


def prices_of(book: PriceBook, calls: Sequence[Call], at: Any) -> list[UnitPrices | None]:
    """The unit prices of each call, as of `at`."""
    return [book.unit_prices(*call.key, at, call.input_tokens).prices for call in calls]


# ── adding up ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _add_run(scan: Scan, run: RunFacts, calls: list[Call]) -> None:
    sums = scan.agents[run.agent_id]
    sums.runs += 1
    sums.failed_runs += run.status == "error"
    sums.unpriced_runs += run.unpriced_calls > 0
    sums.calls += run.calls
    sums.cost_microcents += run.cost_microcents
    prices = prices_of(scan.book, calls, run.started_at)
    circles = chains.in_circles(calls) if len(calls) > 1 else set()
    if circles:
        wasted = sum(calls[place].cost_microcents or 0 for place in circles)
        sums.looped_calls += len(circles)
        sums.looped_microcents += wasted
        _name(sums.looped_runs, wasted, run.id)
    if run.failed_calls:
        lost = sum(call.cost_microcents or 0 for call in calls if call.status != "ok")
        sums.failed_calls += run.failed_calls
        sums.failed_microcents += lost
        _name(sums.failing_runs, lost, run.id)
    summed_up = sum(call.purpose == "compaction" for call in calls)
    largest = 0
    for steps in chains.conversations(calls, prices):
        for number, step in enumerate(steps, 1):
            sums.growth[call_number(number)][size_bin(step.call.input_tokens)] += 1
        largest = max(largest, max(step.call.input_tokens for step in steps))
        if len(steps) < 2:
            continue
        if not summed_up:
            for trigger, saved in compaction.saved_by_trigger(steps).items():
                sums.compactable[trigger] += saved
        if spared := chains.read_dearer_than_needed(steps):
            sums.uncached_calls += len(steps) - 1
            sums.uncached_microcents += spared
            _name(sums.uncached_runs, spared, run.id)
    if summed_up:
        sums.compactions += summed_up
        main = max(chains.conversations(calls, prices), key=len, default=[])
        sums.compaction_saved_microcents += compaction.really_saved(calls, main)
    elif largest > compaction.TRIGGERS[0] and len(calls) > 2:
        _name(sums.longest_runs, largest, run.id)
    if task := _task(scan, run):
        _add_task(scan, run, task, calls)
    review = review_of(scan.workspace_id, scan.day, run, calls, prices, scan.usual.get(run.agent_id), scan.book)
    if review is not None:
        scan.reviews.append(review)


def _name(named: list[tuple[int, int]], weight: int, run: int) -> None:
    """Among the few that are named, the largest first."""
    if len(named) < NAMED_RUNS or weight > named[-1][0]:
        named.append((weight, run))
        named.sort(reverse=True)
        del named[NAMED_RUNS:]


def _task(scan: Scan, run: RunFacts) -> str:
    task = task_in(run.tags) if run.tags else ""
    named = scan.named_tasks[run.agent_id]
    if task and task not in named and len(named) < TASKS_OF_A_DAY:
        named.add(task)
    return task if task in named else ""


def _add_task(scan: Scan, run: RunFacts, task: str, calls: Sequence[Call]) -> None:
    for call in calls:
        found = scan.tasks[run.agent_id, task, call.provider, call.model, call.effort]
        # In the order of SUM_COLUMNS; whose usage was estimated, no advice asks.
        numbers = (
            1, call.status != "ok", 0, call.cost_microcents is None, bool(call.served_from_local_cache),
            *call.tokens, call.cost_microcents or 0, call.saved_microcents,
        )  # fmt: skip
        found.sums = [one + other for one, other in zip(found.sums, numbers, strict=True)]
    for key in {(run.agent_id, task, call.provider, call.model, call.effort) for call in calls}:
        _name(scan.tasks[key].runs, run.cost_microcents, run.id)


def call_number(number: int) -> int:
    """The tenth call and those before it by themselves; then 11 to 15, 16 to 20, 21 to 30, 31 to 50, and the rest."""
    return number if number <= 10 else next((low for low in (51, 31, 21, 16, 11) if number >= low), number)


def size_bin(tokens: int) -> int:
    """On a scale of eighths of a doubling: a median read from the bins is within 5 % of the true one."""
    return round(8 * log2(tokens)) if tokens > 0 else 0


@dataclass
class Repeated:
    """Calls of an agent with the prompt of an earlier one on the same day and model."""

    calls: int = 0
    microcents: int = 0
    shown_by: list[tuple[int, int]] = field(default_factory=list)
    """Of the dearest prompts: microcents and a call."""


def _repeated_prompts(workspace_id: int, day: date) -> dict[int, Repeated]:
    """By agent."""
    same = (
        LLMCall.objects.filter(workspace=workspace_id, day=day, status="ok", served_from_local_cache=False)
        .exclude(prompt_hash="")
        .order_by()
        .values("agent_id", "model", "prompt_hash")
        .annotate(times=Count("pk"), cost=Coalesce(Sum("cost_microcents"), 0), last=Max("pk"))
        .filter(times__gt=1)
    )
    found: dict[int, Repeated] = defaultdict(Repeated)
    for agent_id, times, cost, last in same.values_list("agent_id", "times", "cost", "last").iterator(2_000):
        one = found[agent_id]
        again = int(cost) * (times - 1) // times
        one.calls += times - 1
        one.microcents += again
        _name(one.shown_by, again, last)
    return found


def _runs_of_calls(workspace_id: int, repeated: dict[int, Repeated]) -> dict[int, int]:
    """The runs, by primary key, of the calls that are shown, by theirs."""
    calls = dict(
        LLMCall.objects.filter(pk__in=[call for one in repeated.values() for _, call in one.shown_by]).values_list(
            "pk", "run_id"
        )
    )
    runs = AgentRunLog.objects.filter(workspace=workspace_id, run_id__in=set(calls.values()))
    by_run_id = dict(runs.values_list("run_id", "pk"))
    return {call: by_run_id[run_id] for call, run_id in calls.items() if run_id in by_run_id}


def _slices(workspace_id: int, day: date) -> Iterator[UsageSlice]:
    context = Case(
        *(When(input_tokens__lte=size, then=Value(size)) for size in CONTEXTS_UP_TO[:-1]),
        default=Value(CONTEXTS_UP_TO[-1]),
        output_field=BigIntegerField(),
    )
    counts = {
        "calls": Count("pk"),
        "failed_calls": Count("pk", filter=~Q(status="ok")),
        "estimated_calls": Count("pk", filter=Q(usage_basis="estimated")),
        "unpriced_calls": Count("pk", filter=Q(cost_microcents=None)),
    }
    kept = [name for name in SUM_COLUMNS if name != "local_cache_hits"]
    summed = {f"{name}_sum": counts.get(name) or Sum(name) for name in kept}
    rows = (
        LLMCall.objects.filter(workspace=workspace_id, day=day, served_from_local_cache=False)
        .order_by()
        .annotate(context=context)
        .values("agent_id", "provider", "model", "context")
        .annotate(
            **summed,
            answered=Count("pk", filter=Q(output_tokens__gt=0)),
        )
    )
    row: Any
    for row in rows.iterator(chunk_size=ROWS_AT_ONCE):
        yield UsageSlice(
            workspace_id=workspace_id,
            day=day,
            agent_id=row["agent_id"],
            provider=row["provider"],
            model=row["model"],
            context_up_to=row["context"],
            answered_calls=row["answered"],
            **{name: int(row[f"{name}_sum"] or 0) for name in kept},
        )


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _write(scan: Scan, repeated: dict[int, Repeated], slices: Iterator[UsageSlice], seen: tuple[int, int, int]) -> None:
    of_day: dict[str, Any] = {"workspace_id": scan.workspace_id, "day": scan.day}
    runs = _runs_of_calls(scan.workspace_id, repeated)
    for agent_id in repeated:
        scan.agents[agent_id]  # an agent may have calls of a run that began the day before, and none that began today
    days = [
        ReviewedDay(
            **of_day,
            agent_id=agent_id,
            **vars(sums),
            repeated_prompts=repeated[agent_id].calls,
            repeated_microcents=repeated[agent_id].microcents,
            repeated_runs=[(cost, runs[call]) for cost, call in repeated[agent_id].shown_by if call in runs],
        )
        for agent_id, sums in scan.agents.items()
    ]
    tasks = [
        TaskDay(
            **of_day, agent_id=agent_id, task=task, provider=provider, model=model, effort=effort, runs=found.runs,
            **dict(zip(SUM_COLUMNS, map(int, found.sums), strict=True)),
        )
        for (agent_id, task, provider, model, effort), found in scan.tasks.items()
    ]  # fmt: skip
    kept = list(slices)
    with writing():
        for table in (ReviewedDay, TaskDay, UsageSlice, RunReview):
            table._default_manager.filter(**of_day).delete()
        for table, rows in ((ReviewedDay, days), (TaskDay, tasks), (UsageSlice, kept), (RunReview, scan.reviews)):
            manager: Any = table._default_manager
            manager.bulk_create(rows, batch_size=ROWS_AT_ONCE)
        began, calls, cost = seen
        ScannedDay.objects.update_or_create(
            workspace_id=scan.workspace_id, day=scan.day,
            defaults={"runs": began, "calls": calls, "cost_microcents": cost},
        )  # fmt: skip
