"""Budgets as pages show them: state, bar, and what is to be expected."""

from __future__ import annotations

from dataclasses import dataclass

from budgets.enforcement import Standing
from budgets.state import BudgetState, Kind, instant_in_short, kind_of
from costsite.analytics.budget_bars import BudgetBar, budget_bar
from costsite.analytics.queries.standings import Budgets, Watched


@dataclass(frozen=True)
class Shown:
    """How something stands: a word, a sign, and a bar where there are figures one may read."""

    words: str
    kind: Kind
    bar: BudgetBar | None
    of: str
    """Whose budget speaks, where it is another's: `workspace` or `site`. Its bar would say nothing of this one."""


NO_BUDGET = Shown("no budget", Kind.NO_BUDGET, None, "")


def shown_state(budgets: Budgets, workspace_id: int, agent_id: int | None = None) -> Shown:
    state = budgets.state_of(workspace_id, agent_id)
    if state.standing is None:
        return NO_BUDGET
    speaks = next(
        one for one in budgets.covering(workspace_id, agent_id) if one.standing.policy.pk == state.standing.policy.pk
    )
    own = (speaks.policy.workspace_id, speaks.policy.agent_id) == (workspace_id, agent_id)
    if own:
        return Shown(state.words, state.kind, bar_if_shown(speaks), "")
    return Shown(state.words, state.kind, None, speaks.policy.scope)


def bar_of(standing: Standing) -> BudgetBar:
    kind, policy = kind_of(standing), standing.policy
    return budget_bar(kind.value, standing.limit, standing.spent, standing.held, policy.thresholds)


def bar_if_shown(watched: Watched) -> BudgetBar | None:
    """None where one may not read its figures."""
    return bar_of(watched.standing) if watched.shown else None


def words_of(watched: Watched, zone: str) -> str:
    return BudgetState(watched.kind, watched.standing, zone).words


def blocked_words(watched: Watched, zone: str) -> str:
    """`is blocked until 1 Dec 00:00 Europe/Berlin`."""
    until = instant_in_short(watched.standing.month.ends_at, zone)
    return {
        Kind.BLOCKED: f"is blocked until {until}",
        Kind.NEW_RUNS_REFUSED: f"may start no new runs until {until}",
        Kind.OVER: "is over its budget, which only tells",
        Kind.NEAR: "is near its budget",
    }.get(watched.kind, "")
