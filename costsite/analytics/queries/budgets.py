"""Budgets: how each stands this month, and what happened to one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Q, QuerySet, Sum
from django.db.models.functions import TruncDay

from agents.clock import days_of
from agents.cost_tracker import CostTracker
from agents.models import Workspace
from agents.models.visibility import is_superuser
from budgets.changes import difference
from budgets.enforcement import Standing
from budgets.models import (
    BudgetChange,
    BudgetGrant,
    BudgetPeriod,
    BudgetPolicy,
    MonthlyStatement,
    Refusal,
    ThresholdCrossing,
)
from budgets.months import Month, month_at
from budgets.state import BudgetState, state_of_standing
from costsite.analytics.periods import Calendar, Days
from costsite.analytics.queries.rollups import spend_by_day
from costsite.analytics.queries.standing_rows import FULLEST_FIRST, IN_STEADY_ORDER, StandingRow, read_standings

User = AbstractBaseUser | AnonymousUser

MOST_LINES = 50
"""Of each kind of what happened to a budget: the newest."""
MOST_MONTHS = 24


@dataclass(frozen=True)
class BudgetRow:
    """One budget this month."""

    policy: BudgetPolicy
    standing: Standing
    state: BudgetState
    refused: int
    """How often it refused a call this month."""

    @property
    def granted(self) -> int:
        """Microcents on top of its own limit."""
        return self.standing.limit - self.policy.limit_microcents


def ledger_month(calendar: Calendar) -> Month:
    """The month that is on, in the ledger's zone."""
    return month_at(calendar.now, days_of(str(calendar.zone)))


def list_budgets(
    user: User, calendar: Calendar, *, search: str = "", archived: bool = False, offset: int = 0, limit: int
) -> list[BudgetRow]:
    """The fullest first; one more than `limit` says that there are more. One query, however many there are."""
    wanted = _wanted(user, search, archived)
    return _rows(wanted, calendar, FULLEST_FIRST, limit + 1, offset)


def spent_by_day(policy: BudgetPolicy, days: Days) -> dict[date, int]:
    """Microcents of what has a price, of all that the budget covers. One query."""
    tracker = CostTracker()
    if policy.agent_id is not None:
        tracker = tracker.agent(policy.agent_id)
    elif policy.workspace_id is not None:
        tracker = tracker.workspace(policy.workspace_id)
    return {day: spend.cost_microcents for day, spend in spend_by_day(tracker, days).items()}


def every_budget(
    user: User, calendar: Calendar, *, search: str = "", archived: bool = False, most: int
) -> list[BudgetRow]:
    """For a file, in an order that stays."""
    return _rows(_wanted(user, search, archived), calendar, IN_STEADY_ORDER, most)


def _wanted(user: User, search: str, archived: bool) -> QuerySet[BudgetPolicy]:
    rows: QuerySet[BudgetPolicy] = BudgetPolicy.objects.visible_to(user).filter(archived_at__isnull=not archived)
    if not search:
        return rows
    return rows.filter(
        Q(agent__name__icontains=search)
        | Q(agent__slug__icontains=search)
        | Q(workspace__name__icontains=search)
        | Q(workspace__slug__icontains=search)
    )


def _rows(
    wanted: QuerySet[BudgetPolicy], calendar: Calendar, order: str, most: int, offset: int = 0
) -> list[BudgetRow]:
    """As they stand this month, with what they are of."""
    month = ledger_month(calendar)
    found = read_standings(
        wanted, month, calendar.now, refused_from=month.starts_at, order=order, most=most, offset=offset
    )
    return [_row(one, calendar) for one in found]


def _row(one: StandingRow, calendar: Calendar) -> BudgetRow:
    standing = one.standing
    return BudgetRow(standing.policy, standing, state_of_standing(standing, str(calendar.zone)), one.refused)


def above_all(user: User, calendar: Calendar) -> BudgetState | None:
    """The state of the whole site's budget, for those who do not see it: its figures are other workspaces' spend."""
    if is_superuser(user):
        return None
    of_site = BudgetPolicy.objects.live().filter(scope=BudgetPolicy.Scope.SITE)
    found = _rows(of_site, calendar, IN_STEADY_ORDER, 1)
    return found[0].state if found else None


# ── one budget ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Grant:
    id: int
    cents: int
    reason: str
    by: str
    granted_at: datetime
    ends_at: datetime
    revoked_at: datetime | None
    live: bool


@dataclass(frozen=True)
class ChangeLine:
    at: datetime
    what: str
    told: str
    by: str
    reason: str


@dataclass(frozen=True)
class RefusedDay:
    day: datetime
    kind: str
    count: int


@dataclass(frozen=True)
class MonthLine:
    month: str
    calls: int | None
    """None where only the budget's own counter is kept: of the whole site no statement is made."""
    unpriced_calls: int
    cost: int | None
    limit: int | None
    revision: int


@dataclass(frozen=True)
class BudgetFacts:
    row: BudgetRow
    may_change: bool
    grants: list[Grant]
    crossings: list[ThresholdCrossing]
    changes: list[ChangeLine]
    refusals: list[RefusedDay]
    months: list[MonthLine]


def find_budget(user: User, calendar: Calendar, pk: int) -> BudgetRow | None:
    """Archived ones too."""
    found = _rows(BudgetPolicy.objects.visible_to(user).filter(pk=pk), calendar, IN_STEADY_ORDER, 1)
    return found[0] if found else None


def own_budget(user: User, agent_id: int) -> BudgetPolicy | None:
    """The live budget of exactly this agent."""
    return BudgetPolicy.objects.visible_to(user).live().filter(scope=BudgetPolicy.Scope.AGENT, agent=agent_id).first()


def find_grant(user: User, pk: int) -> BudgetGrant | None:
    """A grant of a budget that `user` sees."""
    return (
        BudgetGrant.objects.filter(pk=pk, policy__in=BudgetPolicy.objects.visible_to(user))
        .select_related("policy__workspace", "policy__agent")
        .first()
    )


def owns_any(user: User) -> bool:
    """Some workspace is theirs."""
    return Workspace.objects.owned_by(user).exists()


def may_change(user: User, policy: BudgetPolicy) -> bool:
    return BudgetPolicy.objects.changeable_by(user).filter(pk=policy.pk).exists()


def budget_facts(user: User, row: BudgetRow, calendar: Calendar) -> BudgetFacts:
    """Six queries."""
    policy, month = row.policy, ledger_month(calendar)
    grants = list(BudgetGrant.objects.filter(policy=policy).select_related("granted_by")[:MOST_LINES])
    return BudgetFacts(
        row=row,
        may_change=may_change(user, policy),
        grants=[
            Grant(
                given.pk,
                given.cents,
                given.reason,
                given.granted_by.get_username() if given.granted_by else "",
                given.granted_at,
                given.ends_at,
                given.revoked_at,
                given.revoked_at is None and given.granted_at <= calendar.now < given.ends_at,
            )
            for given in grants
        ],
        crossings=list(ThresholdCrossing.objects.filter(policy=policy)[:MOST_LINES]),
        changes=[
            ChangeLine(change.changed_at, change.get_what_display(), difference(change), change.by_name, change.reason)
            for change in BudgetChange.objects.filter(policy=policy)[:MOST_LINES]
        ],
        refusals=_refused_days(policy, calendar, month),
        months=_months(policy, month),
    )


def _refused_days(policy: BudgetPolicy, calendar: Calendar, month: Month) -> list[RefusedDay]:
    """Of this month, by day and kind, the newest first: at most three a day."""
    rows = (
        Refusal.objects.filter(policy=policy, minute__gte=month.starts_at)
        .annotate(day=TruncDay("minute", tzinfo=calendar.zone))
        .order_by("-day", "kind")
        .values("day", "kind")
        .annotate(sum=Sum("count"))
    )
    return [RefusedDay(row["day"], Refusal.Kind(row["kind"]).label, int(row["sum"])) for row in rows]


def _months(policy: BudgetPolicy, month: Month) -> list[MonthLine]:
    """Months that are over: by the statement of who the budget is of; of the site, by the budget's own counter."""
    if policy.workspace_id is None:
        counted = BudgetPeriod.objects.filter(policy=policy, month__lt=month.name).order_by("-month")[:MOST_MONTHS]
        return [MonthLine(period.month, None, 0, period.spent_microcents, None, 1) for period in counted]
    stated = (
        MonthlyStatement.objects.current()
        .filter(workspace=policy.workspace_id, agent=policy.agent_id, month__lt=month.name)
        .order_by("-month")[:MOST_MONTHS]
    )
    return [
        MonthLine(row.month, row.calls, row.unpriced_calls, row.cost, row.limit_microcents, row.revision)
        for row in stated
    ]
