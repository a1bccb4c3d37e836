"""What runs cost: the newest of them, one by one, as dots and for a median."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from costsite.analytics.periods import Calendar
from costsite.analytics.queries.runs import NEWEST_FIRST, RunFilter, first_runs

User = AbstractBaseUser | AnonymousUser


@dataclass(frozen=True)
class RunCost:
    id: int
    run_id: UUID
    started_at: datetime
    calls: int
    unpriced_calls: int
    cost_microcents: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int

    @property
    def cost(self) -> int | None:
        """Microcents; None where a call has no price, or none was made: a refused run is no sample of what runs cost.

        A sum leaves out what is not known and says so. A median cannot: a run of which half is unpriced would stand
        among the others as one of half the cost.
        """
        return self.cost_microcents if self.calls and not self.unpriced_calls else None


def run_costs(user: User, calendar: Calendar, wanted: RunFilter, limit: int) -> list[RunCost]:
    """The newest runs, newest first, at most `limit`."""
    rows = first_runs(user, calendar, wanted, *NEWEST_FIRST, most=limit).order_by(*NEWEST_FIRST)
    columns = [field.name for field in fields(RunCost)]
    return [RunCost(*row) for row in rows.values_list(*columns)]
