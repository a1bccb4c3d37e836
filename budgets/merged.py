"""What a merge of two agents means for budgets: the source's own ends, and what it spent counts for the target's.

The wider budgets, of the workspace and the site, counted both all along and do not change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

from django.db.models import Case, F, Value, When
from django.utils import timezone

from agents.clock import month_of
from agents.models import Agent, AgentMerge, LedgerState
from agents.storage import storage
from agents.write_lock import writing
from budgets.counters import to_counters
from budgets.crossings import Tally, note_crossings
from budgets.limits import effective_limits
from budgets.models import BudgetPeriod, BudgetPolicy, MonthlyStatement, Refusal, SpendLease
from budgets.months import month_at
from budgets.policies import By, archive, policy_of
from budgets.statements import revise

AT_ONCE: Final = 250
"""Rows moved in one transaction: well under 200 ms."""


def end_of_its_own(merge: AgentMerge) -> None:
    """Archive the source's budget, and let what its processes hold count for the target at once. In the transaction of
    the merge.
    """
    policy = policy_of(merge.source)
    if policy is not None:
        by = By(user=merge.by_user, command=merge.by_name)
        archive(policy, by=by, reason=f"{merge.source.slug} was merged into {merge.target.slug}.")
    _hand_over(SpendLease.objects.filter(agent=merge.source, frees_at__gt=timezone.now()), merge.source, merge.target)


def _hand_over(leases: Any, source: Agent, target: Agent | int) -> int:
    """Make leases the target's, each still known by the name that its process asks under."""
    asked_as = Case(When(asked_as="", then=Value(source.slug)), default=F("asked_as"))
    moved: int = leases.update(agent=target, asked_as=asked_as)
    return moved


def count_moved(target_id: int, spent: Mapping[tuple[int, date], int]) -> None:
    """Raise the target's own counters by what moved, in the transaction that moved it. Lines that it passes are noted
    when all has moved: one notice, not one for each step.
    """
    policy = BudgetPolicy.objects.live().filter(scope=BudgetPolicy.Scope.AGENT, agent=target_id).first()
    if policy is None:
        return
    months: dict[str, int] = defaultdict(int)
    for (agent_id, day), microcents in spent.items():
        if agent_id == target_id and month_of(day) >= policy.first_month:
            months[month_of(day)] += microcents
    rows = [(policy.pk, month, microcents) for month, microcents in sorted(months.items()) if microcents]
    if rows:
        storage().add_up([to_counters(rows)])


def settle(merge: AgentMerge) -> None:
    """When all calls have moved: note the lines that this passed, move what budgets keep of the source, and state the
    closed months anew. Each step is a transaction of its own, and doing it again changes nothing.
    """
    target = merge.source.booked_to
    _note_lines(merge, target)
    _move_leases(merge.source, target)
    _move_refusals(merge, target)
    _state_anew(merge)


def _note_lines(merge: AgentMerge, target: Agent) -> None:
    """Lines of this month ring the bell, as if the target had spent it now; those of months that are over are late."""
    with writing(alone=True):
        policy = policy_of(target)
        if policy is None:
            return
        now = timezone.now()
        limit = effective_limits([policy], now)[policy.pk]
        spent = BudgetPeriod.objects.filter(policy=policy, month__in=[m for m, moved in merge.months.items() if moved])
        tallies = [
            Tally.of(policy, month, limit, microcents, [target.pk])
            for month, microcents in spent.order_by("month").values_list("month", "spent_microcents")
        ]
        note_crossings(tallies, now=now, this_month=month_at(now, LedgerState.current().days()).name)


def _move_leases(source: Agent, target: Agent) -> None:
    """Those that are over."""
    left = SpendLease.objects.filter(agent=source).order_by()
    while ids := _some(left):
        with writing():
            _hand_over(SpendLease.objects.filter(pk__in=ids), source, target)


def _move_refusals(merge: AgentMerge, target: Agent) -> None:
    """Both agents may have been refused by the same budget in the same minute: the two rows become one."""
    left = Refusal.objects.filter(workspace=merge.workspace_id, agent=merge.source_id).order_by()
    while ids := _some(left):
        with writing(alone=True):
            for row in left.filter(pk__in=ids):
                same = Refusal.objects.filter(policy=row.policy_id, agent=target, kind=row.kind, minute=row.minute)
                if same.update(count=F("count") + row.count):
                    row.delete()
                else:
                    Refusal.objects.filter(pk=row.pk).update(agent=target)


def _some(rows: Any) -> Sequence[Any]:
    return list(rows.values_list("pk", flat=True)[:AT_ONCE])


def _state_anew(merge: AgentMerge) -> None:
    """Months that were stated say something else of the two agents now: a new revision stands beside what was said."""
    stated = MonthlyStatement.objects.filter(workspace=merge.workspace_id, month__in=list(merge.months))
    for month in sorted(set(stated.order_by().values_list("month", flat=True)), reverse=True):
        revise(merge.workspace_id, month, timezone.now())
