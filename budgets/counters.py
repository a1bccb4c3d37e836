"""What is spent of each budget in each month: raised in the transaction that records the calls, last of all.

A counter starts from the ledger when its policy is made, and from then on moves by the differences that the ledger
announces. `differences` compares the two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.db import connection
from django.db.models import F
from django.utils import timezone

from agents.clock import month_of
from agents.cost_tracker import CostTracker
from agents.models import LedgerState
from agents.write_lock import writing
from budgets.crossings import Tally, note_crossings
from budgets.limits import effective_limits
from budgets.models import BudgetPeriod, BudgetPolicy, SpendLease, ThresholdCrossing

Spent = Mapping[tuple[int, date], int]
"""Microcents by agent id and local day."""


@dataclass(frozen=True)
class Counted:
    """What a transaction read and wrote of budgets: who answers its batch need not read it again. In microcents."""

    agent_ids: frozenset[int]
    policies: Sequence[BudgetPolicy]
    """Those that cover any of the agents."""
    limits: Mapping[int, int]
    """By policy id, with the grants in force."""
    totals: Mapping[tuple[int, str], int]
    """What is spent now, by policy id and month, where the transaction added anything."""
    crossings: Sequence[ThresholdCrossing]
    """The lines it passed."""


def add_spend(
    workspace_id: int, spent: Spent, by_lease: Mapping[UUID, int], *, now: datetime | None = None
) -> Counted | None:
    """Add what a transaction of the ledger spent to its leases and budgets, and note the lines that passes. None where
    nothing was spent.
    """
    if not spent:
        return None
    for lease_id, microcents in sorted(by_lease.items()):
        # Of this workspace alone: a call can name any lease, and must not free another's money.
        SpendLease.objects.filter(pk=lease_id, workspace_id=workspace_id).update(
            used_microcents=F("used_microcents") + microcents
        )
    agent_ids = frozenset(agent_id for agent_id, _ in spent)
    policies = sorted(BudgetPolicy.objects.covering(workspace_id, agent_ids), key=lambda policy: policy.place)
    if not policies:
        return Counted(agent_ids, [], {}, {}, [])
    additions = {
        (policy, month): of_agents
        for policy in policies
        for month, of_agents in sorted(_by_month(policy, spent).items())
    }
    if not additions:
        return None
    now = now or timezone.now()
    totals = _raise_counters([(policy.pk, month, sum(added.values())) for (policy, month), added in additions.items()])
    limits = effective_limits(policies, now)
    crossings = note_crossings(
        [
            Tally(policy, month, limits[policy.pk], totals[policy.pk, month], added.keys())
            for (policy, month), added in additions.items()
        ],
        now=now,
        this_month=month_of(LedgerState.current().days().of(now)),
    )
    return Counted(agent_ids, policies, limits, totals, crossings)


def _by_month(policy: BudgetPolicy, spent: Spent) -> dict[str, dict[int, int]]:
    """What counts against a policy: microcents by month and agent."""
    months: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for (agent_id, day), microcents in spent.items():
        month = month_of(day)
        if month >= policy.first_month and policy.agent_id in (None, agent_id):
            months[month][agent_id] += microcents
    return months


def _raise_counters(rows: Sequence[tuple[int, str, int]]) -> dict[tuple[int, str], int]:
    """Add microcents to counters given as (policy id, month, microcents), in the order in which all writers lock; what
    they then come to. One statement: its rows stay locked until the transaction ends.
    """
    table = BudgetPeriod._meta.db_table
    values = ", ".join(["(%s, %s, %s)"] * len(rows))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} AS p (policy_id, month, spent_microcents) VALUES {values}"
            " ON CONFLICT (policy_id, month)"
            " DO UPDATE SET spent_microcents = p.spent_microcents + excluded.spent_microcents"
            " RETURNING policy_id, month, spent_microcents",
            [value for row in rows for value in row],
        )
        return {(policy_id, month): spent for policy_id, month, spent in cursor.fetchall()}


def start_counter(policy: BudgetPolicy, month: str) -> int:
    """Set a month's counter to what the ledger says; microcents. Alone: no batch may come between."""
    spent = spent_in_ledger(policy, month)
    BudgetPeriod.objects.update_or_create(policy=policy, month=month, defaults={"spent_microcents": spent})
    return spent


def spent_in_ledger(policy: BudgetPolicy, month: str) -> int:
    """Microcents, by `CostTracker`: what the counter must say."""
    tracker = CostTracker()
    if policy.agent is not None:
        tracker = tracker.agent(policy.agent)
    elif policy.workspace is not None:
        tracker = tracker.workspace(policy.workspace)
    return tracker.month(month).total().cost_microcents


@dataclass(frozen=True)
class Difference:
    """A counter that is not what the ledger says. Microcents."""

    policy: BudgetPolicy
    month: str
    counted: int
    in_ledger: int

    def __str__(self) -> str:
        return f"{self.policy}, {self.month}: {self.in_ledger - self.counted:+,} microcents"


def differences() -> Iterator[Difference]:
    """Every counter that is wrong; a month without a row counts as 0. Each is looked at alone, for a moment."""
    current = month_of(LedgerState.current().today())
    for policy in BudgetPolicy.objects.live().select_related("workspace", "agent").order_by("pk"):
        months = {*policy.periods.values_list("month", flat=True), current, policy.first_month}
        for month in sorted(months):
            if month < policy.first_month:
                continue
            with writing(alone=True):
                found = policy.periods.filter(month=month).values_list("spent_microcents", flat=True).first() or 0
                in_ledger = spent_in_ledger(policy, month)
            if found != in_ledger:
                yield Difference(policy, month, found, in_ledger)


def mend(difference: Difference) -> None:
    """Set a counter to what the ledger says now."""
    with writing(alone=True):
        start_counter(difference.policy, difference.month)
