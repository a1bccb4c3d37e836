"""What the events of a run say about it, merged so that their order does not matter. Pure.

Events come in any order, some twice, some never. Each fact is therefore a maximum or a minimum over what was said:
merging is commutative and saying a thing again changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

UNSEEN: Final = datetime.max.replace(tzinfo=UTC)
"""The start of a run of which nothing was seen yet."""
RUNNING = "running"
REFUSED = "refused"
BUDGET_ERROR = "BudgetExceeded"
"""The plugin's exception, by the name that a run's end reports."""
_STATUS_OF_ROOT_CALL = {"ok": "ok", "error": "error", "abandoned": "cancelled", "cancelled": "cancelled"}


class End(NamedTuple):
    """How a run ended. Of two that were reported the later holds, then by the words."""

    ended_at: datetime
    status: str
    error_type: str


@dataclass(slots=True)
class RunFacts:
    started_at: datetime = UNSEEN
    """The earliest start of anything in the run, so that no call of it lies on an earlier day."""
    reported_started_at: datetime | None = None
    end: End | None = None
    thread_id: str = ""
    tags: tuple[str, ...] = ()
    langchain_run_id: str | None = None
    """As 32 hex digits, which are in the order of the ids."""
    parent_run_id: str | None = None
    refused_calls: int = 0

    def saw(self, at: datetime) -> None:
        """A call or a refusal of the run began `at`."""
        self.started_at = min(self.started_at, at)

    def begin(
        self,
        at: datetime,
        thread_id: str = "",
        tags: tuple[str, ...] = (),
        langchain_run_id: str | None = None,
        parent_run_id: str | None = None,
    ) -> None:
        self.saw(at)
        self.reported_started_at = at if self.reported_started_at is None else min(self.reported_started_at, at)
        self.thread_id = max(self.thread_id, thread_id)
        self.tags = max(self.tags, tags)
        self.langchain_run_id = _larger(self.langchain_run_id, langchain_run_id)
        self.parent_run_id = _larger(self.parent_run_id, parent_run_id)

    def finish(self, started_at: datetime, end: End) -> None:
        self.begin(started_at)
        self.end = end if self.end is None else max(self.end, end)

    def is_the_call(
        self, started_at: datetime, ended_at: datetime, status: str, error_type: str, thread_id: str,
        tags: tuple[str, ...], langchain_run_id: str | None,
    ) -> None:  # fmt: skip
        """The run is one model call outside any chain: what the call says is said of the run."""
        self.begin(started_at, thread_id, tags, langchain_run_id)
        self.finish(started_at, End(ended_at, _STATUS_OF_ROOT_CALL[status], error_type))

    def forget_the_call(self) -> None:
        """Its only call is replaced: the run is told anew by the one that takes its place."""
        self.reported_started_at = self.end = self.langchain_run_id = None
        self.thread_id, self.tags = "", ()

    def status(self, calls: int) -> str:
        """Refused: a budget ended the run, or no call was made and it did not come to a good end without one."""
        ended = self.end.status if self.end else RUNNING
        if not self.refused_calls or ended not in (RUNNING, "error"):
            return ended
        ended_by_budget = self.end is not None and self.end.error_type == BUDGET_ERROR
        return REFUSED if not calls or ended_by_budget else ended


def end_from_stored(status: str, ended_at: datetime | None, error_type: str) -> End | None:
    """The end that a stored run was told; 'refused' stands for an error wherever it has an end."""
    if ended_at is None:
        return None
    return End(ended_at, "error" if status == REFUSED else status, error_type)


def _larger(one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return one or other
    return max(one, other)
