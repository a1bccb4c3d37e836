"""What runs cost: the newest of them, one by one, as dots and for a median."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Case, Value, When

from agents.models import AgentRunLog
from costsite.analytics.periods import Calendar
from costsite.analytics.queries.plain import instant, plain_rows
from costsite.analytics.queries.run_filter import RunFilter, as_wanted
from costsite.analytics.queries.runs import Cursor, newest_alone, newest_figures

User = AbstractBaseUser | AnonymousUser


class RunCost(NamedTuple):
    id: int
    started_at: datetime
    calls: int
    unpriced_calls: int
    cost_microcents: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int

    @property
    def place(self) -> Cursor:
        return Cursor(self.started_at, self.id)

    @property
    def cost(self) -> int | None:
        """Microcents, by `_cost_of_run`."""
        return _cost_of_run(self.calls, self.unpriced_calls, self.cost_microcents)


def _cost_of_run(calls: int, unpriced_calls: int, cost_microcents: int) -> int | None:
    """Microcents; None where a call has no price, or none was made: a refused run is no sample of what runs cost.

    A sum leaves out what is not known and says so. A median cannot: a run of which half is unpriced would stand among
    the others as one of half the cost.
    """
    return cost_microcents if calls and not unpriced_calls else None


@dataclass(frozen=True)
class RunCosts:
    runs: list[RunCost]
    """Newest first."""
    looked_to: datetime | None = None
    """When the last one began that was looked at, where there are more; None: all were."""

    @property
    def cut(self) -> bool:
        return self.looked_to is not None


def run_costs(user: User, calendar: Calendar, wanted: RunFilter, limit: int) -> RunCosts:
    """Of the newest `limit` runs that an index leads to, those that are as wanted: the same effort however few."""
    rows: Any = newest_alone(user, calendar, wanted, limit)
    is_kept = Case(When(as_wanted(wanted, rows.db), then=True), default=False) if wanted.sifts else Value(True)
    found = plain_rows(rows.annotate(kept=is_kept).values_list("kept", *RunCost._fields))
    runs = [RunCost(pk, instant(at), *numbers) for kept, pk, at, *numbers in found if kept]
    return RunCosts(runs, instant(found[-1][2]) if len(found) == limit else None)


def newest_costs(user: User, calendar: Calendar, wanted: RunFilter, limit: int) -> list[tuple[int | None, int]]:
    """Of the newest runs, at most `limit`, newest first: microcents or None, and unpriced calls."""
    found = newest_figures(user, calendar, wanted, ("calls", "unpriced_calls", "cost_microcents"), limit)
    return [(_cost_of_run(calls, unpriced, cost), unpriced) for calls, unpriced, cost in found]


def run_ids(user: User, runs: Sequence[RunCost]) -> dict[int, UUID]:
    """What reporters call these runs, by their ids here."""
    rows = AgentRunLog.objects.visible_among(user, (run.id for run in runs)).order_by()
    return dict(rows.values_list("pk", "run_id"))
