"""One agent: what it spent this month, on what, where it is heading, and each of its runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse

from agents.spend import Spend, cents_text
from costsite.analytics import figures, panels
from costsite.analytics.comparison import Comparison
from costsite.analytics.cost_trend import CostTrend, cost_trend
from costsite.analytics.file_names import of_calls, of_chart
from costsite.analytics.filters import Filters, filters_from
from costsite.analytics.per_run import PerRun, PlacedRun, RunPlot, per_run, run_plot
from costsite.analytics.periods import Calendar, Days, midnight
from costsite.analytics.queries import agents, merges, runs
from costsite.analytics.queries.agent_usage import AgentUsage, agent_usage, by_model, of_status
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.queries.hours import spend_by_hour
from costsite.analytics.queries.rollups import Spans
from costsite.analytics.queries.run_costs import RunCost, RunCosts, run_costs, run_ids
from costsite.analytics.queries.run_filter import RunFilter
from costsite.analytics.queries.standings import budgets_for
from costsite.analytics.queries.usage import usage_split
from costsite.analytics.stacks import DAYS_ONE_BY_ONE, SERIES, Stack
from costsite.analytics.views import ways
from costsite.analytics.views.budget_rows import bar_if_shown, shown_state, words_of
from costsite.analytics.views.by_model import models_export, models_table
from costsite.analytics.views.chosen import of_agent
from costsite.analytics.views.merging import merged_table
from costsite.analytics.views.month import will_hold_export, will_hold_if_known
from costsite.analytics.views.page import Export, found_or_404, page, pages_of
from costsite.analytics.views.spend_chart import (
    HOURS,
    Drawn,
    Split,
    as_run_filter,
    drawn_as,
    hourly_chart,
    runs_of_days,
    runs_of_part,
    spend_chart,
)

STEPS = 8
EFFORTS = 8
READ_RUNS = 2_000
"""The newest, for the trend of a run's cost."""
PLOTTED_RUNS = 250
"""Of them, as dots: each is a link, and a page of more than 150 kB is a slow one."""
STEP_RUNS = 200
"""Steps are read from calls: of this many newest runs."""
RUNS_PER_PAGE = 20


@login_required
def agent(request: HttpRequest, pk: int) -> HttpResponseBase:
    user, calendar = request.user, calendar_now()
    found = found_or_404(agents.find_agent(user, pk, calendar), "agent")
    if found.merged_into is not None:
        asked = request.META["QUERY_STRING"]
        return redirect(reverse("agent", args=[found.merged_into]) + (f"?{asked}" if asked else ""))
    filters = replace(filters_from(request.GET, calendar), workspace="", agent=None)  # neither is a choice here
    spans = Spans.of(calendar, filters.days, filters.before if filters.compare else None)
    drawn = drawn_as(filters, calendar, for_file="csv" in request.GET)
    usage = agent_usage(user, found.id, spans.cover(drawn.months))
    wanted = usage.wanted(filters)
    month, shown = usage.total(spans.month), wanted.total(spans.shown)
    comparison = Comparison.of(
        usage.total(spans.compared), spans.compared, usage.total(spans.before), spans.before, month
    )
    budgets = budgets_for(user, calendar, workspaces=[found.workspace_id], agents=[found.id])
    own = budgets.own(found.workspace_id, found.id)
    will_hold = will_hold_if_known(usage.spent_by_day(), calendar, own, month, {"agent": found.id})

    # Of 24 hours too the days they touch: that is what the charts of runs name.
    asked = _asked_of_runs(filters, found.id)
    read = run_costs(user, calendar, asked, READ_RUNS)
    points = read.runs
    plotted = points[:PLOTTED_RUNS]
    usual = per_run([(one.cost, one.unpriced_calls) for one in plotted], cut=len(points) > len(plotted))
    plot = _plot(plotted, usual, filters.days, calendar)
    trend = _trend(read, filters, calendar, found.id)
    steps_of = [one.id for one in points[:STEP_RUNS]]
    steps = agents.steps_of_runs(user, found.workspace_id, steps_of, STEPS, asked.of_calls)
    before, after = (runs.Cursor.parse(request.GET.get(name, "")) for name in ("before", "after"))
    run_page = runs.page_among(user, [one.place for one in points], before=before, after=after, limit=RUNS_PER_PAGE)
    models = wanted.by(spans.shown, by_model)
    # Beside the month's tokens, so of the month as well, whatever the filter says.
    efforts = usage.by(spans.month, lambda row: row.effort)
    chart = _chart(request, calendar, filters, wanted, drawn, comparison, found)
    lost = of_status(usage, spans.month, "error", "abandoned", "cancelled")
    bars = panels.token_bars(month)
    way_to_edit = ways.edit_agent(user, found.id, owned=found.owned)
    context = {
        "agent": found,
        "edit_href": way_to_edit,
        "budget_href": ways.set_budget(way_to_edit),
        "merge_href": ways.merge_agent(user, found.id, found.slug, owned=found.owned),
        **merged_table(merges.merges_into(user, found.id) if found.has_merged else []),
        "grant_href": ways.grant_more(user, own.policy, owned=found.owned) if own else "",
        "state": shown_state(budgets, found.workspace_id, found.id),
        "own": own,
        "own_bar": bar_if_shown(own) if own else None,
        "above": [
            (one, words_of(one, budgets.zone), bar_if_shown(one))
            for one in budgets.covering(found.workspace_id, found.id)
            if one is not own
        ],
        "month": month,
        "change": comparison.note,
        "counted_runs": agents.COUNTED_RUNS,
        "lost": lost,
        "will_hold": will_hold,
        "bars": bars,
        "bars_href": runs_of_days(spans.month, agent=found.id),
        "chart": chart,
        "trend": trend,
        **models_table(models),
        "efforts": efforts[:EFFORTS] if len(efforts) > 1 or any(effort for effort, _ in efforts) else [],
        "efforts_unit": figures.MoneyUnit.for_values([spend.cost for _, spend in efforts]),
        "shown": shown,
        "shown_days": spans.shown,
        "steps": steps,
        "steps_cost": sum(step.spend.cost_microcents for step in steps),
        "steps_unit": figures.MoneyUnit.for_values([step.spend.cost_microcents for step in steps]),
        "step_runs": min(STEP_RUNS, len(points)),
        "steps_since": points[STEP_RUNS - 1].started_at if len(points) > STEP_RUNS else None,
        "plot": plot,
        "per_run": usual,
        "median": usual.median or 0,
        "run_page": run_page,
        "older_href": runs_of_days(
            filters.days, agent=found.id, **as_run_filter(filters), **({"before": points[-1].place} if points else {})
        ),
        "of_runs": _of_runs(filters, cut=read.cut),
        "read_runs": READ_RUNS if read.cut else None,
        "run_unit": figures.MoneyUnit.for_values([run.spend.cost for run in run_page.rows]),
        "no_runs_yet": found.last_run_at is None and not usage.rows,
    }

    def exports() -> dict[str, Export]:
        days = filters.days
        of_them = of_calls(filters)
        of_runs = {
            "cost-trend": _trend_export(trend),
            "run-costs": _runs_export(user, points),
            "steps": _steps_export(steps),
        }
        return {
            "spend-per-day": Export(chart.exact_head, chart.exact_rows).over(days, *of_chart(filters)),
            "models": models_export(models).over(days, *of_them),
            "will-it-hold": will_hold_export(will_hold, calendar),
            "token-usage": Export(panels.TOKENS_HEAD, panels.token_rows(bars)).over(spans.month),
            "efforts": _efforts_export(efforts).over(spans.month),
            **{name: export.over(days, *of_them, filters.tag) for name, export in of_runs.items()},
        }

    return page(
        request,
        "analytics/agent.html",
        calendar,
        "analytics",
        context,
        filters=filters,
        exports=exports,
        subject=of_agent(found),
    )


def _chart(
    request: HttpRequest,
    calendar: Calendar,
    filters: Filters,
    wanted: AgentUsage,
    drawn: Drawn,
    comparison: Comparison,
    agent: agents.AgentFacts,
) -> Stack:
    agent_id = agent.id
    kept = {"agent": agent_id}
    if filters.range == HOURS:
        found = RunFilter(agent_id=agent_id)
        hours = spend_by_hour(request.user, calendar, "agent", SERIES, found, compare=filters.compare)
        names = {agent_id: agent.name}
        return hourly_chart(
            "spend-per-day", hours, names, filters, calendar, what="agent", hrefs=lambda key: "", kept=kept
        )
    days = Days(filters.before.start, filters.days.end) if filters.compare else filters.days
    if filters.tag:
        of_one = replace(filters, agent=agent_id)
        tagged = usage_split(request.user, of_one, "agent", SERIES, {}, drawn=drawn.months, tomorrow=calendar.tomorrow)
        names = {agent_id: filters.tag}
        what, split = "agent", Split(names, tagged.costs, tagged.totals, lambda key: "", by_id=True)
    else:
        dearest = list(dict.fromkeys(model for (_, model), _ in wanted.by(filters.days, by_model)))[:SERIES]
        what = "model"
        split = Split(
            {model: model or "unnamed model" for model in dearest},
            wanted.costs_by_model(days),
            wanted.by_day(days),
            lambda model: runs_of_part(filters, "model", model, kept),
            by_id=False,
        )
    return spend_chart("spend-per-day", split, filters, calendar, comparison, what=what, kept=kept, drawn=drawn)


def _asked_of_runs(filters: Filters, agent_id: int) -> RunFilter:
    return RunFilter(
        agent_id=agent_id,
        days=filters.days,
        tag=filters.tag,
        provider=filters.provider,
        model=filters.model,
        call_status=filters.status,
    )


def _of_runs(filters: Filters, *, cut: bool) -> str:
    """Which runs the charts and tables of runs are of, in a sentence; empty: of all."""
    if not filters.runs_in_words:
        return ""
    return f"Whole runs {filters.runs_in_words}{f', among the newest {READ_RUNS:,}' if cut else ''}."


def _trend(read: RunCosts, filters: Filters, calendar: Calendar, agent_id: int) -> CostTrend | None:
    days = filters.days
    weekly = len(days) > DAYS_ONE_BY_ONE

    def begins(at: datetime) -> date:
        """The day, or the week as far as it is shown, that has an instant."""
        day = at.astimezone(calendar.zone).date()
        return max(days.start, day - timedelta(days=day.weekday())) if weekly else day

    def ends(day: date) -> date:
        return day + timedelta(days=7 - day.weekday() if weekly else 1)

    costs: dict[date, list[int]] = {}
    begin, of_begin = datetime.max.replace(tzinfo=UTC), list[int]()
    for one in read.runs:  # newest first
        if (cost := one.cost) is not None:
            if one.started_at < begin:
                day = begins(one.started_at)
                begin, of_begin = midnight(day, calendar.zone), costs.setdefault(day, [])
            of_begin.append(cost)
    if read.looked_to is not None and len(costs) > 1:
        # The oldest day was read in part: its median would be of its evening.
        in_part = begins(read.looked_to)
        costs.pop(in_part, None)
        days = Days(max(days.start, ends(in_part)), min(days.end, calendar.today + timedelta(days=1)))
    n = sum(len(of_day) for of_day in costs.values())
    counted = f"The newest {n:,} runs alone" if read.cut and not filters.runs_in_words else f"n {n:,}"

    def opens(day: date) -> str:
        return runs_of_days(Days(day, min(filters.days.end, ends(day))), agent=agent_id, **as_run_filter(filters))

    return cost_trend(costs, days, today=calendar.today, counted=counted, day_href=opens, weekly=weekly)


def _plot(points: list[RunCost], usual: PerRun, shown: Days, calendar: Calendar) -> RunPlot | None:
    days = shown
    if usual.cut:
        # Of a busy agent only the newest runs are read: the plot is of their days, not mostly empty.
        oldest = points[-1].started_at.astimezone(calendar.zone).date()
        days = Days(oldest, min(shown.end, calendar.today + timedelta(days=1)))
    start, end = days.starts_at(calendar.zone), days.ends_at(calendar.zone)
    address_of = pages_of("run")
    placed = [
        PlacedRun(
            (point.started_at - start) / (end - start),
            point.cost,
            point.unpriced_calls,
            f"{point.started_at.astimezone(calendar.zone):%-d %b %H:%M}",
            address_of(point.id),
        )
        for point in points
    ]
    return run_plot(placed, usual, days=days)


def _efforts_export(efforts: list[tuple[str, Spend]]) -> Export:
    return Export(
        ("effort", "cost_cents", "unpriced_calls", "calls"),
        [(effort, cents_text(spend.cost), spend.unpriced_calls, spend.calls) for effort, spend in efforts],
    )


def _trend_export(trend: CostTrend | None) -> Export:
    return Export(CostTrend.exact_head, trend.exact_rows if trend else ())


def _runs_export(user: ways.User, points: list[RunCost]) -> Export:
    named = run_ids(user, points)
    return Export(
        ("run_id", "started_at", "cost_cents", "calls", "unpriced_calls", "input_tokens", "output_tokens"),
        [
            (
                named[one.id],
                one.started_at,
                cents_text(one.cost),
                one.calls,
                one.unpriced_calls,
                one.input_tokens,
                one.output_tokens,
            )
            for one in points
        ],
    )


def _steps_export(steps: list[agents.StepSpend]) -> Export:
    return Export(
        ("step", "sub_agent", "cost_cents", "unpriced_calls", "calls"),
        [
            (one.step, one.sub_agent, cents_text(one.spend.cost), one.spend.unpriced_calls, one.spend.calls)
            for one in steps
        ],
    )
