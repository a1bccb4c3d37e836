"""Analytics: every agent one may see."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from agents.spend import cents_text
from costsite.analytics import figures, panels
from costsite.analytics.filters import whole_number
from costsite.analytics.queries import agents
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.queries.standings import budgets_for
from costsite.analytics.views.budget_rows import shown_state
from costsite.analytics.views.page import Export, page

AGENTS_PER_PAGE = 50
DEFAULT_SORT = "spend"
LONGEST_SEARCH = 200


@login_required
def analytics(request: HttpRequest) -> HttpResponseBase:
    calendar = calendar_now()
    search = request.GET.get("q", "").replace("\x00", "").strip()[:LONGEST_SEARCH]
    sort = request.GET.get("sort", DEFAULT_SORT)
    sort = sort if sort in agents.SORTS else DEFAULT_SORT
    offset = whole_number(request.GET.get("from", ""), most=1_000_000) or 0
    rows = agents.list_agents(request.user, calendar, search=search, sort=sort, offset=offset, limit=AGENTS_PER_PAGE)
    more = len(rows) > AGENTS_PER_PAGE
    rows = rows[:AGENTS_PER_PAGE]
    trend_days = calendar.last_30_days
    budgets = budgets_for(
        request.user,
        calendar,
        workspaces={row.agent.workspace_id for row in rows},
        agents=[row.agent.id for row in rows],
    )
    states = [shown_state(budgets, row.agent.workspace_id, row.agent.id) for row in rows]
    context = {
        "rows": [
            (row, panels.month_of_days(row.by_day, trend_days), state) for row, state in zip(rows, states, strict=True)
        ],
        "unit": figures.MoneyUnit.for_values([row.month.cost for row in rows]),
        "counted_runs": agents.COUNTED_RUNS,
        "search": search,
        "sort": sort,
        "previous": max(0, offset - AGENTS_PER_PAGE) if offset else None,
        "next": offset + AGENTS_PER_PAGE if more else None,
        "kept": {"q": search, "sort": sort if sort != DEFAULT_SORT else ""},
    }

    def exports() -> dict[str, Export]:
        listed = Export(
            ("agent", "slug", "workspace", "cost_cents", "unpriced_calls", "runs", "budget", "last_run_at"),
            [
                (
                    row.agent.name,
                    row.agent.slug,
                    row.agent.workspace_name,
                    cents_text(row.month.cost),
                    row.month.unpriced_calls,
                    row.runs,
                    state.words,
                    row.agent.last_run_at,
                )
                for row, state in zip(rows, states, strict=True)
            ],
        )
        return {"agents": listed.over(calendar.month_to_date, search)}

    return page(request, "analytics/analytics.html", calendar, "analytics", context, exports=exports)
