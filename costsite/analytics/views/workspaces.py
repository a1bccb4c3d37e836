"""Workspaces: the list, and one of them over all its agents."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from agents.spend import Spend, cents_text
from costsite.analytics import figures, panels
from costsite.analytics.comparison import Comparison
from costsite.analytics.file_names import of_calls, of_chart
from costsite.analytics.filters import Filters, filters_from
from costsite.analytics.periods import Calendar, Days
from costsite.analytics.queries import workspaces
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.queries.hours import spend_by_hour
from costsite.analytics.queries.rollups import Spans, days_of_agents, narrowed
from costsite.analytics.queries.run_filter import RunFilter
from costsite.analytics.queries.site import SiteDays, my_workspaces, site_days, spenders_of, workspace_with_members
from costsite.analytics.queries.standing_rows import fullness_of
from costsite.analytics.queries.standings import Budgets, budgets_for
from costsite.analytics.queries.usage import FEW_ROWS, usage_split
from costsite.analytics.stacks import SERIES, Stack
from costsite.analytics.views import ways
from costsite.analytics.views.budget_rows import bar_if_shown, shown_state, words_of
from costsite.analytics.views.by_model import models_export, models_table
from costsite.analytics.views.chosen import of_agent, within_workspace
from costsite.analytics.views.month import will_hold_export, will_hold_if_known
from costsite.analytics.views.page import Export, found_or_404, page
from costsite.analytics.views.spend_chart import (
    HOURS,
    Drawn,
    Split,
    drawn_as,
    hourly_chart,
    listed,
    names_for,
    runs_of_days,
    runs_of_part,
    spend_chart,
    split_of,
)
from costsite.analytics.views.spenders import spender_export, spender_table
from costsite.analytics.views.usual_run import usual_run

TAGS = 12
MEMBERS = 20
POLICIES = 20
SPLITS = {"agent": "agent", "model": "model", "provider": "provider"}


@login_required
def workspace_list(request: HttpRequest) -> HttpResponseBase:
    calendar = calendar_now()
    spans = Spans.of(calendar, calendar.last_30_days)
    listed = my_workspaces(request.user)
    site = site_days(request.user, spans)
    spenders = spenders_of(listed, site, spans)
    budgets = budgets_for(request.user, calendar, agents=())
    states = {spender.id: shown_state(budgets, spender.id) for spender in spenders[: workspaces.MOST_ROWS]}
    total = Spend.sum_of(spender.month for spender in spenders)
    context = {
        "table": spender_table(spenders, site.costs_by_day(spans.spark), total, spans, states=states),
        "runs": sum(spender.runs or 0 for spender in spenders),
        "no_workspaces": not spenders,
    }

    def exports() -> dict[str, Export]:
        return {"workspaces": spender_export(spenders, spans, "workspace")}

    return page(request, "analytics/workspaces.html", calendar, "workspaces", context, exports=exports)


@login_required
def workspace(request: HttpRequest, slug: str) -> HttpResponseBase:
    user, calendar = request.user, calendar_now()
    found, members = found_or_404(workspace_with_members(user, slug), "workspace")
    filters, chosen = within_workspace(user, filters_from(request.GET, calendar, by=tuple(SPLITS)), found.id)
    spans = Spans.of(calendar, filters.days, filters.before if filters.compare else None)
    drawn = drawn_as(filters, calendar, for_file="csv" in request.GET)
    site = site_days(user, spans, drawn.months, only=found.id)
    usage = workspaces.usage_of_workspace(user, found.id, spans, narrowed(filters))
    named = usage.agents[: workspaces.MOST_ROWS]
    days = days_of_agents(spans.drawn_cover(drawn.months), [agent.id for agent in named])
    month = site.month()
    comparison = Comparison.of(
        site.spend(spans.compared), spans.compared, site.spend(spans.before), spans.before, month
    )
    budgets = budgets_for(user, calendar, workspaces=[found.id])
    own = budgets.own(found.id)
    chart = _chart(request, calendar, filters, found, site, usage, days, drawn, comparison)
    will_hold = will_hold_if_known(site.spent_by_day(found.id), calendar, own, month, {"workspace": found.slug})
    tags = workspaces.tags_of(user, found.id, filters.days, TAGS, agent_id=filters.agent)
    bars = panels.token_bars(month)
    agent_slug = of_agent(chosen)[1] if chosen else ""
    way_to_edit = ways.edit_workspace(user, found.id, owned=found.owned)
    context = {
        "workspace": found,
        "splits": SPLITS,
        "agents_listed": listed({agent.id: agent.name for agent in usage.agents}, chosen),
        "edit_href": way_to_edit,
        "budget_href": ways.set_budget(way_to_edit),
        "state": shown_state(budgets, found.id),
        "own": own,
        "own_bar": bar_if_shown(own) if own else None,
        "grant_href": ways.grant_more(user, own.policy, owned=found.owned) if own else "",
        "policies": _policies(budgets, user, owned=found.owned),
        "month": month,
        "change": comparison.note,
        "runs": site.month_runs(),
        "per_run": usual_run(user, calendar, RunFilter(workspace_id=found.id, days=spans.month)),
        "will_hold": will_hold,
        "bars": bars,
        "bars_href": runs_of_days(spans.month, workspace=found.slug),
        "chart": chart,
        "table": spender_table(
            usage.agents,
            days,
            month,
            spans,
            kind="agent",
            states={agent.id: shown_state(budgets, found.id, agent.id) for agent in named},
        ),
        **models_table(usage.models),
        "shown": usage.shown,
        "shown_days": filters.days,
        "all_tagged": _all_tagged(filters, site, usage),
        "tags_href": runs_of_days(
            filters.days, workspace=found.slug, **({"agent": filters.agent} if filters.agent else {})
        ),
        "tags": tags[:TAGS],
        "more_tags": len(tags) > TAGS,
        "tags_unit": figures.MoneyUnit.for_values([tag.spend.cost for tag in tags]),
        "members": members[:MEMBERS],
        "more_members": len(members) > MEMBERS,
        "no_runs_yet": not site.days and not usage.agents,
    }

    def exports() -> dict[str, Export]:
        return {
            "policies": _policies_export(budgets),
            "token-usage": Export(panels.TOKENS_HEAD, panels.token_rows(bars)).over(spans.month),
            "spend-per-day": Export(chart.exact_head, chart.exact_rows).over(
                filters.days, *of_chart(filters, agent_slug)
            ),
            "will-it-hold": will_hold_export(will_hold, calendar),
            "agents": spender_export(usage.agents, spans, "agent"),
            "models": models_export(usage.models).over(filters.days, *of_calls(filters, agent_slug)),
            "tags": Export(
                ("tag", "cost_cents", "unpriced_calls", "calls"),
                [
                    (one.tag, cents_text(one.spend.cost), one.spend.unpriced_calls, one.spend.calls)
                    for one in tags[:TAGS]
                ],
            ).over(filters.days, agent_slug),
        }

    return page(
        request,
        "analytics/workspace.html",
        calendar,
        "workspaces",
        context,
        filters=filters,
        exports=exports,
        subject=(found.slug,),
    )


def _all_tagged(filters: Filters, site: SiteDays, usage: workspaces.WorkspaceUsage) -> int | None:
    """Microcents that the tags are parts of: models, providers and states do not narrow them, an agent does.

    None: not known, as of an agent under another filter.
    """
    if not filters.agent:
        return site.cost(filters.days) or 0
    return None if filters.provider or filters.model or filters.status else usage.shown.cost_microcents


def _policies(budgets: Budgets, user: ways.User, *, owned: bool) -> list[dict[str, Any]]:
    """The workspace's budgets and the site's, the fullest first."""
    listed = sorted(budgets.watched, key=lambda one: -fullness_of(one.standing))
    return [
        {
            "subject": one.policy.subject,
            "href": reverse("agent", args=[one.policy.agent_id]) if one.policy.agent_id else "",
            "scope": one.policy.get_scope_display(),
            "words": words_of(one, budgets.zone),
            "bar": bar_if_shown(one),
            "refused": one.refused,
            "grant_href": ways.grant_more(user, one.policy, owned=owned),
        }
        for one in listed[:POLICIES]
    ]


def _policies_export(budgets: Budgets) -> Export:
    """Those of which one may read the figures."""
    head = ("budget", "scope", "limit_cents", "spent_cents", "held_cents", "state", "refusals_7_days")
    rows = [
        (
            one.policy.subject,
            one.policy.scope,
            *map(cents_text, (one.standing.limit, one.standing.spent, one.standing.held)),
            words_of(one, budgets.zone),
            one.refused,
        )
        for one in budgets.watched
        if one.shown
    ]
    return Export(head, rows)


def _chart(
    request: HttpRequest,
    calendar: Calendar,
    filters: Filters,
    found: workspaces.WorkspaceFacts,
    site: SiteDays,
    usage: workspaces.WorkspaceUsage,
    days: dict[int, Any],
    drawn: Drawn,
    comparison: Comparison,
) -> Stack:
    by = filters.by or "agent"

    def opens(key: Any) -> str:
        return reverse("agent", args=[key]) if by == "agent" else runs_of_part(filters, by, key, kept)

    kept: dict[str, object] = {"workspace": found.slug}
    if filters.agent:
        kept["agent"] = filters.agent
    known = {agent.id: agent.name for agent in usage.agents}
    if filters.range == HOURS:
        by = "agent"
        wanted = RunFilter(workspace_id=found.id, agent_id=filters.agent)
        hours = spend_by_hour(request.user, calendar, by, SERIES, wanted, compare=filters.compare)
        names = names_for(hours.dearest, request.user, by, known)
        return hourly_chart("spend-per-day", hours, names, filters, calendar, what=by, hrefs=opens, kept=kept)
    span = Days(filters.before.start, filters.days.end) if filters.compare else filters.days
    if by == "agent" and not filters.narrows_usage:
        dearest = sorted(usage.agents[: workspaces.MOST_ROWS], key=lambda agent: (-agent.shown, agent.name))[:SERIES]
        split = Split({agent.id: agent.name for agent in dearest}, days, site.by_day(span), opens, by_id=True)
    else:
        few = len(usage.agents) * len(span) <= FEW_ROWS
        got = usage_split(
            request.user,
            filters,
            by,
            SERIES,
            site.by_day(span),
            drawn=drawn.months,
            tomorrow=calendar.tomorrow,
            few=few,
            workspace=found.id,
        )
        split = split_of(got, request.user, by, known, opens)
    return spend_chart("spend-per-day", split, filters, calendar, comparison, what=by, kept=kept, drawn=drawn)
