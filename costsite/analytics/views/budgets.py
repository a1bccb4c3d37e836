"""Budgets: all one may see, and one of them."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from agents.models.visibility import is_superuser
from budgets.models import BudgetPolicy
from costsite.analytics import figures
from costsite.analytics.budget_bars import BudgetBar, budget_bar
from costsite.analytics.queries import budgets
from costsite.analytics.queries.budgets import BudgetRow
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.views.budget_files import COLUMNS, TABLES
from costsite.analytics.views.page import found_or_404, page, search_text, whole_number
from costsite.csv_answer import csv_answer

BUDGETS_PER_PAGE = 50
EXPORTED_BUDGETS = 10_000


def bar_of(row: BudgetRow) -> BudgetBar:
    standing = row.standing
    return budget_bar(row.state.kind.value, standing.limit, standing.spent, standing.held, row.policy.thresholds)


def edit_address(request: HttpRequest, policy: BudgetPolicy) -> str:
    """Where the admin changes the budget, for who may go there; else empty."""
    may = getattr(request.user, "is_staff", False)
    return reverse("admin:budgets_budgetpolicy_change", args=[policy.pk]) if may else ""


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
        "rows": [(row, bar_of(row)) for row in rows],
        "above": budgets.above_all(request.user, calendar),
        "spent_unit": figures.MoneyUnit.for_values([standing.spent for standing in standings]),
        "held_unit": figures.MoneyUnit.for_values([standing.held for standing in standings]),
        "left_unit": figures.MoneyUnit.for_values([standing.left for standing in standings]),
        "limit_unit": figures.MoneyUnit.for_values([standing.limit for standing in standings]),
        "search": search,
        "archived": archived,
        "may_add": is_superuser(request.user) or getattr(request.user, "is_staff", False),
        "previous": max(0, offset - BUDGETS_PER_PAGE) if offset else None,
        "next": offset + BUDGETS_PER_PAGE if more else None,
        "kept": ("q", "show"),
    }
    return page(request, "analytics/budgets.html", calendar, "budgets", context)


@login_required
def budget(request: HttpRequest, pk: int) -> HttpResponseBase:
    calendar = calendar_now()
    found = found_or_404(budgets.find_budget(request.user, calendar, pk), "budget")
    facts = budgets.budget_facts(found, calendar)
    wanted = request.GET.get("csv", "")
    if wanted in TABLES:
        columns, rows = TABLES[wanted]
        return csv_answer(f"budget-{found.pk}-{wanted}-{calendar.today:%Y-%m-%d}", columns, rows(facts))
    standing = facts.row.standing
    context = {
        "policy": found,
        "facts": facts,
        "row": facts.row,
        "standing": standing,
        "bar": bar_of(facts.row),
        "month": f"{calendar.today:%B}",
        "edit": edit_address(request, found) if facts.may_change else "",
        "most": budgets.MOST_LINES,
        "months_unit": figures.MoneyUnit.for_values([line.cost for line in facts.months]),
    }
    return page(request, "analytics/budget.html", calendar, "budgets", context)


@login_required
def budgets_csv(request: HttpRequest) -> StreamingHttpResponse:
    """The budgets that the page lists under the same filter; amounts are exact."""
    calendar = calendar_now()
    rows = budgets.every_budget(
        request.user,
        calendar,
        search=search_text(request),
        archived=request.GET.get("show") == "archived",
        most=EXPORTED_BUDGETS,
    )
    return csv_answer(f"budgets-{calendar.today:%Y-%m-%d}", COLUMNS, rows)
