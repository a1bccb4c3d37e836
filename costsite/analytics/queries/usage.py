"""Spend over time, split by who or what: from the rollups by day, from runs by hour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from agents.models import TagDay, UsageDay
from agents.spend import NOTHING, Spend, known_cost
from costsite.analytics.filters import Filters
from costsite.analytics.periods import Calendar, Days
from costsite.analytics.queries.rollups import SplitDays, narrowed, split_by_day
from costsite.analytics.queries.runs import NEWEST_FIRST, RunFilter, first_runs

User = AbstractBaseUser | AnonymousUser

HOURLY_RUNS = 20_000
"""The newest, of two days: hours are not rolled up."""


def usage_split(
    user: User, filters: Filters, key: str, most: int, totals: Mapping[date, Spend], **scope: Any
) -> SplitDays:
    """Usage of `scope` (columns of `UsageDay`) that the filters want; with the range before where it is compared.

    `totals`: of the whole scope by day, which hold as long as nothing narrows it. Of a tag there are sums by agent and
    workspace alone: models, providers and states do not narrow it.
    """
    days = Days(filters.before.start, filters.days.end) if filters.compare else filters.days
    if filters.tag:
        of_agent = {"agent_id": filters.agent} if filters.agent else {}
        tagged = TagDay.objects.visible_to(user).filter(tag=filters.tag, **of_agent, **scope)
        return split_by_day(tagged, days, key, most)
    rows = UsageDay.objects.visible_to(user).filter(narrowed(filters), **scope)
    return split_by_day(rows, days, key, most, None if filters.of_calls or filters.agent else totals)


@dataclass(frozen=True)
class Hours:
    """What runs cost by the hour they began in. Keys of the hours are UTC instants."""

    names: Mapping[int, str]
    costs: Mapping[int, Mapping[datetime, int | None]]
    totals: Mapping[datetime, Spend]
    cut: bool
    """There are more runs than were read: the oldest hours are short of them."""


def spend_by_hour(user: User, calendar: Calendar, key: str, wanted: RunFilter, *, compare: bool) -> Hours:
    """Of the last 24 hours, or of 48 to compare them; split by `agent` or `workspace`, the dearest first."""
    since = calendar.now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=47 if compare else 23)
    rows: Any = first_runs(user, calendar, wanted.since(since), *NEWEST_FIRST, most=HOURLY_RUNS)
    spent: dict[int, dict[datetime, Spend]] = {}
    totals: dict[datetime, Spend] = {}
    names: dict[int, str] = {}
    count = 0
    columns = (f"{key}_id", f"{key}__name", f"{key}__slug", "started_at", "calls", "unpriced_calls", "cost_microcents")
    for pk, name, slug, at, calls, unpriced, cost in rows.values_list(*columns):
        count += 1
        hour = at.replace(minute=0, second=0, microsecond=0)
        spend = Spend(calls=calls, unpriced_calls=unpriced, cost_microcents=cost)
        totals[hour] = totals.get(hour, NOTHING) + spend
        of_one = spent.setdefault(pk, {})
        of_one[hour] = of_one.get(hour, NOTHING) + spend
        names[pk] = name or slug
    costs: dict[int, dict[datetime, int | None]] = {
        pk: {
            hour: known_cost(spend.calls, spend.unpriced_calls, spend.cost_microcents)
            for hour, spend in by_hour.items()
        }
        for pk, by_hour in spent.items()
    }
    order = sorted(costs, key=lambda pk: (-sum(cost or 0 for cost in costs[pk].values()), names[pk]))
    return Hours({pk: names[pk] for pk in order}, costs, totals, cut=count == HOURLY_RUNS)
