"""What is spent of each budget in each month: raised in the transaction that records the calls, last of all.

A counter starts from the ledger when its policy is made, and from then on moves by the differences that the ledger
announces. `differences` compares the two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from django.db import connection
from django.utils import timezone

from agents.clock import Days, month_of
from agents.cost_tracker import CostTracker
from agents.models import Agent, LedgerState
from agents.storage import Additions, Row, storage
from agents.write_lock import writing
from budgets.covering import Covering, covering_budgets
from budgets.crossings import Line, Tally, note_crossings, recorded_lines
from budgets.models import BudgetPeriod, BudgetPolicy, SpendLease, ThresholdCrossing

Spent = Mapping[tuple[int, date], int]
"""Microcents by agent id and local day."""
SpentByLease = Mapping[tuple[UUID, int, date], int]
"""The same by the lease that the calls name, agent id and local day."""


@dataclass(frozen=True)
class Counted:
    """What a transaction read and wrote of budgets: who answers its batch need not read it again. In microcents."""

    agent_ids: frozenset[int]
    budgets: Sequence[Covering]
    """Those that cover any of the agents."""
    month: str
    """The one it is, 'YYYY-MM'."""
    totals: Mapping[tuple[int, str], int]
    """What is spent now, by policy id and month, where the transaction added anything."""
    crossings: Sequence[ThresholdCrossing]
    """The lines it passed."""


@dataclass(frozen=True)
class Counting:
    """Spend on its way into the counters: what it counts against is known before they are locked."""

    agent_ids: frozenset[int]
    budgets: Sequence[Covering]
    now: datetime
    month: str
    added: Sequence[tuple[Covering, str, Mapping[int, int]]]
    """By budget and month: microcents by agent."""
    recorded: Collection[Line] | None
    """Of these, as read before the counters were locked; None: not read yet."""

    def additions(self) -> Additions | None:
        """To the counters, in the order in which all writers lock."""
        if not self.added:
            return None
        return to_counters([(budget.pk, month, sum(agents.values())) for budget, month, agents in self.added])

    def finish(self, counters: Iterable[Row]) -> Counted:
        """Note the lines that pass. `counters`: what the additions made of them; they are still locked."""
        totals = {(policy_id, month): spent for policy_id, month, spent in counters}
        tallies = [
            Tally(budget.pk, budget.thresholds, month, budget.limit, totals[budget.pk, month], agents.keys())
            for budget, month, agents in self.added
        ]
        crossings = note_crossings(tallies, now=self.now, this_month=self.month, recorded=self.recorded)
        return Counted(self.agent_ids, self.budgets, self.month, totals, crossings)


def start_counting(
    workspace_id: int,
    spent: Spent,
    by_lease: SpentByLease,
    *,
    days: Days | None = None,
    now: datetime | None = None,
) -> Counting | None:
    """Add what a transaction of the ledger spent to its leases, and find the budgets it counts against. None where
    nothing was spent. `days`: the ledger's, where the transaction has read its zone already.
    """
    _use_leases(workspace_id, by_lease)
    if not spent:
        return None
    now = now or timezone.now()
    agent_ids = frozenset(agent_id for agent_id, _ in spent)
    budgets = covering_budgets(workspace_id, agent_ids, now)
    month = month_of((days or LedgerState.current().days()).of(now))
    added = _by_budget(budgets, spent)
    recorded = None
    if connection.vendor == "postgresql":  # else nobody waits for counters alone, and few batches reach a line
        recorded = recorded_lines({budget.pk for budget, _, _ in added}, {of for _, of, _ in added})
    return Counting(agent_ids, budgets, now, month, added, recorded)


def add_spend(workspace_id: int, spent: Spent, by_lease: SpentByLease) -> None:
    """Count what a transaction spent that posted its rollups by itself: alone, as it locks leases after sums."""
    counting = start_counting(workspace_id, spent, by_lease)
    if counting is not None:
        counting.finish(storage().add_up([], counting.additions()))


def _by_budget(budgets: Iterable[Covering], spent: Spent) -> list[tuple[Covering, str, dict[int, int]]]:
    """What counts against each budget in each month: microcents by agent. In the order of the budgets."""
    months: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for (agent_id, day), microcents in spent.items():
        months[month_of(day)][agent_id] += microcents
    return [
        (budget, month, agents if budget.agent_id is None else {budget.agent_id: agents[budget.agent_id]})
        for budget in budgets
        for month, agents in sorted(months.items())
        if month >= budget.first_month and (budget.agent_id is None or budget.agent_id in agents)
    ]


def _use_leases(workspace_id: int, by_lease: SpentByLease) -> None:
    """Raise what is used of leases: by one statement on PostgreSQL, by one for each of them on SQLite.

    Only by calls that the lease is for: of its workspace, its agent and its month. A call can name any lease; it must
    not free what others hold, nor, with what counts in another month, what is held of this one. Of a merged agent, runs
    that have not moved yet are its own still, where its leases are the target's already: the two are one here.
    """
    if not by_lease:
        return
    used: dict[tuple[UUID, int, str], int] = defaultdict(int)
    for (lease_id, agent_id, day), microcents in by_lease.items():
        used[lease_id, agent_id, month_of(day)] += microcents
    table, agents = SpendLease._meta.db_table, Agent._meta.db_table
    if connection.vendor == "postgresql":
        # Two batches may name the same leases: whoever comes second waits at the first of them. Few parameters, however
        # many leases: psycopg takes a long statement apart anew for every batch.
        with connection.cursor() as cursor:
            cursor.execute(
                f"WITH held AS (SELECT lease_id, new.used FROM {table} AS lease"
                " JOIN unnest(%s::uuid[], %s::bigint[], %s::text[], %s::bigint[])"
                " AS new (lease_id, agent_id, month, used) USING (lease_id, month)"
                f" JOIN {agents} AS holder ON holder.id = lease.agent_id"
                f" JOIN {agents} AS caller ON caller.id = new.agent_id"
                " WHERE lease.workspace_id = %s"
                " AND COALESCE(holder.merged_into_id, holder.id) = COALESCE(caller.merged_into_id, caller.id)"
                " ORDER BY lease_id FOR NO KEY UPDATE OF lease)"
                f" UPDATE {table} AS lease SET used_microcents = used_microcents + total.used"
                " FROM (SELECT lease_id, SUM(used) AS used FROM held GROUP BY lease_id) AS total"
                " WHERE lease.lease_id = total.lease_id",
                [*map(list, zip(*used, strict=True)), list(used.values()), workspace_id],
            )
        return
    column = SpendLease._meta.pk
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {table} SET used_microcents = used_microcents + %s"
            " WHERE lease_id = %s AND month = %s AND workspace_id = %s"
            f" AND (SELECT COALESCE(merged_into_id, id) FROM {agents} WHERE id = {table}.agent_id)"
            f" = (SELECT COALESCE(merged_into_id, id) FROM {agents} WHERE id = %s)",
            [
                (microcents, column.get_db_prep_value(lease_id, connection), month, workspace_id, agent_id)
                for (lease_id, agent_id, month), microcents in used.items()
            ],
        )


def to_counters(rows: Sequence[tuple[int, str, int]]) -> Additions:
    """Microcents for counters, given as (policy id, month, microcents)."""
    return Additions(BudgetPeriod, ("policy_id", "month"), ("spent_microcents",), rows)


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
