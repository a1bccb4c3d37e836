"""May this agent run, and with how much: the one answer, for every budget that covers it at once.

Money is set aside by leases (the quota reservations of online charging, RFC 8506): a process is granted an amount that
fits every budget, spends it without asking, and renews it in the background. So a limit holds under any number of
processes without a trip for each call.

One lock order everywhere: the lease that is renewed, then policies by agent, workspace, site and id. The ledger raises
`used` of leases and then the counters in the transaction that records the calls, so one statement that reads both sees
each call either in neither or in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from django.db.models import F, QuerySet, Subquery, Sum
from django.utils import timezone

from agents.clock import month_bounds
from agents.models import Agent, AgentDay, LedgerState
from agents.write_lock import writing
from budgets.amounts import lease_amount, pace_of
from budgets.crossings import Tally, note_crossings
from budgets.limits import effective_limits
from budgets.models import BudgetPeriod, BudgetPolicy, Refusal, SpendLease
from budgets.models.leases import SpendLeaseQuerySet
from budgets.months import Month, month_at

VALID: Final = timedelta(seconds=120)
"""How long a client may spend a lease. It counts from before it asked, so its end comes first at the client."""
GRACE: Final = timedelta(seconds=15)
"""The server frees what is left of a lease so long after its own end of it."""
CALLS_ARRIVE: Final = timedelta(minutes=15)
"""How long the open calls of a released lease stay held, until they are reported."""
RETRY_HELD: Final = timedelta(seconds=2)
"""Holds settle as calls end: sooner than leases do."""


@dataclass(frozen=True)
class Refused:
    """Why an agent may not go on, by the tightest budget in its way. Money in microcents."""

    kind: Refusal.Kind
    policy: BudgetPolicy
    month: Month
    limit: int
    spent: int
    held: int
    asked: int
    """What the next call may cost."""

    @property
    def left(self) -> int:
        return max(0, self.limit - self.spent)

    @property
    def retry_after(self) -> timedelta | None:
        """When it is worth asking again; None: not before a grant, or the next month."""
        return RETRY_HELD if self.kind == Refusal.Kind.HELD else None


@dataclass(frozen=True)
class Standing:
    """One budget this month. Money in microcents."""

    policy: BudgetPolicy
    month: Month
    limit: int
    """With the grants in force."""
    spent: int
    held: int

    @property
    def left(self) -> int:
        return self.limit - self.spent

    @property
    def stops_new_runs(self) -> bool:
        """The limit is reached, and it is one that stops."""
        return self.policy.mode != BudgetPolicy.Mode.MONITOR and self.spent >= self.limit


@dataclass(frozen=True)
class Permit:
    """An agent may go on. Money in microcents."""

    lease: SpendLease | None
    """None: nothing is set aside, since no budget of mode `hard` covers the agent."""
    available: int | None
    """What the client may spend beyond its open calls; None: without bound."""
    valid: timedelta
    """Counts from before the client asked."""
    standings: Sequence[Standing]
    """Of the budgets that cover the agent."""
    no_new_runs: Refused | None
    """A budget of mode `dispatch` is spent: what runs may finish."""


class BudgetEnforcementService:
    """Decides and sets aside. `now` is the clock, for tests."""

    def __init__(self, now: Callable[[], datetime] = timezone.now) -> None:
        self._now = now

    # ── asking ───────────────────────────────────────────────────────────────────────────────────────────────────

    def standings(self, agent: Agent) -> list[Standing]:
        """Every budget that covers the agent: its own, its workspace's, the site's."""
        now = self._now()
        policies = BudgetPolicy.objects.covering(agent.workspace_id, [agent.pk]).select_related("workspace", "agent")
        return standings_of(policies, now)

    def may_dispatch(self, agent: Agent) -> Refused | None:
        """None when a new run may start, else why not. Reads, and sets nothing aside."""
        return _no_new_runs(self.standings(agent))

    # ── leases ───────────────────────────────────────────────────────────────────────────────────────────────────

    def lease(
        self,
        agent: Agent,
        client_id: UUID,
        *,
        least: int = 0,
        outstanding: int = 0,
        keep: int = 0,
        ahead: timedelta = timedelta(0),
    ) -> Permit | Refused:
        """Set money aside for a process, or renew what it has.

        `least`: what its next call may cost; less is not worth granting. `outstanding`: what its open and unreported
        calls hold of the lease it has. `keep`: what is left of that lease, and may be spent while the answer is on its
        way: it stays set aside, as far as the budgets have so much left. Who asked for no call (`least` is 0) and is
        refused has nothing left. `ahead`: how far the process's clock is before this one, where the ledger takes its
        times as they are: its calls count in the month of that clock, and so does the lease. One process has one lease
        an agent and month: asking twice is harmless. One that asks under the name of an agent that was merged into
        another has one of that one's budgets, and for each name a lease of its own.
        """
        now = self._now()
        with writing(first=True):
            asked_as = ""
            # Read here: it may have been merged since the caller looked it up.
            if (booked_to := Agent.objects.filter(merged_names=agent.pk).first()) is not None:
                agent, asked_as = booked_to, agent.slug
            month = month_at(now + ahead, LedgerState.current().days())
            lease = (
                SpendLease.objects.select_for_update()
                .filter(agent=agent, client_id=client_id, month=month.name, released_at=None, asked_as=asked_as)
                .first()
            )
            standings = self._locked_standings(agent, month, now, lease)
            hard = [standing for standing in standings if standing.policy.mode == BudgetPolicy.Mode.HARD]
            # Nobody holds more than was granted: a client's word moves no more than its own lease.
            outstanding = min(outstanding, lease.held_microcents) if lease is not None else 0
            # Past its end the rest may be others' by now.
            lives = lease is not None and lease.frees_at > now
            free = min((standing.left - standing.held for standing in hard), default=0) - outstanding
            # Nor more than is left by now: a limit may have been set or lowered since it was granted.
            keep = max(0, min(keep, lease.held_microcents - outstanding, free)) if lease is not None and lives else 0
            valid = min(VALID, month.ends_at - now - ahead)
            refused = _refusal(hard, least, outstanding)
            if refused is not None:
                self._note_refusal(agent, refused, now)
                if lease is not None:
                    # What it has left is too little for the call it asked for, and may be enough for another's.
                    self._write(agent, client_id, asked_as, month, lease, outstanding + keep, valid, now)
                return refused
            no_new_runs = _no_new_runs(standings)
            if not hard:
                return Permit(None, None, valid, standings, no_new_runs)
            pace = (
                pace_of(lease.used_microcents - lease.renewed_used_microcents, now - lease.renewed_at) if lease else 0
            )
            holders = self._holders(hard, now, client_id) + 1
            amount = max(keep, lease_amount(free, least=least, pace=pace, holders=holders))
            written = self._write(agent, client_id, asked_as, month, lease, amount + outstanding, valid, now)
            return Permit(written, amount, valid, standings, no_new_runs)

    def release(self, lease: SpendLease, *, outstanding: int = 0) -> None:
        """Give back what a process does not need. What its open calls hold stays held until they are reported."""
        now = self._now()
        with writing(first=True):
            locked = (
                SpendLease.objects.select_for_update().filter(pk=lease.pk, released_at=None, frees_at__gt=now).first()
            )
            if locked is not None:
                locked.granted_microcents = min(locked.granted_microcents, locked.used_microcents + max(0, outstanding))
                locked.released_at = locked.expires_at = now
                locked.frees_at = now + CALLS_ARRIVE if locked.held_microcents else now
                locked.save(update_fields=["granted_microcents", "released_at", "expires_at", "frees_at"])

    # ── inside the transaction ───────────────────────────────────────────────────────────────────────────────────

    def _locked_standings(self, agent: Agent, month: Month, now: datetime, own: SpendLease | None) -> list[Standing]:
        policies = sorted(
            BudgetPolicy.objects.covering(agent.workspace_id, [agent.pk])
            .select_related("workspace", "agent")
            .order_by("pk"),
            key=lambda policy: policy.place,
        )
        for policy in policies:
            # One by one in the one order; not as a whole, whose order the database would choose. No key is locked:
            # a crossing that the ledger records meanwhile refers to the policy.
            BudgetPolicy.objects.select_for_update(no_key=True).filter(pk=policy.pk).values_list("pk").first()
        return standings_of(policies, now, month=month, except_for=own)

    def _holders(self, hard: Sequence[Standing], now: datetime, client_id: UUID) -> int:
        """Other processes that hold leases on the most crowded of the budgets."""
        return max(
            _leases_on(standing.policy, standing.month.name, now)
            .exclude(client_id=client_id)
            .values("client_id")
            .distinct()
            .count()
            for standing in hard
        )

    def _write(
        self, agent: Agent, client_id: UUID, asked_as: str, month: Month, lease: SpendLease | None, beyond_used: int,
        valid: timedelta, now: datetime,
    ) -> SpendLease:  # fmt: skip
        """The lease, holding `beyond_used` from now on."""
        if lease is None:
            lease = SpendLease(
                lease_id=uuid4(), workspace_id=agent.workspace_id, agent=agent, client_id=client_id,
                asked_as=asked_as, month=month.name, granted_at=now,
            )  # fmt: skip
        lease.granted_microcents = lease.used_microcents + beyond_used
        lease.renewed_used_microcents = lease.used_microcents
        lease.renewed_at = now
        lease.expires_at = now + valid
        lease.frees_at = lease.expires_at + GRACE
        lease.save()
        return lease

    def _note_refusal(self, agent: Agent, refused: Refused, now: datetime) -> None:
        row, made = Refusal.objects.get_or_create(
            policy=refused.policy,
            agent=agent,
            kind=refused.kind,
            minute=now.replace(second=0, microsecond=0),
            defaults={"workspace_id": agent.workspace_id},
        )
        if not made:
            Refusal.objects.filter(pk=row.pk).update(count=F("count") + 1)
        tally = Tally.of(refused.policy, refused.month.name, refused.limit, refused.spent, [agent.pk])
        note_crossings([tally], now=now, this_month=refused.month.name, refused=True)


def standings_of(
    policies: Iterable[BudgetPolicy],
    now: datetime,
    *,
    month: Month | None = None,
    except_for: SpendLease | None = None,
) -> list[Standing]:
    """How budgets stand at `now`; `except_for`: a lease whose hold is left out."""
    rows = list(policies)
    if not rows:
        return []
    month = month or month_at(now, LedgerState.current().days())
    limits = effective_limits(rows, now)
    standings = []
    for policy in rows:
        # One statement for both: see the file's head.
        leases = _leases_on(policy, month.name, now)
        if except_for is not None:
            leases = leases.exclude(pk=except_for.pk)
        held = (
            leases.order_by()
            .values("month")
            .annotate(sum=Sum(F("granted_microcents") - F("used_microcents")))
            .values("sum")
        )
        counted = BudgetPeriod.objects.filter(policy=policy, month=month.name).values("spent_microcents")
        spent, moving, on_hold = (
            BudgetPolicy.objects.filter(pk=policy.pk)
            .values_list(Subquery(counted), Subquery(_not_moved_yet(policy, month.name)), Subquery(held))
            .get()
        )
        spent = int(spent or 0) + int(moving or 0)
        standings.append(Standing(policy, month, limits[policy.pk], spent, int(on_hold or 0)))
    return standings


def _not_moved_yet(policy: BudgetPolicy, month: str) -> QuerySet[Any, Any]:
    """What agents that were merged into the policy's spent, as far as it is not in its counter. Nothing of a wider
    budget's, which counted it all along.
    """
    first, after = month_bounds(month)
    days = AgentDay.objects.filter(agent__merged_into=policy.agent_id, day__gte=first, day__lt=after)
    if policy.agent_id is None:
        days = days.none()
    return days.order_by().values("agent__merged_into").annotate(sum=Sum("cost_microcents")).values("sum")


def _leases_on(policy: BudgetPolicy, month: str, now: datetime) -> SpendLeaseQuerySet:
    """The leases that hold money of a budget."""
    leases = SpendLease.objects.holding(now).filter(month=month)
    if policy.agent_id is not None:
        return leases.filter(agent_id=policy.agent_id)
    return leases if policy.workspace_id is None else leases.filter(workspace_id=policy.workspace_id)


def _refusal(hard: Sequence[Standing], least: int, outstanding: int) -> Refused | None:
    """The refusal of the tightest budget in the way; None when all have room."""
    in_the_way = []
    for standing in hard:
        free = standing.left - standing.held - outstanding
        if standing.stops_new_runs:
            in_the_way.append((Refusal.Kind.EXHAUSTED, standing))
        elif least > free:
            in_the_way.append((Refusal.Kind.TOO_LARGE if least > standing.left else Refusal.Kind.HELD, standing))
    if not in_the_way:
        return None
    kind, standing = min(in_the_way, key=lambda entry: (_GRAVITY[entry[0]], entry[1].left))
    return _refused(kind, standing, asked=least)


def _no_new_runs(standings: Sequence[Standing]) -> Refused | None:
    """The budget that refuses new runs, the one furthest over; None where none does."""
    spent_up = [standing for standing in standings if standing.stops_new_runs]
    if not spent_up:
        return None
    return _refused(Refusal.Kind.EXHAUSTED, min(spent_up, key=lambda standing: standing.left), asked=0)


_GRAVITY: Final = {Refusal.Kind.EXHAUSTED: 0, Refusal.Kind.TOO_LARGE: 1, Refusal.Kind.HELD: 2}
"""Of several budgets in the way, the one that waiting helps least is named."""


def _refused(kind: Refusal.Kind, standing: Standing, *, asked: int) -> Refused:
    return Refused(kind, standing.policy, standing.month, standing.limit, standing.spent, standing.held, asked)
