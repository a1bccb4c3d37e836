"""Run logs, and one run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.validators import slug_re
from django.http import HttpRequest, HttpResponse

from agents.spend import NOTHING, Spend
from costsite.analytics import figures, panels
from costsite.analytics.periods import Days
from costsite.analytics.queries import agents, runs, workspaces
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.views.page import found_or_404, page, whole_number
from costsite.analytics.views.usual_run import usual_run

RUNS_PER_PAGE = 50
CALLS_PER_PAGE = 200
COMPARED_RUNS = 200
"""A run is compared with the median of this many newest runs of its agent."""
LISTED_WORKSPACES = 200
LISTED_AGENTS = 200


def day_wanted(text: str) -> Days | None:
    """From a query string; what is no day is as if it were not there."""
    try:
        day = date.fromisoformat(text)
        return Days(day, day + timedelta(days=1)) if 1970 < day.year < 9_000 else None
    except (ValueError, OverflowError):
        return None


def wanted_runs(request: HttpRequest) -> tuple[runs.RunFilter, dict[str, Any]]:
    """The filter that the query string names, and what the page shows of it.

    A workspace or an agent that one may not see is as if it were not named; so is an agent of another workspace than
    the one that was chosen beside it.
    """
    listed = workspaces.visible_workspaces(request.user, LISTED_WORKSPACES)
    slug = request.GET.get("workspace", "")
    workspace = next((workspace for workspace in listed if workspace.slug == slug), None)
    if workspace is None and slug_re.fullmatch(slug):
        workspace = workspaces.find_workspace(request.user, slug)
        listed = [*listed, workspace] if workspace else listed
    agent_id = whole_number(request.GET.get("agent", ""), most=2**63 - 1)
    agent = agents.find_agent(request.user, agent_id) if agent_id is not None else None
    if agent is not None and workspace is not None and agent.workspace_id != workspace.id:
        agent = None
    agents_listed = agents.visible_agents(request.user, workspace.id if workspace else None, LISTED_AGENTS)
    if agent is not None and all(one.id != agent.id for one in agents_listed):
        agents_listed.append(agent)
    days = day_wanted(request.GET.get("day", ""))
    status = request.GET.get("status", "")
    status = status if status in runs.STATUSES.values else ""
    wanted = runs.RunFilter(workspace.id if workspace else None, agent.id if agent else None, days, status)
    shown = {
        "workspaces": listed,
        "wanted_workspace": workspace,
        "wanted_agent": agent,
        "agents": agents_listed,
        "wanted_day": days.start if days else None,
        "statuses": runs.STATUSES.choices,
        "wanted_status": status,
        "filtered": any((workspace, agent, days, status)),
    }
    return wanted, shown


@login_required
def run_logs(request: HttpRequest) -> HttpResponse:
    calendar = calendar_now()
    wanted, shown = wanted_runs(request)
    run_page = runs.list_runs(
        request.user,
        calendar,
        wanted,
        before=runs.Cursor.parse(request.GET.get("before", "")),
        after=runs.Cursor.parse(request.GET.get("after", "")),
        limit=RUNS_PER_PAGE,
    )
    context = shown | {
        "run_page": run_page,
        "run_unit": figures.MoneyUnit.for_values([run.spend.cost for run in run_page.rows]),
        "kept": ("workspace", "agent", "status", "day"),
    }
    return page(request, "analytics/runs.html", calendar, "runs", context)


@dataclass(frozen=True)
class CallLine:
    """A call in a run's table, with what it brought the run's cost to."""

    number: int
    call: runs.CallRow
    nested: bool
    bar: float
    """Percent of the dearest call."""
    running: Spend
    """Of the run's calls up to and with this one."""
    after: timedelta
    """Since the run began."""


@login_required
def run(request: HttpRequest, pk: int) -> HttpResponse:
    calendar = calendar_now()
    found = found_or_404(runs.find_run(request.user, pk), "run")
    offset = whole_number(request.GET.get("from", ""), most=10_000_000) or 0
    calls = runs.calls_of(request.user, found, offset=offset, limit=CALLS_PER_PAGE)
    more = len(calls) > CALLS_PER_PAGE
    calls = calls[:CALLS_PER_PAGE]
    spent = runs.spend_of_first_calls(request.user, found, offset)
    dearest = max((call.cost or 0 for call in calls), default=0) or 1
    lines = []
    for number, call in enumerate(calls, offset + 1):
        spent += call.spend
        bar = round(100 * (call.cost or 0) / dearest, 2)
        lines.append(CallLine(number, call, bool(call.sub_agent), bar, spent, call.started_at - found.started_at))
    usual = usual_run(request.user, calendar, runs.RunFilter(agent_id=found.agent_id), COMPARED_RUNS)
    newer, older = runs.neighbours(request.user, found)
    unit = figures.MoneyUnit.for_values([call.cost for call in calls] + [spent.cost])
    context = {
        "run": found,
        "times_median": figures.times(found.spend.cost_microcents, usual.median or 0)
        if not found.spend.unpriced_calls and found.spend.calls
        else "",
        "per_run": usual,
        "lines": lines,
        "unit": unit,
        "has_estimates": any(call.estimated for call in calls),
        "bars": panels.token_bars(found.spend),
        "context": panels.context_by_call(
            "context",
            [
                (
                    call.step or call.model or "call",
                    call.spend.fresh_input_tokens,
                    call.spend.cache_read_tokens,
                    call.spend.cache_written_tokens,
                )
                for call in calls
            ],
            first=offset + 1,
        ),
        "page_total": sum((call.spend for call in calls), NOTHING),
        "whole_run_shown": not offset and not more,
        "previous_calls": max(0, offset - CALLS_PER_PAGE) if offset else None,
        "next_calls": offset + CALLS_PER_PAGE if more else None,
        "parent": runs.find_parent(request.user, found),
        "newer": newer,
        "older": older,
    }
    return page(request, "analytics/run.html", calendar, "runs", context)
