"""Days and months where the ledger is kept."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsite.analytics.periods import NO_DAYS, Calendar, Cover, Days, months_to_read, whole_months

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN) -> Calendar:
    return Calendar(datetime.fromisoformat(text).replace(tzinfo=UTC), zone)


@pytest.mark.parametrize(
    ("utc", "today"),
    [
        ("2026-11-30T22:59:59", date(2026, 11, 30)),
        ("2026-11-30T23:00:00", date(2026, 12, 1)),
        ("2026-07-31T22:00:00", date(2026, 8, 1)),
    ],
)
def test_a_day_begins_at_midnight_of_the_ledgers_zone(utc: str, today: date) -> None:
    assert at(utc).today == today


@pytest.mark.parametrize(
    ("utc", "days", "before"),
    [
        ("2026-11-24T12:00:00", 23, Days(date(2026, 10, 1), date(2026, 10, 24))),
        ("2026-11-02T12:00:00", 1, Days(date(2026, 10, 1), date(2026, 10, 2))),
        ("2026-11-01T12:00:00", 0, Days(date(2026, 10, 1), date(2026, 10, 1))),
        ("2026-03-31T12:00:00", 28, Days(date(2026, 2, 1), date(2026, 3, 1))),
        ("2026-01-15T12:00:00", 14, Days(date(2025, 12, 1), date(2025, 12, 15))),
    ],
)
def test_the_whole_days_of_a_month_are_compared_with_as_many_of_the_last(utc: str, days: int, before: Days) -> None:
    calendar = at(utc)

    assert calendar.same_days_last_month == before
    assert calendar.compared_days.start == calendar.month_to_date.start
    assert len(calendar.compared_days) == len(before) == days


@pytest.mark.parametrize(
    ("name", "days"),
    [
        ("this-month", Days(date(2026, 11, 1), date(2026, 12, 1))),
        ("last-month", Days(date(2026, 10, 1), date(2026, 11, 1))),
        ("7-days", Days(date(2026, 11, 18), date(2026, 11, 25))),
        ("90-days", Days(date(2026, 8, 27), date(2026, 11, 25))),
        ("900-days", Days(date(2026, 11, 1), date(2026, 12, 1))),
    ],
)
def test_a_range_is_whole_days(name: str, days: Days) -> None:
    assert at("2026-11-24T12:00:00").days_of(name) == days


@pytest.mark.parametrize(
    ("name", "shown", "before"),
    [
        ("custom", Days(date(2026, 11, 1), date(2026, 12, 1)), Days(date(2026, 10, 1), date(2026, 11, 1))),
        ("custom", Days(date(2026, 10, 1), date(2026, 11, 1)), Days(date(2026, 9, 1), date(2026, 10, 1))),
        ("custom", Days(date(2026, 7, 1), date(2027, 1, 1)), Days(date(2026, 1, 1), date(2026, 7, 1))),
        ("custom", Days(date(2024, 1, 1), date(2025, 1, 1)), Days(date(2023, 1, 1), date(2024, 1, 1))),
        ("this-month", Days(date(2026, 3, 1), date(2026, 4, 1)), Days(date(2026, 2, 1), date(2026, 3, 1))),
        ("custom", Days(date(2026, 11, 2), date(2026, 12, 1)), Days(date(2026, 10, 4), date(2026, 11, 2))),
        ("90-days", Days(date(2026, 1, 1), date(2026, 4, 1)), Days(date(2025, 10, 3), date(2026, 1, 1))),
    ],
)
def test_calendar_months_are_compared_with_as_many_before_and_days_with_days(
    name: str, shown: Days, before: Days
) -> None:
    assert at("2026-11-24T12:00:00").days_before(name, shown) == before


def test_the_days_of_a_range_begin_and_end_at_local_midnight_across_a_clock_change() -> None:
    day_of_the_change = Days(date(2026, 10, 25), date(2026, 10, 26))

    hours = (day_of_the_change.ends_at(BERLIN) - day_of_the_change.starts_at(BERLIN)).total_seconds() / 3_600

    assert hours == 25
    assert day_of_the_change.starts_at(BERLIN) == datetime(2026, 10, 24, 22, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("days", "written"),
    [
        (Days(date(2026, 11, 1), date(2026, 12, 1)), "1 to 30 Nov"),
        (Days(date(2026, 8, 27), date(2026, 11, 25)), "27 Aug to 24 Nov"),
        (Days(date(2026, 11, 3), date(2026, 11, 4)), "3 Nov"),
        (Days(date(2026, 12, 20), date(2027, 1, 5)), "20 Dec to 4 Jan"),
        (Days(date(2025, 11, 28), date(2026, 11, 28)), "28 Nov 2025 to 27 Nov 2026"),
        (Days(date(2025, 1, 1), date(2025, 11, 28)), "1 Jan to 27 Nov 2025"),
    ],
)
def test_a_range_is_written_with_its_last_day(days: Days, written: str) -> None:
    assert str(days) == written


@pytest.mark.parametrize(
    ("days", "months"),
    [
        (Days(date(2025, 11, 28), date(2026, 11, 28)), Days(date(2025, 12, 1), date(2026, 11, 1))),
        (Days(date(2026, 2, 1), date(2026, 3, 1)), Days(date(2026, 2, 1), date(2026, 3, 1))),
        (Days(date(2026, 1, 31), date(2026, 3, 2)), Days(date(2026, 2, 1), date(2026, 3, 1))),
        (Days(date(2026, 1, 2), date(2026, 2, 28)), NO_DAYS),
        (Days(date(2026, 1, 15), date(2026, 1, 15)), NO_DAYS),
    ],
)
def test_the_months_of_a_range_lie_whole_in_it(days: Days, months: Days) -> None:
    assert whole_months(days) == months


days_of_two_years = st.tuples(st.integers(0, 700), st.integers(0, 500)).map(
    lambda span: Days(date(2025, 1, 1) + timedelta(days=span[0]), date(2025, 1, 1) + timedelta(days=sum(span)))
)


@pytest.mark.parametrize(
    ("days", "months"),
    [
        # Of a month up to today, days to come are none of it.
        (Days(date(2025, 11, 28), date(2026, 11, 10)), Days(date(2025, 12, 1), date(2026, 12, 1))),
        (Days(date(2025, 11, 16), date(2026, 11, 10)), Days(date(2025, 12, 1), date(2026, 12, 1))),
        (Days(date(2025, 11, 15), date(2026, 11, 10)), Days(date(2025, 11, 1), date(2026, 12, 1))),
        # Of one that is over, they are.
        (Days(date(2026, 9, 1), date(2026, 10, 17)), Days(date(2026, 9, 1), date(2026, 11, 1))),
        (Days(date(2026, 9, 1), date(2026, 10, 16)), Days(date(2026, 9, 1), date(2026, 10, 1))),
        (Days(date(2026, 9, 20), date(2026, 10, 10)), NO_DAYS),
        (Days(date(2026, 10, 5), date(2026, 10, 26)), Days(date(2026, 10, 1), date(2026, 11, 1))),
        (Days(date(2026, 10, 8), date(2026, 10, 22)), NO_DAYS),
        (Days(date(2026, 11, 1), date(2026, 12, 1)), Days(date(2026, 11, 1), date(2026, 12, 1))),
        (Days(date(2026, 11, 1), date(2026, 11, 1)), NO_DAYS),
    ],
)
def test_months_are_read_whole_where_more_of_them_is_in_than_out(days: Days, months: Days) -> None:
    assert months_to_read(days, date(2026, 11, 10)) == months


@given(days_of_two_years, days_of_two_years.map(lambda days: days.end))
def test_what_is_read_of_months_that_stick_out_is_taken_off_again(days: Days, tomorrow: date) -> None:
    cover = Cover.in_months(days, tomorrow)

    read = Counter(day for run in (*cover.days, cover.months) for day in run)
    read.subtract(day for run in cover.less for day in run)
    assert sorted(day for day, times in read.items() if times) == list(days)
    assert set(read.values()) <= {0, 1}
    assert all((run.start.year, run.start.month) == (run.last.year, run.last.month) for run in cover.less)
    out = sum(1 for run in cover.less for day in run if day < max(tomorrow, days.end))
    assert out + sum(map(len, cover.days)) <= len(days)


def test_months_that_are_not_read_of_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="not among the days"):
        Cover.of([Days(date(2026, 9, 20), date(2026, 11, 5))], Days(date(2026, 8, 1), date(2026, 11, 1)))


@given(st.lists(days_of_two_years, min_size=1, max_size=4), st.integers(0, 3))
def test_each_day_is_covered_once(spans: list[Days], which: int) -> None:
    months = whole_months(spans[which % len(spans)])
    cover = Cover.of(spans, months)

    read = [day for run in (*cover.days, cover.months) for day in run]
    assert sorted(read) == sorted({day for span in spans for day in span})
    assert all(cover.days), "none is empty"
    assert months.start.day == months.end.day == 1 or not months
