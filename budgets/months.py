"""The month that is on, and when it ends. Pure: times come in, times go out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agents.clock import Days, month_bounds, month_of


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month of one zone, as instants in UTC: from `starts_at` to just before `ends_at`."""

    name: str
    """'YYYY-MM'."""
    starts_at: datetime
    ends_at: datetime

    @property
    def next_name(self) -> str:
        return month_of(month_bounds(self.name)[1])


def month_at(at: datetime, days: Days) -> Month:
    """The month in which `at` (aware) lies."""
    return month_named(month_of(days.of(at)), days)


def month_named(name: str, days: Days) -> Month:
    """The month 'YYYY-MM'. ValueError on anything else."""
    first, after = month_bounds(name)
    return Month(name, days.start(first), days.start(after))
