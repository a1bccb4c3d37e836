"""Until when a grant holds, by days as people say them: through the last one, in the ledger's time zone."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from django.core.exceptions import ValidationError

from agents.clock import month_bounds, month_of
from agents.models import LedgerState
from budgets.policies import LONGEST_GRANT


def last_day_of_this_month() -> date:
    return month_bounds(month_of(LedgerState.current().today()))[1] - timedelta(days=1)


def end_of(last_day: date) -> datetime:
    """The first instant after `last_day`, in UTC.

    Raises:
        ValidationError: The day is over, or more than a year ahead.

    """
    ledger = LedgerState.current()
    today = ledger.today()
    if last_day < today:
        raise ValidationError({"ends_at": f"{last_day} is over; choose today, {today}, or a later day."})
    if last_day >= today + LONGEST_GRANT:
        raise ValidationError({"ends_at": f"{last_day} is over a year ahead; raise the budget itself instead."})
    return ledger.days().start(last_day + timedelta(days=1))
