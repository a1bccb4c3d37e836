"""Budgets: all one may see, and one of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from budgets.enforcement import Standing
from budgets.model_moves import is_due
from budgets.models import BudgetPolicy
from costsite.analytics import figures
from costsite.analytics.burn_down import BurnDown
from costsite.analytics.file_names import file_name
from costsite.analytics.filters import whole_number
from costsite.analytics.forecast import DRAWN_FROM_DAYS, TESTED_WEEKS
from costsite.analytics.periods import Calendar, Days
from costsite.analytics.queries import budgets
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.views import ways
from costsite.analytics.views.budget_files import COLUMNS, TABLES
from costsite.analytics.views.budget_rows import bar_of
from costsite.analytics.views.month import will_hold, will_hold_export
from costsite.analytics.views.page import as_csv, found_or_404, page, search_text
from costsite.csv_answer import csv_answer

BUDGETS_PER_PAGE = 50
EXPORTED_BUDGETS = 10_000
READ_DAYS = DRAWN_FROM_DAYS + 7 * TESTED_WEEKS


def _will_hold(policy: BudgetPolicy, standing: Standing, calendar: Calendar) -> BurnDown:
    read_from = min(calendar.month.start, calendar.today - timedelta(days=READ_DAYS))
    spent = budgets.spent_by_day(policy, Days(read_from, calendar.today + timedelta(days=1)))
    of: dict[str, object] = {}
    if policy.agent_id:
        of = {"agent": policy.agent_id}
    elif policy.workspace:
        of = {"workspace": policy.workspace.slug}
    return will_hold(spent, calendar, standing, of)


@login_required
def budget_list(request: HttpRequest) -> HttpResponseBase:
    calendar = calendar_now()
    search = search_text(request)
    archived = request.GET.get("show") == "archived"
    offset = whole_number(request.GET.get("from", ""), most=1_000_000) or 0
    rows = budgets.list_budgets(
        request.user, calendar, search=search, archived=archived, offset=offset, limit=BUDGETS_PER_PAGE
    )
    more = len(rows) > BUDGETS_PER_PAGE
    rows = rows[:BUDGETS_PER_PAGE]
    standings = [row.standing for row in rows]
    context = {
        "rows": [(row, bar_of(row.standing)) for row in rows],
        "above": budgets.above_all(request.user, calendar),
        # One for all columns: spent, held and left are read against the limit beside them.
        "unit": figures.MoneyUnit.for_values(
            [amount for one in standings for amount in (one.spent, one.held, one.left, one.limit)]
        ),
        "search": search,
        "archived": archived,
        "add_href": ways.add_budget(request.user, owns_any=budgets.owns_any(request.user)),
        "previous": max(0, offset - BUDGETS_PER_PAGE) if offset else None,
        "next": offset + BUDGETS_PER_PAGE if more else None,
        "kept": {"q": search, "show": "archived" if archived else ""},
    }
    return page(request, "analytics/budgets.html", calendar, "budgets", context)


def _subject(policy: BudgetPolicy) -> Sequence[str]:
    """Whose budget it is, for names of files; numbered, since one that was archived may stand beside another."""
    workspace, agent = policy.workspace, policy.agent
    return workspace.slug if workspace else "site", agent.slug if agent else "", f"budget {policy.pk}"


@login_required
def budget(request: HttpRequest, pk: int) -> HttpResponseBase:
    calendar = calendar_now()
    row = found_or_404(budgets.find_budget(request.user, calendar, pk), "budget")
    found, facts = row.policy, budgets.budget_facts(request.user, row, calendar)
    wanted = request.GET.get("csv", "")
    if wanted in TABLES:
        columns, rows = TABLES[wanted]
        return csv_answer(file_name((*_subject(found), wanted), calendar.today), columns, rows(facts))
    standing = row.standing
    holds = None if found.archived_at else _will_hold(found, standing, calendar)
    if holds is not None and wanted == "will-it-hold":
        return as_csv((*_subject(found), wanted), will_hold_export(holds, calendar), calendar)
    context = {
        "policy": found,
        "facts": facts,
        "row": row,
        "standing": standing,
        "bar": bar_of(standing),
        "moved": bool(found.moves_at_percent and is_due(found.moves_at_percent, standing.limit, standing.spent)),
        "will_hold": holds,
        "month": f"{calendar.today:%B}",
        "edit": ways.edit_budget(request.user, found, changeable=facts.may_change),
        "most": budgets.MOST_LINES,
        "months_unit": figures.MoneyUnit.for_values([line.cost for line in facts.months]),
    }
    return page(request, "analytics/budget.html", calendar, "budgets", context)


@login_required
def budgets_csv(request: HttpRequest) -> StreamingHttpResponse:
    """The budgets that the page lists under the same filter; amounts are exact."""
    calendar, search = calendar_now(), search_text(request)
    archived = request.GET.get("show") == "archived"
    rows = budgets.every_budget(request.user, calendar, search=search, archived=archived, most=EXPORTED_BUDGETS)
    narrowed_to = (search, "archived" if archived else "")
    return csv_answer(file_name(("budgets", *narrowed_to), calendar.today), COLUMNS, rows)
