"""Spend over time, split by who or what, from the sums by day and month.

What all agents did together is read from sums that know no agents, which are few however many these are; of agents
themselves, the days of the dearest alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from heapq import nsmallest
from operator import add
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import BigIntegerField, F, Sum, Value

from agents.models import Agent, AgentDay, ModelDay, TagDay, TagMonth, UsageDay, UsageMonth, WorkspaceTagDay
from agents.spend import Spend, known_cost
from costsite.analytics.filters import Filters
from costsite.analytics.periods import Cover, Days, months_to_read
from costsite.analytics.queries.agents_by_span import Span, agents_by_span
from costsite.analytics.queries.dearest import dearest_by_time
from costsite.analytics.queries.plain import day, plain_sums
from costsite.analytics.queries.rollups import (
    CostByDay,
    SumsOf,
    by_value_and_day,
    narrowed,
    spend_of,
    united,
)

User = AbstractBaseUser | AnonymousUser

FEW_ROWS = 6_000
"""Values times days that are grouped whole."""
FINER = {"provider": ("model",)}
"""By what else days are grouped: days by model and provider come in the order of an index, and need not be sorted."""
NOBODY = Value(None, output_field=BigIntegerField())
"""Whose sums those of all are, where others are somebody's."""


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
    known = None if filters.narrows_usage else totals
    shown = Cover.of([filters.days], drawn)
    before = Cover.of([filters.before] if filters.compare and known is None else [])
    agents: Mapping[int, str] = {}
    if few or key != "agent" or filters.agent is not None:
        rows = (by_agent if key == "agent" else of_all).visible_to(user)
        found = every = _from(filters, _by_value(rows, key, most, shown, before))
    else:
        if known is None:
            parts = by_agent.visible_to(user).over(Cover.in_months(filters.days, tomorrow))
            agents = _dearest_agents(parts, most)
            of_everyone = [rows for cover in (shown, before) for rows in of_all.visible_to(user).over(cover)]
        else:
            agents, of_everyone = _dearest_by_index(user, filters.days, tomorrow, most, scope), []
        # They are known to be seen: asked again whether their workspace is, a database may not go by the agents.
        own = by_agent.filter(agent__in=list(agents)).over(shown) if agents else []
        found = _from(filters, _of_each(own, of_everyone))
        every = [row for row in found if row[0] is None]
    costs: dict[Any, CostByDay] = {}
    for value, at, *counted in found:
        if value is not None:
            costs.setdefault(value, {})[at] = known_cost(*counted)
    spent = {value: sum(cost or 0 for cost in by_day.values()) for value, by_day in costs.items()}
    if known is None:
        summed: dict[date, tuple[int, ...]] = {}
        for _, at, *counted in every:
            summed[at] = tuple(map(add, summed.get(at, (0, 0, 0)), counted))
        known = {at: spend_of(*counted) for at, counted in summed.items()}
    return SplitDays(sorted(spent, key=lambda value: (-spent[value], value)), costs, known, agents)


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


def _from(filters: Filters, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """With a month of which only the end is in the range on the first day that is."""
    first = (filters.before if filters.compare else filters.days).start
    return [(value, max(day(at), first), *counted) for value, at, *counted in rows]


def _by_value(rows: SumsOf, key: str, most: int, shown: Cover, before: Cover) -> list[tuple[Any, ...]]:
    """Of the dearest values of the key and, under None, of all others; of days before under None alone."""
    finer = FINER.get(key, ())
    parts = [by_value_and_day(part.annotate(named=F(key)), *finer) for part in rows.over(shown)]
    parts += [by_value_and_day(part.annotate(named=NOBODY), *finer) for part in rows.over(before)]
    return dearest_by_time(united(parts), ("made", "unpriced", "cost"), most)


def _of_each(of_agents: Sequence[Any], of_everyone: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Rows of agents by agent and day; those of everyone by day, under None."""
    parts = [by_value_and_day(rows.annotate(named=F("agent"))) for rows in of_agents]
    parts += [by_value_and_day(rows.annotate(named=NOBODY)) for rows in of_everyone]
    if not parts:
        return []
    return plain_sums(
        united(parts),
        "SELECT named, at, SUM(made), SUM(unpriced), SUM(cost) FROM ({}) AS part GROUP BY named, at"
        " HAVING SUM(made) > 0",
    )


def _dearest_agents(parts: Sequence[Any], most: int) -> dict[int, str]:
    """Of all parts together, with their names."""
    each = [
        rows.annotate(named=F("agent")).values_list("named").annotate(cost=Sum("added_cost_microcents"))
        for rows in parts
    ]
    dearest = plain_sums(
        united(each),
        "SELECT a.id, a.name, a.slug FROM ({}) AS part JOIN agents_agent AS a ON a.id = part.named"
        " GROUP BY a.id, a.name, a.slug HAVING SUM(cost) > 0 ORDER BY SUM(cost) DESC, a.id LIMIT %s",
        most,
    )
    return {pk: name or slug for pk, name, slug in dearest}


def _dearest_by_index(user: User, days: Days, tomorrow: date, most: int, scope: Mapping[str, object]) -> dict[int, str]:
    """The same of all that agents did, which is read agent by agent."""
    span = Span(days, ("calls", "cost_microcents"), months=months_to_read(days, tomorrow))
    spent = agents_by_span(Agent.objects.visible_to(user).filter(**scope), ("id", "name", "slug"), [span])
    dearest = nsmallest(most, spent, key=lambda row: (-row[-1], row[0]))
    return {pk: name or slug for pk, name, slug, _, cost in dearest if cost}
