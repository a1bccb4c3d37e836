"""One agent's days, as the rollup keeps them: one read that its page adds up in several ways."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from agents.models import UsageDay, UsageMonth
from agents.spend import NOTHING, Spend
from costsite.analytics.filters import Filters
from costsite.analytics.periods import Cover, Days
from costsite.analytics.queries.plain import plain_rows
from costsite.analytics.queries.rollups import CostByDay, SumsOf, united
from costsite.analytics.queries.site import COLUMNS

User = AbstractBaseUser | AnonymousUser
Key = TypeVar("Key", bound=Hashable)


class UsageRow(NamedTuple):
    day: date
    """Or the first of the month, where that is read as one."""
    provider: str
    model: str
    status: str
    effort: str
    spend: Spend

    def is_wanted(self, filters: Filters) -> bool:
        return all(
            value in ("", mine)
            for value, mine in (
                (filters.provider, self.provider),
                (filters.model, self.model),
                (filters.status, self.status),
            )
        )


@dataclass(frozen=True)
class AgentUsage:
    rows: tuple[UsageRow, ...]

    def wanted(self, filters: Filters) -> AgentUsage:
        return AgentUsage(tuple(row for row in self.rows if row.is_wanted(filters)))

    def total(self, days: Days) -> Spend:
        return Spend.sum_of(row.spend for row in self.rows if days.start <= row.day < days.end)

    def by(self, days: Days, key: Callable[[UsageRow], Key]) -> list[tuple[Key, Spend]]:
        """Summed by a key, the dearest first."""
        found = self._sums(days, key)
        return sorted(found.items(), key=lambda item: (-item[1].cost_microcents, -item[1].calls, str(item[0])))

    def by_day(self, days: Days) -> dict[date, Spend]:
        return self._sums(days, lambda row: row.day)

    def costs_by_model(self, days: Days) -> dict[str, CostByDay]:
        costs: dict[str, CostByDay] = defaultdict(dict)
        for (model, day), spend in self._sums(days, lambda row: (row.model, row.day)).items():
            costs[model][day] = spend.cost
        return costs

    def _sums(self, days: Days, key: Callable[[UsageRow], Key]) -> dict[Key, Spend]:
        found: dict[Key, list[Spend]] = defaultdict(list)
        for row in self.rows:
            if days.start <= row.day < days.end:
                found[key(row)].append(row.spend)
        return {value: spends[0] if len(spends) == 1 else Spend.sum_of(spends) for value, spends in found.items()}

    def spent_by_day(self) -> dict[date, int]:
        """Microcents of what has a price."""
        spent: dict[date, int] = {}
        for row in self.rows:
            spent[row.day] = spent.get(row.day, 0) + row.spend.cost_microcents
        return spent


def agent_usage(user: User, agent_id: int, cover: Cover) -> AgentUsage:
    """As many rows as the agent has models, states and efforts on the days it ran; of a month that is read as one, on
    its first day.
    """
    rows = SumsOf.tables(UsageDay, UsageMonth).visible_to(user).filter(agent_id=agent_id)
    columns = ("at", "provider", "model", "status", "effort", *COLUMNS)
    found = plain_rows(united([part.values_list(*columns) for part in rows.over(cover)]))
    return AgentUsage(tuple(UsageRow._make((*row[:5], Spend(*row[5:]))) for row in found))


def by_model(row: UsageRow) -> tuple[str, str]:
    """(provider, model)."""
    return row.provider, row.model


def of_status(usage: AgentUsage, days: Days, *statuses: str) -> Spend:
    sums: Mapping[str, Spend] = dict(usage.by(days, lambda row: row.status))
    return Spend.sum_of(sums.get(status, NOTHING) for status in statuses)
