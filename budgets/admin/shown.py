"""Budgets in lists and on forms: read for a page at once, written in one way."""

from __future__ import annotations

from collections.abc import Iterable

from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from agents.admin.access import is_superuser
from agents.models import LedgerState
from budgets.enforcement import Standing
from budgets.models import BudgetPolicy
from budgets.money import in_both
from budgets.months import month_at
from budgets.state import BudgetState, standings_in_bulk, state_of_standing


def state_in_html(state: BudgetState, *, of: str | None = None) -> str:
    """The state with its sign and colour. `of`: who is in the row; when the budget is another's, it is named."""
    by = "" if of is None or state.by in ("", of) else f" ({state.by})"
    return format_html('<span class="budget-state {}">{}</span>{}', state.kind.value, state.words, by)


def standings_on_a_page(policies: Iterable[BudgetPolicy]) -> tuple[dict[int, Standing], str]:
    """By policy id, and the ledger's time zone, in a fixed number of queries."""
    now, ledger = timezone.now(), LedgerState.current()
    return standings_in_bulk(list(policies), now, month_at(now, ledger.days())), ledger.time_zone


def covered_too(request: HttpRequest, standings: Iterable[Standing], zone: str) -> str:
    """A sentence for each budget above the one on the page. Of the site's, only superusers read figures: the rest of
    it is other workspaces' spend.
    """
    sentences = []
    for standing in standings:
        state = state_of_standing(standing, zone)
        figures = f"{in_both(standing.spent)} of {in_both(standing.limit)} spent, "
        shown = is_superuser(request.user) or standing.policy.scope != BudgetPolicy.Scope.SITE
        sentences.append(f"The budget of {state.by} covers it too: {figures if shown else ''}{state.words}.")
    return " ".join(sentences)
