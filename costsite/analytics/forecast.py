"""Where a month is heading. Pure, and the same for the same days: no chance, no clock.

Days to come are drawn from days like them: a Tuesday from the Tuesdays before, or from the days of the week (or the
weekend) where there are fewer than two. Many such months, each drawn by a generator that starts from the same number,
give a median and the band in which eight of ten lie (a bootstrap, after Efron 1979). A draw knows no trend: what it is
worth is said beside it, by forecasting weeks that are over from the days before them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from math import ceil
from random import Random
from statistics import median

from costsite.analytics.periods import Days

LEAST_DAYS = 7
"""With spending. Fewer do not say what a weekday is like."""
DRAWN_FROM_DAYS = 56
"""Older days are of another time."""
DRAWS = 400
TESTED_DAYS = 7
"""How far ahead the back-test looks."""
TESTED_WEEKS = 4
KNOWN_DAYS = DRAWN_FROM_DAYS + TESTED_DAYS * TESTED_WEEKS
"""All that a forecast and its test are made of: the earliest week that is tested is drawn from as many days."""
SEED = 20_240_229
LOW, HIGH = 0.1, 0.9


@dataclass(frozen=True)
class ForecastDay:
    """What will have been spent of the month by the end of a day, in microcents."""

    day: date
    low: int
    median: int
    high: int


@dataclass(frozen=True)
class Forecast:
    """Of a month, from today to its last day. Microcents."""

    days: tuple[ForecastDay, ...]
    error_percent: int | None
    """The median of how far forecasts of `TESTED_DAYS` days were off, without their sign; None: no week to test."""
    tested: int
    """How many weeks were."""

    @property
    def end(self) -> ForecastDay:
        return self.days[-1]

    def runs_out(self, limit: int) -> date | None:
        """The first day by whose end the median has reached `limit`; None within this month."""
        return next((one.day for one in self.days if one.median >= limit), None)


@dataclass(frozen=True)
class TooShort:
    """No forecast yet."""

    spending_days: int

    def __str__(self) -> str:
        return f"A forecast needs {LEAST_DAYS} days with spending; there {are(self.spending_days)}."


def are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count}"


def forecast_month(spent: Mapping[date, int], today: date, month: Days) -> Forecast | TooShort:
    """`spent`: microcents a day, a day without spending left out; of today, what is known so far. Of what lies further
    back than `KNOWN_DAYS` nothing is used, so that a page foresees the same whatever else it reads.
    """
    since = today - timedelta(days=KNOWN_DAYS)
    before_today = {day: value for day, value in spent.items() if since <= day < today}
    history = _history(before_today, today)
    spending_days = sum(1 for value in history.values() if value > 0)
    if spending_days < LEAST_DAYS:
        return TooShort(spending_days)
    already = sum(value for day, value in before_today.items() if month.start <= day)
    coming = [today + timedelta(days=offset) for offset in range((month.end - today).days)]
    draws = _draws(history, coming, already, least_today=max(0, spent.get(today, 0)))
    days = tuple(
        ForecastDay(day, *(_at(ordered, share) for share in (LOW, 0.5, HIGH)))
        for day, ordered in zip(coming, map(sorted, draws), strict=True)
    )
    return Forecast(days, *_tested(tuple(sorted(before_today.items())), today))


def _history(spent: Mapping[date, int], today: date) -> dict[date, int]:
    """Every day before `today` that is drawn from; before the first spending there was nothing to be like."""
    since = today - timedelta(days=DRAWN_FROM_DAYS)
    first = min((day for day, value in spent.items() if day >= since and value > 0), default=today)
    return {
        first + timedelta(days=offset): max(0, spent.get(first + timedelta(days=offset), 0))
        for offset in range((today - first).days)
    }


def _pool(history: Mapping[date, int], day: date) -> Sequence[int]:
    """Days like `day`."""
    same = [value for past, value in history.items() if past.weekday() == day.weekday()]
    if len(same) >= 2:
        return same
    weekend = day.weekday() >= 5
    kind = [value for past, value in history.items() if (past.weekday() >= 5) is weekend]
    return kind or list(history.values())


def _draws(
    history: Mapping[date, int], coming: Sequence[date], already: int, *, least_today: int = 0
) -> list[list[int]]:
    """For each day to come, what `DRAWS` ways the days may go have come to by its end; ways are in one order."""
    chance = Random(SEED)  # noqa: S311 - a draw, not a secret
    totals, by_day = [already] * DRAWS, []
    for index, day in enumerate(coming):
        drawn = chance.choices(_pool(history, day), k=DRAWS)
        if index == 0 and least_today:
            drawn = [max(value, least_today) for value in drawn]
        totals = [total + value for total, value in zip(totals, drawn, strict=True)]
        by_day.append(totals)
    return by_day


@lru_cache(maxsize=500)
def _tested(whole_days: tuple[tuple[date, int], ...], today: date) -> tuple[int | None, int]:
    """How far off forecasts of the last whole weeks were, and of how many weeks that is known.

    Remembered: pages ask again and again, and it changes only when a day that is over does.
    """
    spent = dict(whole_days)
    errors = []
    for week in range(1, TESTED_WEEKS + 1):
        start = today - timedelta(days=TESTED_DAYS * week)
        history = _history({day: value for day, value in spent.items() if day < start}, start)
        if sum(1 for value in history.values() if value > 0) < LEAST_DAYS:
            break
        days = [start + timedelta(days=offset) for offset in range(TESTED_DAYS)]
        actual = sum(max(0, spent.get(day, 0)) for day in days)
        if actual:
            foreseen = _at(sorted(_draws(history, days, 0)[-1]), 0.5)
            errors.append(abs(foreseen - actual) * 100 / actual)
    return (round(median(errors)) if errors else None), len(errors)


def _at(ordered: Sequence[int], share: float) -> int:
    """Nearest rank."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
