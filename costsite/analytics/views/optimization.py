"""Cost optimization: the advice by its cents a month, and what one decides about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_POST

from costsite.advice import acts
from costsite.advice.finding.find import DAYS, LEAST_MICROCENTS, LEAST_SHARE
from costsite.advice.kinds import SECTIONS, SHORT
from costsite.advice.nightly import NIGHT_HOUR
from costsite.advice.usual import ENOUGH_RUNS
from costsite.analytics import figures
from costsite.analytics.optimizing import SectionSum, growth_chart, section_sums
from costsite.analytics.queries import advice
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.views import optimization_files as files
from costsite.analytics.views.page import Export, found_or_404, page

RANKED = 10
CARDS = 6
"""Of a section; the rest is summed."""
MARKED_RUNS = 8
MARKED_DAYS = 30
AGENTS = 50
TABLE_ROWS = 10
DECIDED = 20
TASKS = 50


@login_required
def optimization(request: HttpRequest) -> HttpResponseBase:
    calendar = calendar_now()
    stands = advice.standing(request.user, advice.reviewed_through(), calendar.today)
    months = advice.agent_months(request.user, AGENTS)
    done = [row for row in stands.decided if row.state == "done"][:DECIDED]
    measured = advice.measured(request.user, done, stands.through)
    sums = section_sums(SECTIONS, SHORT, stands.open)
    total = sum(one.month for one in sums)
    compact = _to_compact(stands, months)
    saved = [month for month in months if month.row.compactions]
    every_cached = [month for month in months if month.row.input_tokens]
    cached = every_cached[:TABLE_ROWS]
    marked = advice.dearest_marked_runs(request.user, calendar.now - timedelta(days=MARKED_DAYS), MARKED_RUNS)
    every_effort = _efforts(months)
    efforts = every_effort[:TABLE_ROWS]
    tasks = advice.tasks(TASKS)
    decided = [(row, measured.get(row.id)) for row in stands.decided]
    growth = None
    if compact:
        behind = f"{reverse('runs')}?{urlencode({'agent': f'{compact.agent_id}', 'range': '30-days'})}"
        growth = growth_chart("growth", compact.agent_name, compact.row.growth, behind)
    context = {
        "stands": stands,
        "sums": sums,
        "total": total,
        "unit": figures.MoneyUnit.for_values([row.month for row in stands.open]),
        "ranked": stands.open[:RANKED],
        "ranked_more": len(stands.open) - RANKED,
        "sections": {one.id: _section(one, stands) for one in sums},
        "owned": advice.owned_workspaces(request.user),
        "efforts": efforts,
        "each_unit": figures.MoneyUnit.for_values([row["each"] for row in efforts]),
        "tasks": tasks,
        "marked": marked,
        "marked_unit": figures.MoneyUnit.for_values([run.over for run in marked]),
        "new_agents": [month for month in months if month.row.usual_runs < ENOUGH_RUNS][:TABLE_ROWS],
        "enough_runs": ENOUGH_RUNS,
        "growth": growth,
        "compact": compact,
        "compact_unit": figures.MoneyUnit.for_values([row[1] for row in compact.row.compactable] if compact else []),
        "compacted": saved[:TABLE_ROWS],
        "compacted_unit": figures.MoneyUnit.for_values([month.row.compaction_saved_microcents for month in saved]),
        "cached": cached,
        "cache_unit": figures.MoneyUnit.for_values(
            [abs(month.row.cache_saved_microcents) for month in cached]
            + [month.row.repeated_microcents for month in cached]
        ),
        "months": months,
        "night": f"{NIGHT_HOUR:02}:00",
        "advice_days": DAYS,
        "least": LEAST_MICROCENTS,
        "least_share": LEAST_SHARE,
        "most_read": advice.ADVICES_READ,
        "marked_days": MARKED_DAYS,
        "measured_days": advice.MEASURED_DAYS,
        "snooze_days": acts.SNOOZE_DAYS,
        "decided": decided[:DECIDED],
        "promised_unit": figures.MoneyUnit.for_values([row.month for row in stands.decided[:DECIDED]]),
        "mean_unit": figures.MoneyUnit.for_values(
            [cost for mean in measured.values() for cost in (mean.before, mean.after)]
        ),
        "no_runs_yet": not months and not stands.open and not stands.decided,
    }

    def exports() -> dict[str, Export]:
        made = {
            "advice": files.advice_file(stands.open),
            "efforts": files.efforts_file(every_effort),
            "tasks": files.tasks_file(tasks),
            "unusual-runs": files.marked_file(marked),
            "compacting": files.compacting_file(compact.row.compactable if compact else ()),
            "compacted": files.compacted_file(saved),
            "caching": files.caching_file(every_cached),
            "decided": files.decided_file(decided),
        }
        return made | {growth.id: Export(growth.head, growth.exact_rows)} if growth else made

    return page(request, "analytics/optimization.html", calendar, "optimization", context, exports=exports)


def _section(total: SectionSum, stands: advice.Standing) -> dict[str, Any]:
    rows = [row for row in stands.open if row.section == total.id]
    return {
        "sum": total,
        "cards": rows[:CARDS],
        "more": len(rows[CARDS:]),
        "more_month": sum(row.month for row in rows[CARDS:]),
    }


def _to_compact(stands: advice.Standing, months: list[advice.MonthOfAgent]) -> advice.MonthOfAgent | None:
    """Whose context is drawn: the agent of the dearest advice to compact, else the one whose context grows most."""
    by_agent = {month.agent_id: month for month in months}
    advised = next((row for row in stands.open if row.section == "compact" and row.agent_id in by_agent), None)
    if advised is not None:
        return by_agent[advised.agent_id]
    return max(
        (month for month in months if month.row.growth),
        key=lambda month: max(row[2] for row in month.row.growth),
        default=None,
    )


def _efforts(months: list[advice.MonthOfAgent]) -> list[dict[str, Any]]:
    rows = [
        {
            "agent_id": month.agent_id,
            "agent_name": month.agent_name,
            "model": model,
            "effort": effort,
            "calls": calls,
            "cost": cost if priced else None,
            "each": cost // priced if priced else None,
            "output": output,
            "output_each": round(output / calls),
            "reasoning": reasoning,
            "failed": failed,
        }
        for month in months
        for model, effort, calls, cost, priced, output, reasoning, failed in month.row.efforts
    ]
    return sorted(rows, key=lambda row: -(row["cost"] or 0))


@login_required
@require_POST
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    """Done, snoozed, dismissed or open again; owners of the workspace alone."""
    found = found_or_404(advice.find_advice(request.user, pk), "advice")
    owned = advice.owned_workspaces(request.user)
    if owned is not None and found.workspace_id not in owned:
        raise PermissionDenied("Only owners of the workspace decide about its advice.")
    person: Any = request.user
    try:
        acts.decide(found.pk, request.POST.get("state", ""), request.POST.get("reason", ""), person)
    except acts.DecisionError as problem:
        messages.error(request, str(problem))
        return redirect(f"{reverse('optimization')}#advice-{pk}")
    return redirect(f"{reverse('optimization')}#decided")
