"""What a client is told of its budgets: with every Receipt how they stand, and lines that were passed of late."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from agents.clock import month_of
from agents.models import Agent, ApiKey, LedgerState
from budgets.counters import Counted
from budgets.covering import Covering, covering_budgets
from budgets.key_reach import KeyReach
from budgets.model_moves import move_told
from budgets.models import BudgetPeriod, BudgetPolicy, ThresholdCrossing
from budgets.months import month_named
from budgets.notifications.telling import words_of
from langchain_plugin import wire

TOLD_FOR: Final = timedelta(minutes=15)
"""A line passed longer ago is no news to a process that asks: its owner was told elsewhere."""


def counted_of(key: ApiKey, agent_ids: Iterable[int], counted: Counted | None, now: datetime | None = None) -> Counted:
    """The budgets that cover these agents: what recording their batch read of them already, or read now."""
    wanted = frozenset(agent_ids)
    if counted is not None and counted.agent_ids.issuperset(wanted):
        return counted
    now = now or timezone.now()
    budgets = covering_budgets(key.workspace_id, wanted, now)
    return Counted(wanted, budgets, month_of(LedgerState.current().days().of(now)), {}, [])


def model_moves(agents: Mapping[str, int], counted: Counted) -> dict[str, wire.ModelMove]:
    """Which model each agent's own budget moves it to, by the name the client uses; those that stay left out."""
    own = {budget.agent_id: budget for budget in counted.budgets if budget.agent_id is not None and budget.moves_to}
    if not own:
        return {}
    spent = _spent(list(own.values()), counted)
    ends_at = month_named(counted.month, LedgerState.current().days()).ends_at
    told = {}
    for name, agent_id in agents.items():
        budget = own.get(agent_id)
        move = budget and move_told(budget, limit=budget.limit, spent=spent.get(budget.pk, 0), month_ends_at=ends_at)
        if move:
            told[name] = move
    return told


def budget_news(reach: KeyReach, agents: Mapping[str, int], counted: Counted) -> list[wire.BudgetNews]:
    """Of each agent the tightest budget whose figures the key may read. `agents`: ids by the name the client uses."""
    opened = [budget for budget in counted.budgets if reach.opens(budget)]
    if not opened:
        return []
    spent = _spent(opened, counted)
    wide = [budget for budget in opened if budget.agent_id is None]
    own = {budget.agent_id: budget for budget in opened if budget.agent_id is not None}
    news = []
    for name, agent_id in sorted(agents.items()):
        covering = [*wide, own[agent_id]] if agent_id in own else wide
        if covering:
            tightest = min(covering, key=lambda budget: budget.limit - spent.get(budget.pk, 0))
            news.append(
                wire.BudgetNews(agent=name, spent_microcents=spent.get(tightest.pk, 0), limit_microcents=tightest.limit)
            )
    return news


def _spent(budgets: Sequence[Covering], counted: Counted) -> dict[int, int]:
    """Microcents by policy id, of the month it is; read where nothing was added to it."""
    month, totals = counted.month, counted.totals
    known = {budget.pk: totals[budget.pk, month] for budget in budgets if (budget.pk, month) in totals}
    missing = [budget.pk for budget in budgets if budget.pk not in known]
    if not missing:
        return known
    periods = BudgetPeriod.objects.filter(policy__in=missing, month=month)
    return known | dict(periods.values_list("policy_id", "spent_microcents"))


# ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def lines_passed_now(reach: KeyReach, counted: Counted | None) -> list[wire.LinePassed]:
    """What recording a batch passed, of budgets whose figures the key may read."""
    return _told(reach, counted.crossings) if counted is not None and counted.crossings else []


def lines_passed_lately(
    reach: KeyReach, agent: Agent, policies: Iterable[BudgetPolicy], now: datetime | None = None
) -> list[wire.LinePassed]:
    """Lines that others may have passed, of the budgets that cover an agent."""
    opened = [policy.pk for policy in policies if reach.opens(policy)]
    if not opened:
        return []
    since = (now or timezone.now()) - TOLD_FOR
    recent = ThresholdCrossing.objects.filter(policy__in=opened, crossed_at__gte=since)
    return _told(reach, list(recent.select_related("policy__workspace", "policy__agent").order_by("pk")))


def _told(reach: KeyReach, crossings: Iterable[ThresholdCrossing]) -> list[wire.LinePassed]:
    """The highest of each budget and limit. Not those that ring nowhere: of a month that is over, or passed already
    when somebody made or changed the budget.
    """
    highest: dict[tuple[int, int], ThresholdCrossing] = {}
    for crossing in crossings:
        if crossing.late or crossing.at_creation or not reach.opens(crossing.policy):
            continue
        place = (crossing.policy_id, crossing.limit_microcents)
        if place not in highest or highest[place].threshold < crossing.threshold:
            highest[place] = crossing
    told = []
    for crossing in highest.values():
        words = words_of(crossing)
        told.append(wire.LinePassed(crossing_id=crossing.pk, title=words.title, body=words.body))
    return told
