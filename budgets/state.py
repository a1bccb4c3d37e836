"""How an agent stands, in the words people are shown: computed each time, never stored.

*no budget*, *on track*, *near budget*, *blocked until 1 Dec 00:00 Europe/Berlin*. Of several budgets the gravest
speaks, and of two alike the one with the least left; its name goes with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Final
from zoneinfo import ZoneInfo

from django.db.models import F, Q, Sum
from django.utils import timezone

from agents.models import Agent, LedgerState, Workspace
from budgets.enforcement import BudgetEnforcementService, Standing, standings_of
from budgets.limits import effective_limits
from budgets.lines import line_at
from budgets.models import BudgetPeriod, BudgetPolicy, SpendLease
from budgets.months import Month, month_at

NEAR_FROM: Final = 80
"""Percent of the limit from which a budget is near whose only threshold is the limit itself."""


class Kind(Enum):
    """From the best to the gravest. The value is what the API says."""

    NO_BUDGET = "no_budget"
    ON_TRACK = "on_track"
    NEAR = "near"
    OVER = "over"
    """The limit is reached, and the budget is one that only tells."""
    NEW_RUNS_REFUSED = "new_runs_refused"
    """The limit is reached; what runs may finish."""
    BLOCKED = "blocked"


_GRAVITY: Final = {kind: place for place, kind in enumerate(Kind)}


@dataclass(frozen=True)
class BudgetState:
    """Where an agent, a workspace or one budget stands this month."""

    kind: Kind
    standing: Standing | None = None
    """Of the budget that speaks; None without one."""
    zone: str = "UTC"
    """The ledger's time zone."""

    @property
    def is_refusing(self) -> bool:
        """New runs are refused."""
        return self.kind in (Kind.NEW_RUNS_REFUSED, Kind.BLOCKED)

    @property
    def words(self) -> str:
        if self.standing is None:
            return "no budget"
        if self.kind == Kind.BLOCKED:
            return f"blocked until {instant_in_short(self.standing.month.ends_at, self.zone)}"
        if self.kind == Kind.NEW_RUNS_REFUSED:
            return f"new runs are refused until {instant_in_short(self.standing.month.ends_at, self.zone)}"
        return _WORDS[self.kind]

    @property
    def by(self) -> str:
        """Whose budget speaks: `agent support-bot`, `workspace Acme`, `the whole site`; empty without one."""
        if self.standing is None:
            return ""
        policy = self.standing.policy
        return policy.subject if policy.scope == BudgetPolicy.Scope.SITE else f"{policy.scope} {policy.subject}"


_WORDS: Final = {Kind.ON_TRACK: "on track", Kind.NEAR: "near budget", Kind.OVER: "over budget"}
NO_BUDGET: Final = BudgetState(Kind.NO_BUDGET)


def instant_in_short(at: datetime, zone: str) -> str:
    """`1 Dec 00:00 Europe/Berlin`, of an aware time."""
    return f"{at.astimezone(ZoneInfo(zone)):%-d %b %H:%M} {zone}"


def kind_of(standing: Standing) -> Kind:
    """What one budget says by itself."""
    policy = standing.policy
    if standing.spent >= standing.limit:
        return _REACHED[policy.mode]
    last_line = max((line for line in policy.thresholds if line < 100), default=NEAR_FROM)
    return Kind.NEAR if standing.spent >= line_at(last_line, standing.limit) else Kind.ON_TRACK


_REACHED: Final = {
    BudgetPolicy.Mode.MONITOR.value: Kind.OVER,
    BudgetPolicy.Mode.DISPATCH.value: Kind.NEW_RUNS_REFUSED,
    BudgetPolicy.Mode.HARD.value: Kind.BLOCKED,
}


def standing_now(policy: BudgetPolicy) -> Standing:
    """One budget this month, as enforcement reads it."""
    (standing,) = standings_of([policy], timezone.now())
    return standing


def state_of_standing(standing: Standing, zone: str | None = None) -> BudgetState:
    """What one budget says, in the ledger's zone, which is read when it is not given."""
    return BudgetState(kind_of(standing), standing, zone or LedgerState.current().time_zone)


def gravest_of(standings: Iterable[Standing], zone: str) -> BudgetState:
    """Of the budgets that cover something, the state of the one that matters most to it."""
    gravest = min(standings, key=lambda standing: (-_GRAVITY[kind_of(standing)], standing.left), default=None)
    return NO_BUDGET if gravest is None else BudgetState(kind_of(gravest), gravest, zone)


def state_of(agent: Agent, service: BudgetEnforcementService | None = None) -> BudgetState:
    """Of one agent, as enforcement sees it."""
    standings = (service or BudgetEnforcementService()).standings(agent)
    return gravest_of(standings, LedgerState.current().time_zone)


# ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def states_of(agents: Iterable[Agent], now: datetime | None = None) -> dict[int, BudgetState]:
    """Of a list of agents, by primary key, in five queries however long the list is."""
    reaches = {agent.pk: _reaches(agent.workspace_id, agent.pk) for agent in agents}
    return _states(reaches, now)


def states_of_workspaces(workspaces: Iterable[Workspace], now: datetime | None = None) -> dict[int, BudgetState]:
    """Of a list of workspaces, by primary key: by their own budget and the site's. Five queries."""
    return _states({workspace.pk: _reaches(workspace.pk) for workspace in workspaces}, now)


Reach = tuple[int | None, int | None]
"""(workspace id, agent id), None for all of them: what a budget is of."""


def _reaches(workspace_id: int, agent_id: int | None = None) -> tuple[Reach, ...]:
    """What the budgets that cover something are of, the narrowest first."""
    wide: tuple[Reach, ...] = ((workspace_id, None), (None, None))
    return wide if agent_id is None else ((workspace_id, agent_id), *wide)


def _states(reaches: Mapping[int, Iterable[Reach]], now: datetime | None) -> dict[int, BudgetState]:
    now = now or timezone.now()
    ledger = LedgerState.current()
    wanted = {reach for covering in reaches.values() for reach in covering}
    policies = BudgetPolicy.objects.live().filter(
        Q(agent__in=[agent_id for _, agent_id in wanted if agent_id is not None])
        | Q(agent=None, workspace__in=[workspace_id for workspace_id, _ in wanted if workspace_id is not None])
        | Q(scope=BudgetPolicy.Scope.SITE)
    )
    standings = standings_in_bulk(
        list(policies.select_related("workspace", "agent")), now, month_at(now, ledger.days())
    )
    by_reach = {reach_of(standing.policy): standing for standing in standings.values()}
    return {
        pk: gravest_of([by_reach[reach] for reach in covering if reach in by_reach], ledger.time_zone)
        for pk, covering in reaches.items()
    }


def reach_of(policy: BudgetPolicy) -> Reach:
    """What a budget is of."""
    return policy.workspace_id, policy.agent_id


def standings_in_bulk(policies: Sequence[BudgetPolicy], now: datetime, month: Month) -> dict[int, Standing]:
    """How many budgets stand, by policy id, in three queries.

    For people to look at: what is held is read a moment after what is spent, so a call in between may show in both.
    Decisions go by `enforcement.standings_of`, which reads the two as one.
    """
    if not policies:
        return {}
    limits = effective_limits(policies, now)
    spent = dict(
        BudgetPeriod.objects.filter(policy__in=[policy.pk for policy in policies], month=month.name)
        .order_by()
        .values_list("policy_id", "spent_microcents")
    )
    held = held_by_leases(month.name, now)
    return {
        policy.pk: Standing(policy, month, limits[policy.pk], spent.get(policy.pk, 0), held.get(reach_of(policy), 0))
        for policy in policies
    }


def held_by_leases(month: str, now: datetime) -> Mapping[Reach, int]:
    """Microcents that live leases hold, by what budgets are of. Few rows: a lease lives two minutes."""
    rows = (
        SpendLease.objects.holding(now)
        .filter(month=month)
        .order_by()
        .values_list("workspace_id", "agent_id")
        .annotate(sum=Sum(F("granted_microcents") - F("used_microcents")))
    )
    held: dict[Reach, int] = defaultdict(int)
    for workspace_id, agent_id, microcents in rows:
        for reach in _reaches(workspace_id, agent_id):
            held[reach] += int(microcents)
    return held
