"""Whose clock holds, and which day an instant belongs to. Pure: times come in, times go out."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from langchain_plugin.wire import CLOCK_TOLERANCE_SECONDS

TOLERATED_SKEW: Final = timedelta(seconds=CLOCK_TOLERANCE_SECONDS)
"""Below this the difference between two clocks is mostly the batch's way through the network."""
TOLERATED_LEAD: Final = timedelta(minutes=5)
"""How far ahead of the server a call may begin: one clock of a host can be off while the batch's was not."""
EARLIEST: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""No agent ran before; a clock that lost its battery says 1970."""
RELEASED: Final = datetime(2026, 11, 1, tzinfo=UTC)
"""No server ran this version before: one whose clock says so is wrong. To be moved on with each release."""
CATCH_UP_DAYS: Final = 3
"""How far the trusted day follows the clock for each day the clock shows: a long weekend without the site at once."""


_QUARTER: Final = timedelta(minutes=15)


def settled(reported: datetime, shift: timedelta, received_at: datetime, latest: datetime) -> datetime:
    """A reported time as the ledger keeps it: shifted, and neither later nor earlier than it can have been. All in UTC.

    `latest` is `received_at` + `TOLERATED_LEAD`; a time after it, or before `EARLIEST`, becomes the time received: a
    host that learns the time after it began to work is no reason to lose what it spent.
    """
    at = reported + shift if shift else reported
    return received_at if at > latest or at < EARLIEST else at


def trusted_next(trusted: date, moved_on: date, today: date) -> date:
    """Where the trusted day goes when the clock says `today`: towards it, by at most `CATCH_UP_DAYS`.

    `moved_on` is what the clock said when the day was last moved. Until the clock says something else nothing moves:
    ticks that see the same wrong day again and again do not make it right.
    """
    if today == moved_on:
        return trusted
    step = timedelta(days=CATCH_UP_DAYS)
    return max(trusted - step, min(trusted + step, today))


def server_is_wrong(received_at: datetime, sent_at: datetime, trusted: date | None) -> bool:
    """Of a server and a client that disagree, whether it is the server that is wrong: two clocks against one.

    The third is the ledger's trusted day. Where it speaks for neither, or there is none, the server is believed.
    """
    if received_at < RELEASED:
        return True
    if trusted is None:
        return False
    return abs((received_at.date() - trusted).days) > CATCH_UP_DAYS >= abs((sent_at.date() - trusted).days)


class Days:
    """Local days of one time zone, remembered by the quarter of an hour.

    Every offset since 2020, and every change of one, falls on a quarter: within it all instants share their day.
    """

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self._by_quarter: dict[int, date] = {}
        self._newest = (EARLIEST, EARLIEST, date.min)
        """Of the last quarter that was asked for: its first instant, the first after it, and its day."""

    def of(self, at: datetime) -> date:
        """The local day of an aware time."""
        begins, ends, day = self._newest  # read at once, for another thread may put another in its place
        if begins <= at < ends:
            return day
        quarter = int(at.timestamp() // 900)
        known = self._by_quarter.get(quarter)
        if known is None:
            if len(self._by_quarter) > 50_000:  # more than a year of quarters: a backfill, not traffic
                self._by_quarter.clear()
            known = self._by_quarter[quarter] = at.astimezone(self.zone).date()
        begins = datetime.fromtimestamp(quarter * 900, UTC)
        self._newest = (begins, begins + _QUARTER, known)
        return known

    def start(self, day: date) -> datetime:
        """The first instant of a local day, in UTC. Where the clock skips midnight, the first that exists."""
        midnight = datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC)
        while self.of(midnight) < day:
            midnight += timedelta(minutes=15)
        while self.of(midnight - timedelta(minutes=15)) >= day:
            midnight -= timedelta(minutes=15)
        return midnight


@lru_cache(maxsize=8)
def days_of(zone_name: str) -> Days:
    """The days of a zone by its name, shared within the process: a zone never changes its name's meaning."""
    return Days(ZoneInfo(zone_name))


def month_bounds(month: str) -> tuple[date, date]:
    """'2026-11' as its first day and the first day after it. ValueError, with the mend, on anything else."""
    if not re.fullmatch(r"[12][0-9]{3}-(0[1-9]|1[0-2])", month):
        raise ValueError(f'{month!r} is no month; write it as "2026-11".')
    first = date(int(month[:4]), int(month[5:]), 1)
    return first, (first + timedelta(days=31)).replace(day=1)


def month_of(day: date) -> str:
    """The month a day belongs to, as 'YYYY-MM'."""
    return f"{day:%Y-%m}"
