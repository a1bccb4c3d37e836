"""Spend over time, split by who or what, from the sums by day and month.

What all agents did together is read from sums by day that know no agents, which are few however many these are, and
from sums by month; of agents themselves, the dearest alone are read day by day.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from heapq import nsmallest
from operator import add
from types import MappingProxyType
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import F, Sum
from django.db.models.expressions import RawSQL

from agents.models import Agent, AgentDay, ModelDay, TagDay, TagMonth, UsageDay, UsageMonth, WorkspaceTagDay
from agents.spend import Spend, known_cost
from costsite.analytics.filters import Filters
from costsite.analytics.periods import Cover, Days, months_to_read
from costsite.analytics.queries.agents_by_span import Span, agents_by_span
from costsite.analytics.queries.dearest import dearest_by_time
from costsite.analytics.queries.plain import day, plain_sums
from costsite.analytics.queries.rollups import (
    NULL,
    CostByDay,
    SumsOf,
    by_value_and_day,
    days_of_agents,
    narrowed,
    spend_of,
    united,
)

User = AbstractBaseUser | AnonymousUser

FEW_ROWS = 6_000
"""Values times days that are grouped whole."""
FINER = {"provider": ("model",)}
"""By what else days are grouped: days by model and provider come in the order of an index, and need not be sorted."""
Row = tuple[Any, ...]
"""A value or None, a day, and of its calls what `known_cost` takes."""


@dataclass(frozen=True)
class SplitDays:
    """Days split by a column: the dearest values of it, and what all of them come to."""

    dearest: Sequence[Any]
    costs: Mapping[Any, CostByDay]
    totals: Mapping[date, Spend]
    names: Mapping[int, str]
    """Of the agents among the dearest, where they were read with these."""


def usage_split(
    user: User,
    filters: Filters,
    key: str,
    most: int,
    totals: Mapping[date, Spend],
    *,
    drawn: Days,
    tomorrow: date,
    few: bool = False,
    **scope: Any,
) -> SplitDays:
    """Usage of `scope` (columns of `UsageDay`) that the filters want, a row for each day and each of the `most` dearest
    values of `key`; what is beyond them is in the totals alone, with the range before where that is compared.

    `drawn`: of the range, months of which each stands on its first day in it alone. `totals`: of the whole scope by
    day, which hold as long as nothing narrows it. Of a tag there are sums by agent and workspace alone: models,
    providers and states do not narrow it. `few`: of the key there are few values.
    """
    by_agent, of_all = _sums(filters, scope)
    shown = Cover.of([filters.days], drawn)
    narrows = filters.narrows_usage
    before = Cover.of([filters.before] if filters.compare and narrows else [])
    if few or key != "agent" or filters.agent is not None:
        rows = (by_agent if key == "agent" else of_all).visible_to(user)
        found = _in_range(filters, _by_value(rows, key, most, shown, before))
        return _split(_costs(found), _totals(found) if narrows else totals)
    if not narrows and not drawn:
        names = _dearest_agents(user, filters.days, tomorrow, most, scope)
        return _split(days_of_agents(shown, list(names)), totals, names)
    ranked = by_agent.visible_to(user).over(Cover.in_months(filters.days, tomorrow))
    everyone = [rows for cover in (shown, before) for rows in of_all.visible_to(user).over(cover)] if narrows else []
    found, names = _of_dearest_and_everyone(ranked, by_agent, shown, everyone, most)
    found = _in_range(filters, found)
    return _split(_costs(found), _totals(row for row in found if row[0] is None) if narrows else totals, names)


def _costs(found: Iterable[Row]) -> dict[Any, CostByDay]:
    costs: dict[Any, CostByDay] = {}
    for value, at, *counted in found:
        if value is not None:
            costs.setdefault(value, {})[at] = known_cost(*counted)
    return costs


def _split(
    costs: Mapping[Any, CostByDay], totals: Mapping[date, Spend], names: Mapping[int, str] = MappingProxyType({})
) -> SplitDays:
    spent = {value: sum(cost or 0 for cost in by_day.values()) for value, by_day in costs.items()}
    return SplitDays(sorted(spent, key=lambda value: (-spent[value], value)), costs, totals, names)


def _totals(found: Iterable[Row]) -> dict[date, Spend]:
    summed: dict[date, tuple[int, ...]] = {}
    for _, at, *counted in found:
        summed[at] = tuple(map(add, summed.get(at, (0, 0, 0)), counted))
    return {at: spend_of(*counted) for at, counted in summed.items()}


def _sums(filters: Filters, scope: Mapping[str, object]) -> tuple[SumsOf, SumsOf]:
    """What the filters want, by agent; and, as long as it is not of one agent, whichever agents called."""
    if filters.tag:
        wanted: dict[str, object] = {"tag": filters.tag}
        if filters.agent is not None:
            wanted["agent_id"] = filters.agent
        by_agent, of_all = SumsOf.tables(TagDay, TagMonth), SumsOf.tables(WorkspaceTagDay, TagMonth)
    else:
        wanted = narrowed(filters)
        by_agent = SumsOf.tables(UsageDay if wanted else AgentDay, UsageMonth)
        of_all = SumsOf.tables(ModelDay, UsageMonth)
    by_agent = by_agent.filter(**wanted, **scope)
    return by_agent, by_agent if filters.agent is not None else of_all.filter(**wanted, **scope)


def _in_range(filters: Filters, rows: Iterable[Row]) -> list[Row]:
    """With a month of which only the end is in the range on the first day that is."""
    first = (filters.before if filters.compare else filters.days).start
    return [(value, max(day(at), first), *counted) for value, at, *counted in rows]


def _by_value(rows: SumsOf, key: str, most: int, shown: Cover, before: Cover) -> list[Row]:
    """Of the dearest values of the key and, under None, of all others; of days before under None alone."""
    finer = FINER.get(key, ())
    parts = [by_value_and_day(part.annotate(named=F(key)), *finer) for part in rows.over(shown)]
    parts += [by_value_and_day(part.annotate(named=NULL), *finer) for part in rows.over(before)]
    return dearest_by_time(united(parts), ("made", "unpriced", "cost"), most)


_OF_DEAREST_AND_EVERYONE = """
WITH dearest AS MATERIALIZED (
    SELECT named FROM ({{}}) AS ranked
    GROUP BY named HAVING SUM(cost) > 0 ORDER BY SUM(cost) DESC, named LIMIT {most:d}
)
SELECT named, at, SUM(made), SUM(unpriced), SUM(cost), name, slug
FROM ({{}}) AS part LEFT JOIN agents_agent AS agent ON agent.id = part.named
GROUP BY named, at, name, slug HAVING SUM(made) > 0
"""


def _of_dearest_and_everyone(
    ranked: Sequence[Any], by_agent: SumsOf, shown: Cover, everyone: Sequence[Any], most: int
) -> tuple[list[Row], dict[int, str]]:
    """Of the agents that are the dearest of all `ranked` rows, and of `everyone` under None; and the agents' names."""
    cost_of_each = [
        rows.annotate(named=F("agent")).values_list("named").annotate(cost=Sum("added_cost_microcents"))
        for rows in ranked
    ]
    of_dearest = by_agent.filter(agent__in=RawSQL("SELECT named FROM dearest", []))
    parts = [by_value_and_day(rows.annotate(named=F("agent"))) for rows in of_dearest.over(shown)]
    parts += [by_value_and_day(rows.annotate(named=NULL)) for rows in everyone]
    found = plain_sums(
        _OF_DEAREST_AND_EVERYONE.format(most=most),
        united(cost_of_each),
        united(parts),
    )
    names = {row[0]: row[-2] or row[-1] for row in found if row[0] is not None}
    return [row[:-2] for row in found], names


def _dearest_agents(user: User, days: Days, tomorrow: date, most: int, scope: Mapping[str, object]) -> dict[int, str]:
    """Of all that agents did, with their names. Each is asked for its part of an index: to group all rows by agent is
    to sort them, which takes longer for days than for the months of a year.
    """
    span = Span(days, ("calls", "cost_microcents"), months=months_to_read(days, tomorrow))
    spent = agents_by_span(Agent.objects.visible_to(user).filter(**scope), ("id", "name", "slug"), [span])
    dearest = nsmallest(most, spent, key=lambda row: (-row[-1], row[0]))
    return {pk: name or slug for pk, name, slug, _, cost in dearest if cost}
