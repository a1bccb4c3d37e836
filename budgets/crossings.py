"""Lines that spending has passed: each recorded once, with the spend that passed it, and announced after the commit."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from agents.models import Agent, LedgerState
from agents.storage import storage
from agents.write_lock import after_writing, writing
from budgets.lines import is_nearly_spent, lines_passed
from budgets.models import BudgetPolicy, ThresholdCrossing
from budgets.months import month_named
from budgets.signals import BudgetThresholdCrossed, budget_threshold_crossed

log = logging.getLogger(__name__)

ANNOUNCING_TAKES: Final = timedelta(minutes=2)
"""A process that claimed a crossing longer ago, and did not finish, is gone: another takes over."""


Line: TypeAlias = tuple[int, str, int, int]
"""Policy id, month, limit in microcents and threshold in percent."""


@dataclass(frozen=True)
class Tally:
    """A budget's month as it stands. Money in microcents."""

    policy_id: int
    thresholds: Sequence[int]
    """Of the budget, in percent."""
    month: str
    limit: int
    """The effective limit."""
    spent: int
    agent_ids: Collection[int] = ()
    """Whose spend brought it here."""

    def passed(self, *, refused: bool = False) -> list[int]:
        """The thresholds it has reached. `refused`: a call was refused for what is left; when that is next to nothing,
        the limit counts as reached.
        """
        if refused and is_nearly_spent(self.limit, self.spent):
            return list(self.thresholds)
        return lines_passed(self.thresholds, self.limit, self.spent)

    @classmethod
    def of(cls, policy: BudgetPolicy, month: str, limit: int, spent: int, agent_ids: Collection[int] = ()) -> Tally:
        return cls(policy.pk, policy.thresholds, month, limit, spent, agent_ids)


def note_crossings(
    tallies: Iterable[Tally],
    *,
    now: datetime,
    this_month: str,
    at_creation: bool = False,
    refused: bool = False,
    recorded: Collection[Line] | None = None,
) -> list[ThresholdCrossing]:
    """Record the lines that are passed and were not recorded yet. Within a transaction; their announcement follows its
    commit. `recorded`: those that are, from a caller who read them before others had to wait.
    """
    reached = [(tally, passed) for tally in tallies if (passed := tally.passed(refused=refused))]
    if not reached:
        return []
    if recorded is None:
        recorded = recorded_lines({tally.policy_id for tally, _ in reached}, {tally.month for tally, _ in reached})
    passed_now = [
        ThresholdCrossing(
            policy_id=tally.policy_id,
            month=tally.month,
            limit_microcents=tally.limit,
            threshold=threshold,
            spent_microcents=tally.spent,
            agents=sorted(tally.agent_ids),
            crossed_at=now,
            late=tally.month < this_month,
            at_creation=at_creation,
        )
        for tally, passed in reached
        for threshold in passed
        if (tally.policy_id, tally.month, tally.limit, threshold) not in recorded
    ]
    made = [crossing for crossing in passed_now if _is_first(crossing)]
    if made:
        ids = [crossing.pk for crossing in made]
        after_writing(lambda: announce(ids))
    return made


def recorded_lines(policy_ids: Collection[int], months: Collection[str]) -> frozenset[Line]:
    """Of these budgets and months. What is recorded stays so."""
    if not policy_ids:
        return frozenset()
    # By hand: every batch asks.
    rows = storage().rows(
        f"SELECT policy_id, month, limit_microcents, threshold FROM {ThresholdCrossing._meta.db_table}"
        f" WHERE policy_id IN ({', '.join(['%s'] * len(policy_ids))}) AND month IN ({', '.join(['%s'] * len(months))})",
        [*policy_ids, *months],
    )
    return frozenset(rows)


def _is_first(crossing: ThresholdCrossing) -> bool:
    """Record it, unless another did. A refusal holds the policy and a batch the counter, so on PostgreSQL both may pass
    a line at the same time: who comes second waits for the first, whose it then is.
    """
    try:
        with transaction.atomic():
            crossing.save(force_insert=True)
    except IntegrityError:
        return False
    return True


def announce(crossing_ids: Iterable[int]) -> int:
    """Send `budget_threshold_crossed` for those not announced yet; how many were.

    A crossing is claimed first, so that of many processes one sends it. One that dies between sending and noting so is
    followed by another sending, after `ANNOUNCING_TAKES`: a line that nobody hears of would be worse.
    """
    sent = 0
    for crossing_id in crossing_ids:
        now = timezone.now()
        mine = ThresholdCrossing.objects.filter(
            Q(claimed_at=None) | Q(claimed_at__lt=now - ANNOUNCING_TAKES), pk=crossing_id, announced_at=None
        )
        with writing():
            if not mine.update(claimed_at=now):
                continue
        crossing = ThresholdCrossing.objects.select_related("policy__workspace", "policy__agent").get(pk=crossing_id)
        for receiver, error in budget_threshold_crossed.send_robust(BudgetThresholdCrossed, event=event_of(crossing)):
            if isinstance(error, Exception):
                log.error("A receiver of budget_threshold_crossed failed: %r", receiver, exc_info=error)
        with writing():
            ThresholdCrossing.objects.filter(pk=crossing_id).update(announced_at=timezone.now())
        sent += 1
    return sent


def sweep(now: datetime | None = None) -> str:
    """Announce what a process that died between commit and announcement left behind. Called by the tick."""
    before = (now or timezone.now()) - ANNOUNCING_TAKES
    left = ThresholdCrossing.objects.filter(
        Q(claimed_at=None) | Q(claimed_at__lt=before), announced_at=None, crossed_at__lt=before
    )
    return f"{announce(list(left.order_by('pk').values_list('pk', flat=True)[:500]))} crossings announced"


def event_of(crossing: ThresholdCrossing) -> BudgetThresholdCrossed:
    policy = crossing.policy
    month = month_named(crossing.month, LedgerState.current().days())
    return BudgetThresholdCrossed(
        crossing_id=crossing.pk,
        policy_id=policy.pk,
        scope=policy.scope,
        subject=policy.subject,
        workspace=policy.workspace.slug if policy.workspace else None,
        agent=policy.agent.slug if policy.agent else None,
        threshold=crossing.threshold,
        limit_microcents=crossing.limit_microcents,
        spent_microcents=crossing.spent_microcents,
        month=crossing.month,
        period_start=month.starts_at,
        period_end=month.ends_at,
        agents=tuple(Agent.objects.filter(pk__in=crossing.agents).order_by("slug").values_list("slug", flat=True)),
        crossed_at=crossing.crossed_at,
        late=crossing.late,
        at_creation=crossing.at_creation,
    )
