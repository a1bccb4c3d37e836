"""Workspaces: the list, and one of them over all its agents."""

from __future__ import annotations

from functools import partial

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse

from agents.spend import NOTHING
from costsite.analytics import figures, panels
from costsite.analytics.charts import slots_for
from costsite.analytics.queries import runs as run_queries
from costsite.analytics.queries import workspaces
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.queries.rollups import Spans, sum_of
from costsite.analytics.views.dashboard import runs_of_day
from costsite.analytics.views.page import found_or_404, page, range_name
from costsite.analytics.views.spenders import series_of, spender_table
from costsite.analytics.views.usual_run import usual_run

NEWEST_RUNS = 10
MODELS = 8


@login_required
def workspace_list(request: HttpRequest) -> HttpResponse:
    calendar = calendar_now()
    spans = Spans.of(calendar, "30-days")
    spenders = workspaces.workspace_spenders(request.user, spans)
    days = workspaces.workspace_days(
        request.user, spans.spark, [spender.id for spender in spenders[: workspaces.MOST_ROWS]]
    )
    total = sum((spender.month for spender in spenders), NOTHING)
    context = {
        "table": spender_table(spenders, days, total, spans),
        "runs": sum(spender.runs or 0 for spender in spenders),
        "no_workspaces": not spenders,
    }
    return page(request, "analytics/workspaces.html", calendar, "workspaces", context)


@login_required
def workspace(request: HttpRequest, slug: str) -> HttpResponse:
    calendar = calendar_now()
    found = found_or_404(workspaces.find_workspace(request.user, slug), "workspace")
    shown_range = range_name(request)
    spans = Spans.of(calendar, shown_range)
    by_day = workspaces.workspace_by_day(request.user, found.id, spans.all)
    agents = workspaces.agents_of(request.user, found.id, spans)
    named = agents[: workspaces.MOST_ROWS]
    days = workspaces.agent_days(request.user, spans.all, [agent.id for agent in named])
    month, shown = sum_of(by_day, spans.month), sum_of(by_day, spans.shown)
    compared, before = sum_of(by_day, spans.compared), sum_of(by_day, spans.before)
    comparison = panels.Comparison(compared.cost, spans.compared, before.cost, spans.before)
    runs = workspaces.workspace_runs(request.user, found.id, spans.month)
    dearest = sorted(named, key=lambda agent: -agent.shown)[: panels.SERIES]
    slots = slots_for([agent.id for agent in dearest])
    models = workspaces.models_of(request.user, found.id, spans.shown, MODELS)
    newest = run_queries.list_runs(
        request.user, calendar, run_queries.RunFilter(workspace_id=found.id), limit=NEWEST_RUNS
    )
    context = {
        "workspace": found,
        "month": month,
        "change": comparison.note,
        "runs": runs,
        "per_run": usual_run(request.user, calendar, run_queries.RunFilter(workspace_id=found.id, days=spans.month)),
        "bars": panels.token_bars(month),
        "chart": panels.spend_per_day(
            "spend-per-day",
            title=panels.answer(shown_range, comparison, shown, spans.shown, calendar),
            measure="Estimated cost per day by agent",
            totals=by_day,
            series=series_of(dearest, days, slots, "agent"),
            days=spans.shown,
            calendar=calendar,
            day_href=partial(runs_of_day, workspace=found.slug),
        ),
        "range": shown_range,
        "table": spender_table(agents, days, month, spans, kind="agent"),
        "models": models,
        "models_unit": figures.MoneyUnit.for_values([model.cost for model in models]),
        "shown": shown,
        "shown_days": spans.shown,
        "run_page": newest,
        "run_unit": figures.MoneyUnit.for_values([run.spend.cost for run in newest.rows]),
        "no_runs_yet": not newest.rows and not by_day,
    }
    return page(request, "analytics/workspace.html", calendar, "workspaces", context)
