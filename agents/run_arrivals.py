"""What a batch tells of runs, on its way into the ledger: times settled, facts merged, the row read and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from agents.clock import settled
from agents.reports import EndReport, RefusalReport, RunReport
from agents.rollups import Sums
from agents.run_facts import RunFacts, end_from_stored

if TYPE_CHECKING:
    from agents.storage import Storage

COLUMNS: Final = (
    "workspace_id", "run_id", "agent_id", "started_at", "reported_started_at", "ended_at", "day", "status",
    "error_type", "thread_id", "tags", "langchain_run_id", "parent_run_id", "refused_calls",
)  # fmt: skip
"""Of `AgentRunLog`, in the order of `Run.row`, which the sums follow. The first two name the row."""

STORED_COLUMNS: Final = (*COLUMNS[1:], "calls")
"""In the order that `stored_run` reads."""


@dataclass(slots=True)
class Run:
    """A run while a batch is written: its facts as merged so far, and what they were."""

    run_id: str
    agent_id: int
    facts: RunFacts
    day: date | None = None
    """Where the run is counted; None until it is."""
    calls: int = 0
    """In the ledger before this batch."""
    changed: bool = False
    lost_its_start: bool = False
    """The call that began it was replaced by one that begins later."""

    def row(self, workspace_id: int, day: date, gained: Sums, storage: Storage) -> tuple[Any, ...]:
        """The values of `COLUMNS`, then what its sums gain, of which the first counts calls. `day`: of its start."""
        facts = self.facts
        end = facts.end
        time = storage.time
        return (
            workspace_id, self.run_id, self.agent_id, time(facts.started_at),
            time(facts.reported_started_at) if facts.reported_started_at else None,
            time(end.ended_at) if end else None, storage.day(day), facts.status(self.calls + gained[0]),
            end.error_type if end else "", facts.thread_id, storage.strings(facts.tags),
            facts.langchain_run_id, facts.parent_run_id, facts.refused_calls, *gained,
        )  # fmt: skip


def stored_run(row: Sequence[Any], storage: Storage) -> Run:
    """The run that a row of `STORED_COLUMNS` holds."""
    (
        run_id, agent_id, started_at, reported_started_at, ended_at, day, status,
        error_type, thread_id, tags, langchain_run_id, parent_run_id, refused_calls, calls,
    ) = row  # fmt: skip
    facts = RunFacts(
        storage.read_time(started_at),
        reported_started_at and storage.read_time(reported_started_at),
        end_from_stored(status, ended_at and storage.read_time(ended_at), error_type),
        thread_id,
        tuple(storage.read_json(tags)),
        langchain_run_id and storage.read_uuid(langchain_run_id),
        parent_run_id and storage.read_uuid(parent_run_id),
        refused_calls,
    )
    return Run(storage.read_uuid(run_id), agent_id, facts, storage.read_day(day), calls)


@dataclass(slots=True)
class RunArrival:
    """A report of a run: its start, its end, or calls of it that were refused."""

    index: int
    report: RunReport
    run_id: str
    at: datetime
    ended_at: datetime | None = None


def run_arrival(index: int, report: RunReport, shift: timedelta, received_at: datetime, latest: datetime) -> RunArrival:
    """`report` with its times settled."""

    def time(reported: float) -> datetime:
        return settled(datetime.fromtimestamp(reported, UTC), shift, received_at, latest)

    at = time(report.refused_at if isinstance(report, RefusalReport) else report.started_at)
    arrival = RunArrival(index, report, report.run_id, at)
    if isinstance(report, EndReport):
        arrival.ended_at = max(at, time(report.ended_at))
    return arrival
