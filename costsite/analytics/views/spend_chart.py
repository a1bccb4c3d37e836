"""The chart of spend over the range: by hour, by day, split by what one chose, compared when one asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zlib import crc32

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.urls import reverse

from agents.spend import NOTHING, Spend
from costsite.analytics.charts import slots_for
from costsite.analytics.comparison import Before, Comparison, answer, nothing_spent
from costsite.analytics.filters import Filters
from costsite.analytics.periods import NO_DAYS, Calendar, Days, first_of_month, months_to_read, whole_months
from costsite.analytics.queries.agents import AgentFacts, names_of
from costsite.analytics.queries.hours import HOURLY_RUNS, Hours
from costsite.analytics.queries.usage import SplitDays
from costsite.analytics.stacks import SERIES, Series, Stack, drawn_per, hour_steps, spend_per_day, spend_stack

User = AbstractBaseUser | AnonymousUser

HOURS = "24-hours"


@dataclass(frozen=True)
class Split:
    """What a chart is drawn of, over the range and, where it is compared, the one before."""

    names: Mapping[Any, str]
    costs: Mapping[Any, Mapping[Any, int | None]]
    totals: Mapping[Any, Spend]
    hrefs: Callable[[Any], str]
    by_id: bool
    """Its keys are ids, which keep a colour by themselves; else names."""

    def series(self) -> list[Series]:
        shown = list(self.names)[:SERIES]
        slots = slots_for(shown) if self.by_id else name_slots([str(key) for key in shown])
        return [
            Series(self.names[key] or "unnamed", slots[key], self.costs.get(key, {}), self.hrefs(key))
            for key in shown
            if key in slots
        ]


def split_of(found: SplitDays, user: User, by: str, known: Mapping[int, str], hrefs: Callable[[Any], str]) -> Split:
    """With names. `known`: of agents or workspaces; agents that are not among them are asked for."""
    if by not in ("agent", "workspace"):
        return Split({key: str(key) for key in found.dearest}, found.costs, found.totals, hrefs, by_id=False)
    names = names_for(found.dearest, user, by, {**known, **found.names})
    return Split(
        {key: names[key] for key in found.dearest if key in names}, found.costs, found.totals, hrefs, by_id=True
    )


def names_for(found: Sequence[int], user: User, by: str, known: Mapping[int, str]) -> Mapping[int, str]:
    """`known`, with the agents of `found` that are not among them."""
    unknown = [key for key in found if key not in known]
    return {**known, **names_of(user, unknown)} if unknown and by == "agent" else known


def name_slots(names: Sequence[str]) -> dict[str, int]:
    """A model keeps its colour on every page: by its name, since it has no row of its own."""
    homes = {name: crc32(name.encode("utf-8", "replace")) + 1 for name in names}
    slots = slots_for(list(homes.values()))
    return {name: slots[home] for name, home in homes.items() if home in slots}


@dataclass(frozen=True)
class Drawn:
    """How fine a range is drawn, by which it is read."""

    per: str
    """What a column is of: `day`, `week` or `month`."""
    months: Days
    """Those of which no day is needed: each may stand on its first day in the range alone."""


def drawn_as(filters: Filters, calendar: Calendar, *, for_file: bool) -> Drawn:
    """`for_file`: by day even where the page draws weeks or months."""
    per = "day" if for_file else drawn_per(filters.days)
    if per != "month":
        return Drawn(per, NO_DAYS)
    if not filters.compare:
        return Drawn(per, months_to_read(filters.days, calendar.tomorrow))
    # Today is not compared, so of its month the days are needed.
    months = whole_months(filters.days)
    end = max(months.start, min(months.end, first_of_month(calendar.today)))
    return Drawn(per, Days(months.start, end))


def spend_chart(
    name: str,
    split: Split,
    filters: Filters,
    calendar: Calendar,
    comparison: Comparison,
    *,
    what: str,
    kept: Mapping[str, object],
    drawn: Drawn,
) -> Stack:
    """`what`: what it is split by, in a word. `kept`: of what the runs are that its columns lead to. `drawn`: as the
    split was read.
    """
    before_totals = [split.totals.get(day, NOTHING) for day in filters.before] if filters.compare else []
    shown = Spend.sum_of(spend for day, spend in split.totals.items() if day in filters.days)
    before = None
    if filters.compare:
        # Whole days alone: a part of today against a whole day would hide a rise until midnight.
        whole = sum(1 for day in filters.days if day < calendar.today)
        through = Spend.sum_of(split.totals.get(day, NOTHING) for day in list(filters.days)[:whole])
        earlier = Days(filters.before.start, min(filters.before.end, filters.before.start + timedelta(days=whole)))
        before = Before(through, Spend.sum_of(before_totals[:whole]), str(earlier) if earlier else "")
    of = _of(filters)
    return spend_per_day(
        name,
        title=answer(filters.range, comparison, shown, filters.days, calendar, before=before, narrowed=filters.narrows),
        of=f" by {what}{f' of {of}' if of else ''}",
        beside=f"line: {filters.before}" if filters.compare else "",
        totals=split.totals,
        series=split.series(),
        days=filters.days,
        calendar=calendar,
        day_href=lambda part: runs_of_days(part, **kept, **as_run_filter(filters)),
        before=filters.before if filters.compare else None,
        per=drawn.per,
    )


def as_run_filter(filters: Filters) -> dict[str, str]:
    """What narrows the page within agents and workspaces, as the address of the run logs names it."""
    wanted = {"provider": filters.provider, "model": filters.model, "call_status": filters.status, "tag": filters.tag}
    return {name: value for name, value in wanted.items() if value}


def runs_of_part(filters: Filters, by: str, part: object, kept: Mapping[str, object]) -> str:
    """The run logs of a model or a provider, over the range; nothing for what has no name to ask for."""
    if not part:
        return ""
    return runs_of_days(filters.days, **{**kept, **as_run_filter(filters), by: part})


AGENTS_LISTED = 200


def listed(names: Mapping[int, str], chosen: AgentFacts | None) -> list[tuple[int, str]]:
    """Agents to choose from, by name; the chosen one among them, however many there are."""
    every = names if chosen is None else {**names, chosen.id: chosen.name}
    ordered = sorted(every.items(), key=lambda one: (one[1].lower(), one[0]))
    return [one for index, one in enumerate(ordered) if index < AGENTS_LISTED or (chosen and one[0] == chosen.id)]


def _of(filters: Filters) -> str:
    """What the chart was narrowed to."""
    if filters.tag:
        return f"tag {filters.tag}{', whatever its model, provider and status' if filters.calls_in_words else ''}"
    return filters.calls_in_words


def hourly_chart(
    name: str,
    hours: Hours,
    names: Mapping[int, str],
    filters: Filters,
    calendar: Calendar,
    *,
    what: str,
    hrefs: Callable[[int], str],
    kept: Mapping[str, object],
) -> Stack:
    """The last 24 hours. Calls are summed by day; by hour it is whole runs, in the hour they began."""
    named = {pk: names[pk] for pk in hours.dearest if pk in names}
    split = Split(named, hours.costs, hours.totals, hrefs, by_id=True)
    steps = hour_steps(calendar, lambda at: runs_of_hour(at, **kept))
    day, totals = timedelta(hours=24), hours.totals
    earlier = [totals.get(step.key - day, NOTHING) for step in steps] if filters.compare else []
    shown = Spend.sum_of(totals.get(step.key, NOTHING) for step in steps)
    before = None
    if filters.compare:
        through = Spend.sum_of(totals.get(step.key, NOTHING) for step in steps[:-1])
        before = Before(through, Spend.sum_of(earlier[:-1]), "the same 23 whole hours of the day before")
    nothing = Comparison(0, Days(calendar.today, calendar.today), 0, Days(calendar.today, calendar.today))
    title = answer(filters.range, nothing, shown, filters.days, calendar, before=before)
    if before is None and shown.cost is not None:
        title = nothing_spent(shown, "in 24 hours", narrowed=bool(filters.workspace or filters.agent))
        if shown.cost:
            peak = max(steps, key=lambda step: totals.get(step.key, NOTHING).cost_microcents)
            title = f"Most in the hour from {peak.label}"
    cut = f", newest {HOURLY_RUNS:,} runs" if hours.cut else ""
    if as_run_filter(filters):
        cut += ", whole runs: neither model, provider, status nor tag narrows hours"
    return spend_stack(
        name,
        title=title,
        measure=f"Estimated cost of the runs that began, by hour and {what}, 24 hours{cut}",
        totals=hours.totals,
        series=split.series(),
        steps=steps,
        per="hour",
        before=earlier,
    )


def runs_of_days(days: Days, **wanted: object) -> str:
    """The run logs of a day or of more."""
    if len(days) == 1:
        return f"{reverse('runs')}?{urlencode({'day': f'{days.start}'} | wanted)}"
    return f"{reverse('runs')}?{urlencode({'from': f'{days.start}', 'to': f'{days.last}'} | wanted)}"


def runs_of_hour(at: datetime, **wanted: object) -> str:
    return f"{reverse('runs')}?{urlencode({'hour': f'{at.astimezone(UTC):%Y-%m-%dT%H}'} | wanted)}"
