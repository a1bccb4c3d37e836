"""Budgets as the pages show them: every one that a reader is concerned by, where it stands, in one query.

For people to look at. Decisions go by `budgets.enforcement`, which reads what is spent and what is held as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import (
    BigIntegerField,
    Case,
    F,
    FloatField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce

from agents.clock import days_of
from agents.models.visibility import is_superuser
from agents.spend import MICROCENTS_PER_CENT
from budgets.enforcement import Standing
from budgets.models import BudgetGrant, BudgetPeriod, BudgetPolicy, Refusal, SpendLease
from budgets.months import Month, month_at
from budgets.state import BudgetState, Kind, gravest_of, kind_of
from costsite.analytics.periods import Calendar

User = AbstractBaseUser | AnonymousUser

MOST_BUDGETS = 2_000
"""Read for a page that names what they are of."""
LOUDEST_BUDGETS = 100
"""Of agents, for a page that names those which need a person."""
RECENT = timedelta(days=7)


@dataclass(frozen=True)
class Watched:
    """A budget this month, and how often it said no in the last 7 days."""

    standing: Standing
    refused: int
    shown: bool
    """Of the site's budget only who runs the site reads figures: the rest of it is other workspaces' spend."""

    @property
    def policy(self) -> BudgetPolicy:
        return self.standing.policy

    @property
    def kind(self) -> Kind:
        return kind_of(self.standing)


@dataclass(frozen=True)
class Budgets:
    """Those that concern a page."""

    watched: tuple[Watched, ...]
    zone: str

    @cached_property
    def _by_reach(self) -> dict[tuple[int | None, int | None], Watched]:
        return {(one.policy.workspace_id, one.policy.agent_id): one for one in self.watched}

    def own(self, workspace_id: int | None, agent_id: int | None = None) -> Watched | None:
        """The budget of exactly this agent, workspace, or (None) the site."""
        return self._by_reach.get((workspace_id, agent_id))

    def covering(self, workspace_id: int, agent_id: int | None = None) -> list[Watched]:
        """The narrowest first."""
        reaches = [(workspace_id, agent_id), (workspace_id, None), (None, None)]
        found = [self.own(*reach) for reach in dict.fromkeys(reaches)]
        return [one for one in found if one is not None]

    def state_of(self, workspace_id: int, agent_id: int | None = None) -> BudgetState:
        return gravest_of((one.standing for one in self.covering(workspace_id, agent_id)), self.zone)


def budgets_for(
    user: User,
    calendar: Calendar,
    *,
    workspaces: Iterable[int] | None = None,
    agents: Iterable[int] | None = None,
    most: int = MOST_BUDGETS,
) -> Budgets:
    """Live budgets one may see, and the site's. `agents`, `workspaces`: only those of these, and what is above them.

    At most `most`: the wide before the narrow, then those that refused, then the fullest.
    """
    now, month = calendar.now, month_at(calendar.now, days_of(calendar.zone.key))
    reach = Q(pk__in=BudgetPolicy.objects.visible_to(user).order_by().values("pk"))
    if workspaces is not None:
        reach &= Q(workspace__in=list(workspaces))
    if agents is not None:
        reach &= Q(agent=None) | Q(agent__in=list(agents))
    live: Any = BudgetPolicy.objects.live().filter(reach | Q(scope=BudgetPolicy.Scope.SITE))
    rows = with_standing(live.select_related("workspace", "agent"), month, now, refused_from=now - RECENT)
    rows = rows.annotate(narrow=Case(When(agent=None, then=Value(0)), default=Value(1)))
    watched = []
    order = ("narrow", F("refused").desc(nulls_last=True), "-full", "pk")
    for row in rows.only(*_READ).order_by(*order)[:most]:
        shown = row.scope != BudgetPolicy.Scope.SITE or is_superuser(user)
        watched.append(Watched(standing_of(row, month), int(row.refused or 0), shown))
    return Budgets(tuple(watched), calendar.zone.key)


_READ = (
    "scope", "limit_cents", "thresholds", "mode", "moves_to", "moves_at_percent", "workspace__name", "workspace__slug",
    "agent__name", "agent__slug", "agent__workspace", "archived_at",
)  # fmt: skip
"""Columns: five hundred budgets are read at a time."""


# ── a list of budgets, in one query ──────────────────────────────────────────────────────────────────────────────────

FULL_FROM_THE_START = 1e30
"""How full a budget of nothing is. Not infinite: databases do not agree on how to sort that."""


def fullness_of(standing: Standing) -> float:
    """What is spent as a share of the limit, by which pages put the fullest first."""
    return standing.spent / standing.limit if standing.limit > 0 else FULL_FROM_THE_START


def with_standing(
    rows: QuerySet[BudgetPolicy], month: Month, now: datetime, *, refused_from: datetime
) -> QuerySet[Any]:
    """Each with `spent_now`, `limit_now` with its grants, and `held_now`, in microcents; `full`, as `fullness_of`; and
    `refused`: how many requests for money it turned down since `refused_from`, or None.
    """
    spent = BudgetPeriod.objects.filter(policy=OuterRef("pk"), month=month.name).order_by().values("spent_microcents")
    granted = _sum_of(BudgetGrant.objects.live(now).filter(policy=OuterRef("pk")), "policy", "cents")
    leases = SpendLease.objects.holding(now).filter(month=month.name).order_by()
    return rows.annotate(
        spent_now=Coalesce(Subquery(spent, output_field=BigIntegerField()), _ZERO),
        limit_now=(F("limit_cents") + Coalesce(granted, _ZERO)) * Value(MICROCENTS_PER_CENT, BigIntegerField()),
        held_now=Case(
            When(scope=BudgetPolicy.Scope.AGENT, then=_held(leases.filter(agent=OuterRef("agent")))),
            When(scope=BudgetPolicy.Scope.WORKSPACE, then=_held(leases.filter(workspace=OuterRef("workspace")))),
            default=_held(leases),
        ),
        refused=_sum_of(Refusal.objects.filter(policy=OuterRef("pk"), minute__gte=refused_from), "policy", "count"),
        full=Case(
            When(limit_now__lte=0, then=Value(FULL_FROM_THE_START)),
            default=Cast("spent_now", FloatField()) / Cast("limit_now", FloatField()),
            output_field=FloatField(),
        ),
    )


def standing_of(row: Any, month: Month) -> Standing:
    """Of a budget that was read `with_standing`."""
    return Standing(row, month, int(row.limit_now), int(row.spent_now), int(row.held_now or 0))


_ZERO = Value(0, BigIntegerField())


def _sum_of(rows: Any, group: str, column: str) -> Subquery:
    summed = rows.order_by().values(group).annotate(sum=Sum(column)).values("sum")
    return Subquery(summed, output_field=BigIntegerField())


def _held(leases: Any) -> Subquery:
    """Few rows: a lease lives two minutes."""
    return Subquery(
        leases.values("month").annotate(sum=Sum(F("granted_microcents") - F("used_microcents"))).values("sum")
    )
