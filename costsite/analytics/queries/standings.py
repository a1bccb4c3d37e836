"""Budgets as the pages show them: every one that a reader is concerned by, where it stands, in one query.

For people to look at. Decisions go by `budgets.enforcement`, which reads what is spent and what is held as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Q

from agents.clock import days_of
from agents.models.visibility import is_superuser
from budgets.enforcement import Standing
from budgets.models import BudgetPolicy
from budgets.months import month_at
from budgets.state import BudgetState, Kind, gravest_of, kind_of
from costsite.analytics.periods import Calendar
from costsite.analytics.queries.standing_rows import LOUDEST_FIRST, read_standings

User = AbstractBaseUser | AnonymousUser

MOST_BUDGETS = 2_000
"""Read for a page that names what they are of."""
LOUDEST_BUDGETS = 25
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

    At most `most`: the wide before the narrow, then the fullest, the gravest, and those that refused most.
    """
    now, month = calendar.now, month_at(calendar.now, days_of(calendar.zone.key))
    reach = Q(pk__in=BudgetPolicy.objects.visible_to(user).order_by().values("pk"))
    if workspaces is not None:
        reach &= Q(workspace__in=list(workspaces))
    if agents is not None:
        reach &= Q(agent=None) | Q(agent__in=list(agents))
    live = BudgetPolicy.objects.live().filter(reach | Q(scope=BudgetPolicy.Scope.SITE))
    found = read_standings(live, month, now, refused_from=now - RECENT, order=LOUDEST_FIRST, most=most)
    sees_all = is_superuser(user)
    watched = (Watched(*one, sees_all or one.standing.policy.scope != BudgetPolicy.Scope.SITE) for one in found)
    return Budgets(tuple(watched), calendar.zone.key)
