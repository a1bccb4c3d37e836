"""Where a month is heading: worked out on days one can count on one's fingers."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from costsite.analytics.burn_down import BurnDown, Limit, between, burn_down, error_words
from costsite.analytics.forecast import Forecast, TooShort, forecast_month
from costsite.analytics.periods import Days

NOVEMBER = Days(date(2026, 11, 1), date(2026, 12, 1))
TODAY = date(2026, 11, 24)
"""A Tuesday; from it on November has seven days, of which two are a weekend."""
CENT = 1_000_000


def weekdays(cents: int, weekend: int = 0, since: date = date(2026, 10, 1)) -> dict[date, int]:
    """The same every weekday and every day of a weekend, up to yesterday."""
    days = [since + timedelta(days=number) for number in range((TODAY - since).days)]
    return {day: (weekend if day.weekday() >= 5 else cents) * CENT for day in days}


def foreseen(spent: dict[date, int], today: date = TODAY) -> Forecast:
    forecast = forecast_month(spent, today, NOVEMBER)
    assert isinstance(forecast, Forecast)
    return forecast


def test_days_that_are_always_alike_are_foreseen_to_the_cent() -> None:
    forecast = foreseen(weekdays(100, weekend=10))

    # November so far: 16 weekdays (2 to 23 Nov without weekends) and 7 weekend days: 1,600 + 70 cents.
    # To come: Tue 24, Wed, Thu, Fri, Mon 30: 500; Sat and Sun: 20.
    assert (forecast.end.low, forecast.end.median, forecast.end.high) == (2_190 * CENT,) * 3
    assert [one.median // CENT for one in forecast.days] == [1_770, 1_870, 1_970, 2_070, 2_080, 2_090, 2_190]
    assert forecast.end.day == date(2026, 11, 30)


def test_what_today_has_cost_already_is_not_forgotten() -> None:
    forecast = foreseen(weekdays(100) | {TODAY: 350 * CENT})

    assert forecast.days[0].median == (1_600 + 350) * CENT
    assert forecast.end.median == (1_600 + 350 + 400) * CENT


def test_a_band_is_as_wide_as_days_differ() -> None:
    calm, wild = weekdays(100), weekdays(100)
    for number, day in enumerate(sorted(wild)):
        wild[day] = wild[day] * (3 if number % 3 == 0 else 0)

    quiet, loud = foreseen(calm).end, foreseen(wild).end
    assert quiet.high == quiet.low
    assert loud.low < loud.median < loud.high


def test_the_same_days_have_the_same_forecast() -> None:
    spent = {day: cost * (day.day % 5) for day, cost in weekdays(100, weekend=30).items()}

    assert foreseen(spent) == foreseen(dict(reversed(spent.items())))


@pytest.mark.parametrize(("days", "said"), [(0, "there are 0"), (1, "there is 1"), (6, "there are 6")])
def test_too_few_days_with_spending_make_no_forecast(days: int, said: str) -> None:
    spent = {TODAY - timedelta(days=number + 1): CENT for number in range(days)}

    forecast = forecast_month(spent | {TODAY: CENT}, TODAY, NOVEMBER)

    assert isinstance(forecast, TooShort)
    assert str(forecast) == f"A forecast needs 7 days with spending; {said}."


def test_seven_days_with_spending_are_enough() -> None:
    assert foreseen({TODAY - timedelta(days=number + 1): CENT for number in range(7)}).end.median == 14 * CENT


def test_a_budget_runs_out_on_the_day_the_median_reaches_it() -> None:
    forecast = foreseen(weekdays(100))

    assert forecast.runs_out(1_700 * CENT) == TODAY
    assert forecast.runs_out(1_800 * CENT) == date(2026, 11, 25)
    assert forecast.runs_out(2_100 * CENT) == date(2026, 11, 30)
    assert forecast.runs_out(2_101 * CENT) is None


def test_forecasts_are_tested_on_weeks_that_are_over() -> None:
    steady = foreseen(weekdays(100, weekend=10))
    # The last week alone cost double: what came before it foresaw half of that. Earlier weeks were foreseen right.
    risen = weekdays(100, weekend=10)
    for number in range(1, 8):
        risen[TODAY - timedelta(days=number)] *= 2

    assert (steady.error_percent, steady.tested) == (0, 4)
    assert foreseen(risen).tested == 4
    only_one_week = {TODAY - timedelta(days=number): (200 if number < 8 else 100) * CENT for number in range(1, 16)}
    assert (foreseen(only_one_week).error_percent, foreseen(only_one_week).tested) == (50, 1)
    assert "half of them were within 50 %" in error_words(foreseen(only_one_week))
    young = foreseen({TODAY - timedelta(days=number + 1): CENT for number in range(7)})
    assert (young.error_percent, young.tested) == (None, 0)
    assert error_words(young) == "Not tested yet: it needs two weeks with spending."


def test_days_older_than_eight_weeks_are_not_drawn_from() -> None:
    long_ago = {date(2026, 5, 1) + timedelta(days=number): 9_999 * CENT for number in range(30)}

    assert foreseen(long_ago | weekdays(100)) == foreseen(weekdays(100))


def test_on_the_last_day_of_a_month_there_is_only_today_to_foresee() -> None:
    forecast = foreseen(weekdays(100), today=date(2026, 11, 30))

    assert [one.day for one in forecast.days] == [date(2026, 11, 30)]


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (4_310 * CENT, 6_090 * CENT, "$43 to $61"),
        (310 * CENT, 909 * CENT, "$3.10 to $9.09"),
        (2 * CENT, 50 * CENT, "2.00¢ to 50.00¢"),
        (4_310 * CENT, 4_312 * CENT, "$43"),
    ],
)
def test_a_band_is_written_as_exactly_as_it_is_known(low: int, high: int, words: str) -> None:
    assert between(low, high) == words


# ── will it hold ─────────────────────────────────────────────────────────────────────────────────────────────────────


def drawn(limit: int | None, spent: dict[date, int] | None = None) -> BurnDown:
    spent = weekdays(100) if spent is None else spent
    forecast = forecast_month(spent, TODAY, NOVEMBER)
    budget = Limit(limit * CENT, (50, 80, 100)) if limit else None
    return burn_down(spent, TODAY, NOVEMBER, forecast, budget, day_href=str)


@pytest.mark.parametrize(
    ("limit", "title"),
    [
        (None, "Heading for $21 by 30 Nov"),
        (1_500, "The budget of $15.00 is spent"),
        (1_800, "At this pace the budget runs out about 25 Nov"),
        (4_200, "It holds: 50 % of the budget by 30 Nov"),
    ],
)
def test_whether_it_holds_is_said_first(limit: int | None, title: str) -> None:
    assert drawn(limit).title == title


def test_the_day_it_runs_out_has_a_flag_and_a_spent_budget_none() -> None:
    out = drawn(1_800).out
    assert out is not None
    assert out.tip == "runs out about 25 Nov"
    assert drawn(1_500).out is None
    assert drawn(9_000).out is None


def test_lines_below_the_limit_are_drawn_and_the_limit_itself_once() -> None:
    chart = drawn(4_000)

    assert [line.label for line in chart.thresholds] == ["50 %", "80 %"]
    assert chart.limit is not None
    assert chart.limit.label == "budget $40.00"


def test_its_table_goes_on_from_what_was_to_what_may_be() -> None:
    rows = {row[0]: row[1:] for row in drawn(4_000).exact_rows}

    assert rows["2026-11-23"] == ("1600", None, None, None)
    assert rows["2026-11-24"] == ("1600", "1700", "1700", "1700")
    assert rows["2026-11-30"] == (None, "2100", "2100", "2100")


def test_without_spending_there_is_a_line_along_the_ground_and_no_band() -> None:
    chart = drawn(None, {})

    assert chart.band == ""
    assert chart.title == "0¢ by 24 Nov"
    assert "A forecast needs 7 days with spending; there are 0." in chart.measure
