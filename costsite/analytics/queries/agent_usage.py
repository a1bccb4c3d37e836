"""One agent's days, as the rollup keeps them: one read that its page adds up in several ways."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from agents.models import UsageDay
from agents.spend import NOTHING, Spend
from costsite.analytics.filters import Filters
from costsite.analytics.periods import Days
from costsite.analytics.queries.rollups import CostByDay, within
from costsite.analytics.queries.site import COLUMNS

User = AbstractBaseUser | AnonymousUser
Key = TypeVar("Key", bound=Hashable)


class UsageRow(NamedTuple):
    day: date
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
        return sum((row.spend for row in self.rows if row.day in days), NOTHING)

    def by(self, days: Days, key: Callable[[UsageRow], Key]) -> list[tuple[Key, Spend]]:
        """Summed by a key, the dearest first."""
        sums: dict[Key, Spend] = {}
        for row in self.rows:
            if row.day in days:
                sums[key(row)] = sums.get(key(row), NOTHING) + row.spend
        return sorted(sums.items(), key=lambda item: (-item[1].cost_microcents, -item[1].calls, str(item[0])))

    def by_day(self, days: Days) -> dict[date, Spend]:
        return dict(self.by(days, lambda row: row.day))

    def costs_by_model(self, days: Days) -> dict[str, CostByDay]:
        costs: dict[str, dict[date, Spend]] = {}
        for row in self.rows:
            if row.day in days:
                of_model = costs.setdefault(row.model, {})
                of_model[row.day] = of_model.get(row.day, NOTHING) + row.spend
        return {model: {day: spend.cost for day, spend in by_day.items()} for model, by_day in costs.items()}

    def spent_by_day(self) -> dict[date, int]:
        """Microcents of what has a price."""
        spent: dict[date, int] = {}
        for row in self.rows:
            spent[row.day] = spent.get(row.day, 0) + row.spend.cost_microcents
        return spent


def agent_usage(user: User, agent_id: int, days: Days) -> AgentUsage:
    """As many rows as the agent has models, states and efforts on the days it ran."""
    rows: Any = UsageDay.objects.visible_to(user).filter(within(days), agent_id=agent_id).order_by("day")
    columns = ("day", "provider", "model", "status", "effort", *COLUMNS)
    return AgentUsage(tuple(UsageRow._make((*row[:5], Spend(*row[5:]))) for row in rows.values_list(*columns)))


def by_model(row: UsageRow) -> tuple[str, str]:
    """(provider, model)."""
    return row.provider, row.model


def of_status(usage: AgentUsage, days: Days, *statuses: str) -> Spend:
    sums: Mapping[str, Spend] = dict(usage.by(days, lambda row: row.status))
    return sum((sums.get(status, NOTHING) for status in statuses), NOTHING)
