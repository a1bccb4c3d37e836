"""Analytics: every agent one may see, and one agent."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from zlib import crc32

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from costsite.analytics import figures, panels
from costsite.analytics.charts import slots_for
from costsite.analytics.per_run import PerRun, PlacedRun, RunPlot, per_run, run_plot
from costsite.analytics.periods import Calendar, Days
from costsite.analytics.queries import agents, runs
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.queries.rollups import Spans, sum_of
from costsite.analytics.queries.run_costs import RunCost, run_costs
from costsite.analytics.views.dashboard import runs_of_day
from costsite.analytics.views.page import found_or_404, page, range_name, whole_number

AGENTS_PER_PAGE = 50
LONGEST_SEARCH = 200
MODELS = 8
STEPS = 8
PLOTTED_RUNS = 500
STEP_RUNS = 200
"""Steps are read from calls: of this many newest runs."""
RUNS_PER_PAGE = 20


@login_required
def analytics(request: HttpRequest) -> HttpResponse:
    calendar = calendar_now()
    search = request.GET.get("q", "").replace("\x00", "").strip()[:LONGEST_SEARCH]
    sort = request.GET.get("sort", "spend")
    sort = sort if sort in agents.SORTS else "spend"
    offset = whole_number(request.GET.get("from", ""), most=1_000_000) or 0
    rows = agents.list_agents(request.user, calendar, search=search, sort=sort, offset=offset, limit=AGENTS_PER_PAGE)
    more = len(rows) > AGENTS_PER_PAGE
    rows = rows[:AGENTS_PER_PAGE]
    trend_days = calendar.last_30_days
    context = {
        "rows": [(row, panels.month_of_days(row.by_day, trend_days)) for row in rows],
        "unit": figures.MoneyUnit.for_values([row.month.cost for row in rows]),
        "counted_runs": agents.COUNTED_RUNS,
        "search": search,
        "sort": sort,
        "previous": max(0, offset - AGENTS_PER_PAGE) if offset else None,
        "next": offset + AGENTS_PER_PAGE if more else None,
        "kept": ("q", "sort"),
    }
    return page(request, "analytics/analytics.html", calendar, "analytics", context)


def model_slots(models: list[str]) -> dict[str, int]:
    """A model keeps its colour on every page: by its name, since it has no row of its own."""
    homes = {name: crc32(name.encode("utf-8", "replace")) + 1 for name in models}
    slots = slots_for(list(homes.values()))
    return {name: slots[home] for name, home in homes.items() if home in slots}


@login_required
def agent(request: HttpRequest, pk: int) -> HttpResponse:
    calendar = calendar_now()
    found = found_or_404(agents.find_agent(request.user, pk), "agent")
    shown_range = range_name(request)
    spans = Spans.of(calendar, shown_range)
    by_day = agents.agent_by_day(request.user, found.id, spans.all)
    month, shown = sum_of(by_day, spans.month), sum_of(by_day, spans.shown)
    compared, before = sum_of(by_day, spans.compared), sum_of(by_day, spans.before)
    comparison = panels.Comparison(compared.cost, spans.compared, before.cost, spans.before)
    models = agents.agent_models(request.user, found.id, spans.shown, MODELS)
    names = [model.of[1] for model in models[: panels.SERIES]]
    model_days = agents.agent_model_days(request.user, found.id, spans.shown, names)
    slots = model_slots(names)
    wanted = runs.RunFilter(agent_id=found.id, days=spans.shown)
    points = run_costs(request.user, calendar, wanted, PLOTTED_RUNS)
    usual = per_run([(point.cost, point.unpriced_calls) for point in points], cut=len(points) == PLOTTED_RUNS)
    steps = agents.steps_of_runs(
        request.user, found.workspace_id, [point.run_id for point in points[:STEP_RUNS]], STEPS
    )
    cursor_before = runs.Cursor.parse(request.GET.get("before", ""))
    cursor_after = runs.Cursor.parse(request.GET.get("after", ""))
    run_page = runs.list_runs(
        request.user,
        calendar,
        runs.RunFilter(agent_id=found.id),
        before=cursor_before,
        after=cursor_after,
        limit=RUNS_PER_PAGE,
    )
    plot = _plot(points, usual, spans.shown, calendar)
    context = {
        "agent": found,
        "month": month,
        "change": comparison.note,
        "runs": agents.count_runs(request.user, found.id, calendar, spans.month),
        "counted_runs": agents.COUNTED_RUNS,
        "bars": panels.token_bars(month),
        "chart": panels.spend_per_day(
            "cost-trend",
            title=panels.answer(shown_range, comparison, shown, spans.shown, calendar),
            measure="Estimated cost per day by model",
            totals=by_day,
            series=[
                panels.Series(name or "unnamed model", slots[name], model_days.get(name, {}))
                for name in dict.fromkeys(names)
            ],
            days=spans.shown,
            calendar=calendar,
            day_href=partial(runs_of_day, agent=found.id),
        ),
        "range": shown_range,
        "models": models,
        "models_unit": figures.MoneyUnit.for_values([model.cost for model in models]),
        "shown": shown,
        "shown_days": spans.shown,
        "steps": steps,
        "steps_cost": sum(step.spend.cost_microcents for step in steps),
        "steps_unit": figures.MoneyUnit.for_values([step.spend.cost_microcents for step in steps]),
        "step_runs": min(STEP_RUNS, len(points)),
        "plot": plot,
        "per_run": usual,
        "median": usual.median or 0,
        "run_page": run_page,
        "run_unit": figures.MoneyUnit.for_values([run.spend.cost for run in run_page.rows]),
        "no_runs_yet": not run_page.rows and not by_day and cursor_before is None and cursor_after is None,
        "kept": ("range",),
    }
    return page(request, "analytics/agent.html", calendar, "analytics", context)


def _plot(points: list[RunCost], usual: PerRun, shown: Days, calendar: Calendar) -> RunPlot | None:
    days = shown
    if usual.cut:
        # Of a busy agent only the newest runs are read: the plot is of their days, not mostly empty.
        oldest = points[-1].started_at.astimezone(calendar.zone).date()
        days = Days(oldest, min(shown.end, calendar.today + timedelta(days=1)))
    start, end = days.starts_at(calendar.zone), days.ends_at(calendar.zone)
    placed = [
        PlacedRun(
            (point.started_at - start) / (end - start),
            point.cost,
            point.unpriced_calls,
            f"{point.started_at.astimezone(calendar.zone):%-d %b %H:%M}",
            reverse("run", args=[point.id]),
        )
        for point in points
    ]
    return run_plot(placed, usual, days=days)
