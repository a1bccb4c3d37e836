"""Merging an agent into another: which one, then what would move, then the act, by POST."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render

from agents.merging import MergeError, merge, target_named, why_not
from agents.models import Agent
from budgets.enforcement import Standing
from budgets.state import state_of_standing
from costsite.analytics.figures import MoneyUnit
from costsite.analytics.periods import Calendar
from costsite.analytics.queries import agents, merges
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.views.page import LONGEST_SEARCH, found_or_404, page


@login_required
def merge_agent(request: HttpRequest, pk: int) -> HttpResponseBase:
    """With `into`, the slug of another agent of the workspace: what would move. A POST that says `confirmed` merges."""
    calendar = calendar_now()
    source = found_or_404(merges.find_source(request.user, pk), "agent")
    if not source.may_merge:
        raise PermissionDenied
    if source.agent.merged_into is not None:
        messages.info(request, why_not(source.agent))
        return redirect("agent", pk=source.agent.merged_into.pk)
    sent = request.POST if request.method == "POST" else request.GET
    into = sent.get("into", "").replace("\x00", "").strip()[:LONGEST_SEARCH]
    problem = why_not(source.agent)
    if into and not problem:
        try:
            target = target_named(source.agent, into)
            if request.method == "POST" and sent.get("confirmed"):
                return _merge(request, source.agent, target)
            return _confirm(request, source, target, calendar)
        except MergeError as error:
            problem = str(error)
    near, names = merges.names_to_choose(source.agent)
    context = {"source": source, "into": into, "problem": problem, "near": near, "names": names}
    return page(request, "analytics/merge.html", calendar, "analytics", context)


def _merge(request: HttpRequest, source: Agent, target: Agent) -> HttpResponseBase:
    merge(source, target, by=request.user)  # type: ignore[arg-type]  # signed in, or they were sent to the login
    messages.success(request, f"Merged: {source.slug} into {target.slug}. What it did follows in the background.")
    return redirect("agent", pk=target.pk)


def _confirm(request: HttpRequest, source: merges.Source, target: Agent, calendar: Calendar) -> HttpResponseBase:
    would = merges.preview(source.agent, target, calendar)

    def told(standing: Standing) -> dict[str, Any]:
        return {"standing": standing, "state": state_of_standing(standing, str(calendar.zone))}

    shown = [*would.months, would.earlier] if would.earlier is not None else would.months
    context = {
        "source": source,
        "target": target,
        "would": would,
        "months_unit": MoneyUnit.for_values([one.spend.cost for one in shown]),
        "counted_runs": agents.COUNTED_RUNS,
    }
    if would.before is not None and would.after is not None:
        context |= {"before": told(would.before), "after": told(would.after)}
    return page(request, "analytics/merge_confirm.html", calendar, "analytics", context)


@login_required
def merged(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The part of an agent's page that says what was merged into it, and how far it is."""
    calendar = calendar_now()
    found = found_or_404(agents.find_agent(request.user, pk), "agent")
    context = {"agent": found, "calendar": calendar, **merged_table(merges.merges_into(request.user, found.id))}
    return render(request, "analytics/_merged.html", context)


def merged_table(rows: list[merges.MergeRow]) -> dict[str, Any]:
    """What `_merged.html` shows."""
    return {
        "merges": rows,
        "is_merging": any(one.is_moving for one in rows),
        "merges_unit": MoneyUnit.for_values([one.moved.cost for one in rows]),
    }
