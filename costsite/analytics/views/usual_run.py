"""What a run usually costs."""

from __future__ import annotations

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from costsite.analytics.per_run import PerRun, per_run
from costsite.analytics.periods import Calendar
from costsite.analytics.queries.run_costs import newest_costs
from costsite.analytics.queries.run_filter import RunFilter

MEDIAN_OF = 1_000
"""The newest runs. A median needs each run, and a page does not read a million of them."""


def usual_run(
    user: AbstractBaseUser | AnonymousUser, calendar: Calendar, wanted: RunFilter, most: int = MEDIAN_OF
) -> PerRun:
    newest = newest_costs(user, calendar, wanted, most)
    return per_run(newest, cut=len(newest) == most)
