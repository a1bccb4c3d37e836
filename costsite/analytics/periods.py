"""Days and months as the ledger keeps them. Pure: the time and the zone are arguments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

HALF_A_YEAR_DAYS = 182


@dataclass(frozen=True)
class Days:
    """Whole days in the ledger's zone: `start` is in, `end` is out."""

    start: date
    end: date

    def __iter__(self) -> Iterator[date]:
        return (self.start + timedelta(days=offset) for offset in range((self.end - self.start).days))

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.start <= day < self.end

    def __len__(self) -> int:
        return (self.end - self.start).days

    @property
    def last(self) -> date:
        return self.end - timedelta(days=1)

    def starts_at(self, zone: ZoneInfo) -> datetime:
        return midnight(self.start, zone)

    def ends_at(self, zone: ZoneInfo) -> datetime:
        return midnight(self.end, zone)

    def __str__(self) -> str:
        if len(self) == 1:
            return f"{self.start:%-d %b}"
        if len(self) > HALF_A_YEAR_DAYS:  # of less, the year goes without saying
            first = f"{self.start:%-d %b}" if self.start.year == self.last.year else f"{self.start:%-d %b %Y}"
            return f"{first} to {self.last:%-d %b %Y}"
        if (self.start.year, self.start.month) == (self.last.year, self.last.month):
            return f"{self.start:%-d} to {self.last:%-d %b}"
        return f"{self.start:%-d %b} to {self.last:%-d %b}"


NO_DAYS = Days(date.min, date.min)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The instant `day` begins in `zone`, in UTC."""
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def first_of_month(day: date) -> date:
    return day.replace(day=1)


def first_of_previous_month(day: date) -> date:
    return first_of_month(first_of_month(day) - timedelta(days=1))


def first_of_next_month(day: date) -> date:
    return first_of_month(first_of_month(day) + timedelta(days=31))


def whole_months(days: Days) -> Days:
    """The calendar months that lie whole within `days`; may be none."""
    start = days.start if days.start.day == 1 else first_of_next_month(days.start)
    end = first_of_month(days.end)
    return Days(start, end) if start < end else NO_DAYS


def months_to_read(days: Days, tomorrow: date) -> Days:
    """The calendar months that are better read whole, and what is not of `days` taken off again, than day by day: at
    its ends those of which more days are in than out. Days from `tomorrow` on, which have next to no calls, are none.
    """
    if not days:
        return NO_DAYS
    first, last = first_of_month(days.start), first_of_month(days.last)
    before = (days.start - first).days
    behind = (max(days.end, min(first_of_next_month(last), tomorrow)) - days.end).days
    if first == last:
        return Days(first, first_of_next_month(first)) if before + behind < len(days) else NO_DAYS
    start = first if before < (first_of_next_month(first) - days.start).days else first_of_next_month(first)
    end = first_of_next_month(last) if behind < (days.end - last).days else last
    return Days(start, end) if start < end else NO_DAYS


def months_of(days: Days) -> list[Days]:
    """Calendar months, the first and the last as far as they are in it."""
    starts = [day for day in days if day == days.start or day.day == 1]
    return [Days(start, end) for start, end in pairwise([*starts, days.end])]


@dataclass(frozen=True)
class Cover:
    """Days that are read from sums: some as calendar months, the rest one by one, and no day twice."""

    days: tuple[Days, ...]
    """The earlier first; none is empty, as none of `less` is."""
    months: Days
    """Calendar months; may be empty."""
    less: tuple[Days, ...] = ()
    """Of these months, what is to be taken off them again. Each lies in one month."""

    @classmethod
    def of(cls, spans: Iterable[Days], months: Days = NO_DAYS) -> Cover:
        """All days of `spans`; those of `months`, which has no month without any of them, as months."""
        runs: list[Days] = []
        for span in sorted(filter(None, spans), key=lambda span: span.start):
            if runs and span.start <= runs[-1].end:
                runs[-1] = Days(runs[-1].start, max(runs[-1].end, span.end))
            else:
                runs.append(span)
        if not months:
            return cls(tuple(runs), months)
        less = without(months, runs)
        if any(whole_months(gap) for gap in less):
            raise ValueError(f"The months {months} are not among the days that are read.")
        of_one_month = (part for gap in less for part in months_of(gap))
        return cls(tuple(part for run in runs for part in without(run, [months])), months, tuple(of_one_month))

    @classmethod
    def in_months(cls, days: Days, tomorrow: date) -> Cover:
        """As months as far as that is less to read: for sums over all of `days`."""
        return cls.of([days], months_to_read(days, tomorrow))


def without(days: Days, others: Sequence[Days]) -> list[Days]:
    """The parts of `days` that are in none of the others, which come one behind the other."""
    found, start = [], days.start
    for other in others:
        found.append(Days(start, min(days.end, other.start)))
        start = max(start, other.end)
    return [part for part in (*found, Days(start, days.end)) if part.start < part.end]


RANGES = {
    "24-hours": "24 h",
    "7-days": "7 days",
    "30-days": "30 days",
    "90-days": "90 days",
    "this-month": "This month",
    "last-month": "Last month",
}
DEFAULT_RANGE = "this-month"
CUSTOM_RANGE = "custom"
LONGEST_RANGE = 366
"""Days of a range of one's own choice: a leap year."""


@dataclass(frozen=True)
class Calendar:
    """What the clock says where the ledger is kept."""

    now: datetime
    zone: ZoneInfo

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()

    @property
    def tomorrow(self) -> date:
        return self.today + timedelta(days=1)

    @property
    def month(self) -> Days:
        """All of it."""
        return Days(first_of_month(self.today), first_of_next_month(self.today))

    @property
    def month_to_date(self) -> Days:
        """The first days of the month, up to and with today."""
        return Days(first_of_month(self.today), self.tomorrow)

    @property
    def compared_days(self) -> Days:
        """The days of this month that are over, at most as many as last month had; none on its first.

        Whole days alone: a part of today against a whole day would hide a rise until midnight.
        """
        start = first_of_month(self.today)
        return Days(start, start + timedelta(days=len(self.same_days_last_month)))

    @property
    def same_days_last_month(self) -> Days:
        """As many first days of last month as this month has had whole; at most all of last month."""
        start = first_of_previous_month(self.today)
        return Days(start, min(start + timedelta(days=self.today.day - 1), first_of_month(self.today)))

    @property
    def last_30_days(self) -> Days:
        return Days(self.today - timedelta(days=29), self.tomorrow)

    def days_of(self, name: str) -> Days:
        """The days of a range in `RANGES`; an unknown name is the default. Of 24 hours: the days they touch."""
        if name == "last-month":
            return Days(first_of_previous_month(self.today), first_of_month(self.today))
        if name == "24-hours":
            return Days(self.today - timedelta(days=1), self.tomorrow)
        if name.endswith("-days") and name in RANGES:
            return Days(self.tomorrow - timedelta(days=int(name.removesuffix("-days"))), self.tomorrow)
        return self.month

    def days_before(self, name: str, shown: Days) -> Days:
        """What a range is compared with: as many days right before it; of calendar months, as many months."""
        if name in ("this-month", "last-month", CUSTOM_RANGE) and whole_months(shown) == shown:
            start = shown.start
            for _ in months_of(shown):
                start = first_of_previous_month(start)
            return Days(start, shown.start)
        return Days(shown.start - timedelta(days=len(shown)), shown.start)
