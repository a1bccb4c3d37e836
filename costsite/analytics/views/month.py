"""How the month goes on: its forecast, and whether a budget holds."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

from agents.spend import Spend
from budgets.enforcement import Standing
from costsite.analytics.burn_down import BurnDown, Limit, burn_down
from costsite.analytics.forecast import Forecast, TooShort, forecast_month
from costsite.analytics.periods import Calendar, Days
from costsite.analytics.queries.standings import Watched
from costsite.analytics.views.page import Export
from costsite.analytics.views.spend_chart import runs_of_days


def month_forecast(spent: Mapping[date, int], calendar: Calendar) -> Forecast | TooShort:
    """`spent`: microcents a day."""
    return forecast_month(spent, calendar.today, calendar.month)


def will_hold(
    spent: Mapping[date, int],
    calendar: Calendar,
    standing: Standing | None,
    of: Mapping[str, object],
    *,
    unpriced_calls: int = 0,
) -> BurnDown:
    """Against the budget that stands so, if there is one. `unpriced_calls` of the month are not in `spent`.

    `of`: whose runs a point leads to, as a part of the run logs' query string.
    """
    limit = Limit(standing.limit, tuple(standing.policy.thresholds)) if standing else None
    forecast = month_forecast(spent, calendar)

    def opens(day: date) -> str:
        return runs_of_days(Days(day, day + timedelta(days=1)), **of)

    return burn_down(
        spent, calendar.today, calendar.month, forecast, limit, unpriced_calls=unpriced_calls, day_href=opens
    )


def will_hold_if_known(
    spent: Mapping[date, int], calendar: Calendar, own: Watched | None, so_far: Spend, of: Mapping[str, object]
) -> BurnDown | None:
    """None where nothing of the month has a price: a line along the ground would say that it cost nothing."""
    if so_far.cost is None:
        return None
    return will_hold(spent, calendar, own.standing if own else None, of, unpriced_calls=so_far.unpriced_calls)


def will_hold_export(drawn: BurnDown | None, calendar: Calendar) -> Export:
    """The month as a file; without a line where nothing of it could be drawn."""
    return Export(BurnDown.exact_head, drawn.exact_rows if drawn else ()).over(calendar.month)
