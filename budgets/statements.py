"""What each month came to, written down when it is over and again when that changes; and a note to the owners.

Nothing is kept of what is still to be done: statements are compared with the ledger, and where they differ a revision
is made. So a site that was down for months catches up, late calls and corrections are found however they came, and
doing it twice changes nothing. Enforcement never reads any of it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Q, Sum
from django.db.models.functions import TruncMonth
from django.utils import timezone

from agents.clock import month_bounds, month_of
from agents.cost_tracker import CostTracker
from agents.models import LedgerState, Workspace, WorkspaceDay
from agents.spend import MICROCENTS_PER_CENT, NOTHING, Spend, cents_text
from agents.write_lock import writing
from budgets import words
from budgets.limits import effective_limits
from budgets.models import (
    BudgetChange,
    BudgetGrant,
    BudgetPeriod,
    BudgetPolicy,
    MonthlyStatement,
    MonthsClosed,
    Notification,
    NotificationChannel,
)
from budgets.models.statements import FIGURES
from budgets.months import Month, month_at, month_named
from budgets.notifications.recipients import owners_of, superusers
from budgets.notifications.telling import News, tell

LAST_CALLS_ARRIVE: Final = timedelta(minutes=15)
"""A month is looked at so long after its end: until then its last calls are on their way."""
COMPARED_EVERY: Final = timedelta(hours=1)
"""How soon a late call shows in a revision. Comparing reads a row for each workspace and day there ever was."""


def monthly_rollover(now: datetime | None = None, *, seconds: float = 30.0) -> str:
    """Bring every statement up to date, and tell the owners of the month that ended last, once. Called by the tick; two
    reads when nothing is due. What `seconds` are too few for is left to the next call.
    """
    deadline = time.monotonic() + seconds
    now = now or timezone.now()
    closed, _ = MonthsClosed.objects.get_or_create(pk=1)
    ledger = LedgerState.current()
    current = month_at(now - LAST_CALLS_ARRIVE, ledger.days())
    last = month_named(_month_before(current.name), ledger.days())
    is_new = closed.through != last.name
    # A time still to come was written by a clock that was wrong.
    if not is_new and closed.compared_at is not None and now - COMPARED_EVERY < closed.compared_at <= now:
        return "nothing due"
    made = 0
    for workspace_id, month in _differing(current):
        if time.monotonic() > deadline:
            return f"{made} statements made; more are left"
        made += revise(workspace_id, month, now)
    told = _tell_of(last, now) if is_new else 0
    MonthsClosed.objects.filter(pk=1).update(through=last.name, compared_at=now)
    return f"{made} statements made, {told} notes written"


def _month_before(month: str) -> str:
    return month_of(month_bounds(month)[0] - timedelta(days=1))


# ── statements ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _differing(current: Month) -> list[tuple[int, str]]:
    """Workspaces (by id) and months that are over whose statement is missing or is not what the ledger says, the latest
    month first.
    """
    days: Any = WorkspaceDay.objects.filter(day__lt=month_bounds(current.name)[0])
    in_ledger = {
        (row["workspace_id"], month_of(row["month"])): tuple(int(row[f"{name}_sum"]) for name in FIGURES)
        for row in days.order_by()
        .annotate(month=TruncMonth("day"))
        .values("workspace_id", "month")
        .annotate(**{f"{name}_sum": Sum(name) for name in FIGURES})
    }
    stated = {
        (workspace_id, month): tuple(figures)
        for workspace_id, month, *figures in MonthlyStatement.objects.current()
        .filter(agent=None, month__lt=current.name)
        .order_by()
        .values_list("workspace_id", "month", *FIGURES)
    }
    nothing = (0,) * len(FIGURES)
    differing = [
        key for key in in_ledger.keys() | stated.keys() if in_ledger.get(key, nothing) != stated.get(key, nothing)
    ]
    return sorted(differing, key=lambda key: (key[1], key[0]), reverse=True)


def revise(workspace_id: int, month: str, now: datetime) -> int:
    """Make the statements of one workspace's month that are missing or wrong; how many that were."""
    tracker = CostTracker().workspace(workspace_id).month(month)
    # The workspace first: a call that comes in between makes it differ at the next comparison. The other way round an
    # agent's statement would stay behind unseen.
    figures: dict[int | None, Spend] = {None: tracker.total()}
    figures |= {spend.of.pk: spend for spend in tracker.by_agent()}
    with writing():
        before = {
            statement.agent_id: statement
            for statement in MonthlyStatement.objects.current().filter(workspace=workspace_id, month=month)
        }
        limits = limits_at(workspace_id, month_named(month, LedgerState.current().days()).ends_at)
        rows = []
        for agent_id in figures.keys() | before.keys():
            spend, old = figures.get(agent_id, NOTHING), before.get(agent_id)
            stated = {name: getattr(spend, name) for name in FIGURES}
            if stated != ({name: getattr(old, name) for name in FIGURES} if old else dict.fromkeys(FIGURES, 0)):
                rows.append(
                    MonthlyStatement(
                        workspace_id=workspace_id, agent_id=agent_id, month=month, made_at=now, **stated,
                        revision=old.revision + 1 if old else 1,
                        limit_microcents=limits.get(agent_id),
                    )
                )  # fmt: skip
        # Two processes may be at it: the second adds nothing.
        MonthlyStatement.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def limits_at(workspace_id: int, at: datetime) -> dict[int | None, int]:
    """The limits that were in force just before `at`, with grants, in microcents by agent id; None is the workspace's
    own. From the record of changes: the rows say what holds now.
    """
    return {
        policy.agent_id: limit for policy, limit in _limits_at(BudgetPolicy.objects.filter(workspace=workspace_id), at)
    }


def _limits_at(policies: Iterable[BudgetPolicy], at: datetime) -> list[tuple[BudgetPolicy, int]]:
    in_force = [
        policy
        for policy in policies
        if policy.created_at < at and (policy.archived_at is None or policy.archived_at >= at)
    ]
    ids = [policy.pk for policy in in_force]
    later = BudgetChange.objects.filter(
        policy__in=ids, changed_at__gte=at, what__in=[BudgetChange.What.CHANGED, BudgetChange.What.ARCHIVED]
    )
    cents: dict[int, int] = {}
    for change in later.order_by("-changed_at", "-pk"):  # the first after `at` comes last, and stays
        if "limit_cents" in change.before:
            cents[change.policy_id] = change.before["limit_cents"]
    granted: Mapping[int, int] = dict(
        BudgetGrant.objects.filter(
            Q(revoked_at=None) | Q(revoked_at__gte=at), policy__in=ids, granted_at__lt=at, ends_at__gte=at
        )
        .order_by()
        .values("policy_id")
        .annotate(cents=Sum("cents"))
        .values_list("policy_id", "cents")
    )
    return [
        (policy, (cents.get(policy.pk, policy.limit_cents) + int(granted.get(policy.pk, 0))) * MICROCENTS_PER_CENT)
        for policy in in_force
    ]


# ── notes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _tell_of(last: Month, now: datetime) -> int:
    """Tell the owners of each workspace, and whoever runs the site, of a month that ended; how many notes that made."""
    free = _free_again(last, now)
    of_workspaces = MonthlyStatement.objects.current().filter(agent=None, month=last.name)
    spends = {statement.workspace_id: statement.spend for statement in of_workspaces}
    made = 0
    for workspace in Workspace.objects.live().filter(pk__in=spends.keys() | (free.keys() - {None})).order_by("pk"):
        spend, before = spends.get(workspace.pk, NOTHING), _before(CostTracker().workspace(workspace), last)
        news = _news(workspace, workspace.name, last, spend, before, free.get(workspace.pk, []), now)
        channels = NotificationChannel.objects.filter(workspace=workspace, enabled=True)
        made += len(tell(news, owners_of(workspace), channels))
    if spends:
        whole = CostTracker().site()
        spend, before = whole.month(last.name).total(), _before(whole, last)
        news = _news(None, "The whole site", last, spend, before, free.get(None, []), now)
        made += len(tell(news, superusers(), NotificationChannel.objects.hearing(None)))
    return made


def _before(tracker: CostTracker, month: Month) -> Spend:
    return tracker.month(_month_before(month.name)).total()


def _free_again(last: Month, now: datetime) -> dict[int | None, list[str]]:
    """Who was stopped when the month ended and is not now, by workspace id; None is the whole site."""
    stopping = (
        BudgetPolicy.objects.live()
        .exclude(mode=BudgetPolicy.Mode.MONITOR)
        .select_related("workspace", "agent")
        .order_by("scope", "pk")
    )
    spent: dict[tuple[int, str], int] = defaultdict(int)
    for policy_id, month, microcents in BudgetPeriod.objects.filter(
        month__in=[last.name, last.next_name], policy__in=stopping
    ).values_list("policy_id", "month", "spent_microcents"):
        spent[policy_id, month] = microcents
    then = _limits_at(stopping, last.ends_at)
    limits = effective_limits([policy for policy, _ in then], now)
    free: dict[int | None, list[str]] = defaultdict(list)
    for policy, limit in then:
        was_stopped = spent[policy.pk, last.name] >= limit
        if was_stopped and spent[policy.pk, last.next_name] < limits[policy.pk]:
            free[policy.workspace_id].append("all agents" if policy.agent is None else policy.subject)
    return free


def _news(
    workspace: Workspace | None,
    who: str,
    month: Month,
    spend: Spend,
    before: Spend,
    free_again: list[str],
    now: datetime,
) -> News:
    facts: dict[str, Any] = {
        "event": "month_ended",
        "workspace": workspace.slug if workspace else None,
        "month": month.name,
        "calls": spend.calls,
        "unpriced_calls": spend.unpriced_calls,
        "cost_cents": cents_text(spend.cost),
        "free_again": free_again,
    }
    return News(
        Notification.Cause.MONTH,
        f"month:{month.name}:{workspace.pk if workspace else 'site'}",
        words.month_ended(
            who, month.name, spend, before=before, free_again=free_again, year=LedgerState.current().days().of(now).year
        ),
        facts,
        workspace,
    )
