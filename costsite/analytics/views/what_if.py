"""A range of an agent on another model, and the acts that may follow."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from agents.pricing.names import provider_and_model
from budgets.model_moves import DEFAULT_PERCENT, LONGEST_NAME, clean_model
from budgets.policies import By, set_model_move
from costsite.advice.acts import set_default_model
from costsite.advice.finding.tasks import KNOWN_MODELS
from costsite.advice.whatif import FEWER_TOKENS, MORE_TOKENS
from costsite.advice.whatif_months import what_if as priced_anew
from costsite.analytics.filters import LARGEST_ID, whole_number
from costsite.analytics.periods import Days
from costsite.analytics.queries import agents, budgets
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.views import ways
from costsite.analytics.views.page import found_or_404, page
from langchain_plugin import wire

RANGES = {"30-days": "Last 30 days", "7-days": "Last 7 days", "this-month": "This month", "last-month": "Last month"}
LISTED_AGENTS = 200
AFTERWARDS = "After a what-if."
"""Why a budget was changed here."""


@login_required
def what_if(request: HttpRequest) -> HttpResponse:
    calendar = calendar_now()
    agent_id = whole_number(request.GET.get("agent", ""), most=LARGEST_ID)
    agent = agents.find_booked_to(request.user, agent_id) if agent_id is not None else None
    chosen = request.GET.get("range", "30-days")
    chosen = chosen if chosen in RANGES else "30-days"
    days: Days = calendar.days_of(chosen)
    # A bare name has no provider, and any that lists it will do.
    provider, model = provider_and_model(clean_model(request.GET.get("model", "")))
    found = None
    if agent is not None and model:
        last = days.end - timedelta(days=1)
        found = priced_anew(request.user, agent.workspace_id, agent.id, days.start, last, provider, model)
    context = {
        "agents": agents.visible_agents(request.user, None, LISTED_AGENTS),
        "agent": agent,
        "model": f"{provider}/{model}" if provider else model,
        "model_name": model,
        "price_href": ways.add_price(request.user, provider, model, owns_any=bool(agent and agent.owned)),
        "known_models": [f"{vendor}/{name}" for vendor, name in KNOWN_MODELS],
        "what_if_ranges": RANGES,
        "range": chosen,
        "days": Days(found.first, found.last + timedelta(days=1)) if found and found.first and found.last else days,
        "found": found,
        "tokenizer": (100 - FEWER_TOKENS, MORE_TOKENS - 100),
        "longest_model": LONGEST_NAME,
    }
    if agent is not None and agent.owned:
        context |= _moving(request, agent)
    return page(request, "analytics/what_if.html", calendar, "optimization", context)


def _moving(request: HttpRequest, agent: agents.AgentFacts) -> dict[str, Any]:
    """What the form needs that has the agent's budget move it."""
    own = budgets.own_budget(request.user, agent.id)
    return {
        "own": own,
        "percent": own.moves_at_percent if own and own.moves_at_percent else DEFAULT_PERCENT,
        "budget_href": ways.set_budget(ways.edit_agent(request.user, agent.id, owned=agent.owned)),
    }


def _agent_to_change(request: HttpRequest) -> agents.AgentFacts:
    """Owners of its workspace alone."""
    pk = whole_number(request.POST.get("agent", ""), most=LARGEST_ID)
    agent = found_or_404(agents.find_booked_to(request.user, pk) if pk is not None else None, "agent")
    if not agent.owned:
        raise PermissionDenied("Only owners of the workspace change its agents.")
    return agent


@login_required
@require_POST
def move_agent(request: HttpRequest) -> HttpResponse:
    """Have an agent's budget move it to a model from so many percent on; with no model it stays with its own."""
    agent = _agent_to_change(request)
    own = budgets.own_budget(request.user, agent.id)
    if own is None:
        messages.error(request, f"{agent.name} has no budget of its own; set a monthly budget first.")
        return redirect(reverse("agent", args=[agent.id]))
    model = clean_model(request.POST.get("model", ""))
    percent = whole_number(request.POST.get("percent", str(DEFAULT_PERCENT)), most=100)
    person: Any = request.user
    try:
        set_model_move(own, model, percent, by=By(user=person), reason=AFTERWARDS if model else "")
    except ValidationError as problem:
        messages.error(request, " ".join(problem.messages))
    else:
        now = f"moves to {model} from {percent} % of its budget on" if model else "stays with its own model"
        messages.success(request, f"{agent.name} {now}.")
    return redirect(reverse("budget", args=[own.pk]))


@login_required
@require_POST
def default_model(request: HttpRequest) -> HttpResponse:
    """Make a model the default of an agent."""
    agent = _agent_to_change(request)
    model = wire.clean_name(request.POST.get("model", "").replace("\x00", "").strip())
    person: Any = request.user
    if model:
        set_default_model(agent.id, model, person)
        messages.success(request, f"{model} is the default model of {agent.name}.")
    return redirect(reverse("agent", args=[agent.id]))
