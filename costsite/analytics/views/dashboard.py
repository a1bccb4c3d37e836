"""The dashboard: what was spent across workspaces, where it is heading, and what needs a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from agents.models.visibility import is_superuser
from agents.spend import cents_text
from costsite.analytics import figures
from costsite.analytics.burn_down import band_words, error_words
from costsite.analytics.comparison import Comparison
from costsite.analytics.file_names import of_chart
from costsite.analytics.filters import Filters, filters_from
from costsite.analytics.forecast import Forecast, TooShort
from costsite.analytics.periods import Calendar, Days
from costsite.analytics.queries import attention
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.queries.fortnight import AgentFortnight, fortnight, last_week, week_before
from costsite.analytics.queries.hours import spend_by_hour
from costsite.analytics.queries.rollups import Spans
from costsite.analytics.queries.run_filter import RunFilter
from costsite.analytics.queries.site import SiteDays, my_workspaces, site_days, spenders_of
from costsite.analytics.queries.standing_rows import fullness_of
from costsite.analytics.queries.standings import LOUDEST_BUDGETS, Budgets, Watched, budgets_for
from costsite.analytics.queries.usage import usage_split
from costsite.analytics.queries.workspaces import MOST_ROWS, WorkspaceFacts
from costsite.analytics.stacks import SERIES, Stack
from costsite.analytics.views.attention import MOST_READ, notices
from costsite.analytics.views.budget_rows import bar_if_shown, shown_state, words_of
from costsite.analytics.views.chosen import of_agent, within_site
from costsite.analytics.views.month import month_forecast
from costsite.analytics.views.page import Export, page
from costsite.analytics.views.spend_chart import (
    HOURS,
    Drawn,
    Split,
    drawn_as,
    hourly_chart,
    listed,
    names_for,
    runs_of_part,
    spend_chart,
    split_of,
)
from costsite.analytics.views.spenders import spender_export, spender_table
from costsite.analytics.views.usual_run import usual_run

MOST_WORKSPACES = 250
"""Whose budgets are read."""
MOVERS = 6
SPLITS = {"workspace": "workspace", "agent": "agent", "model": "model", "provider": "provider"}


@dataclass(frozen=True)
class Mover:
    """An agent whose spend changed. Places are percent of the width; the middle is no change."""

    name: str
    href: str
    moved: int
    before: int
    now: int
    x: float
    width: float


def movers_of(agents: Sequence[AgentFortnight]) -> list[Mover]:
    """The agents whose last 7 days differ the most from the 7 before, the largest change first."""
    moved = sorted((agent for agent in agents if agent.moved), key=lambda agent: (-abs(agent.moved), agent.slug))
    moved = moved[:MOVERS]
    most = max((abs(agent.moved) for agent in moved), default=1)
    movers = []
    for agent in moved:
        width = round(50 * abs(agent.moved) / most, 2)
        x = 50.0 if agent.moved > 0 else round(50 - width, 2)
        href = reverse("agent", args=[agent.agent_id])
        movers.append(Mover(agent.name, href, agent.moved, agent.before or 0, agent.cost or 0, x, width))
    return movers


def fullest(budgets: Budgets) -> Watched | None:
    """The budget a dashboard speaks of: the fullest one may read, the widest of those that are as full.

    It is the next to need a person.
    """

    def place(one: Watched) -> tuple[float, bool, bool]:
        return -fullness_of(one.standing), one.policy.workspace_id is not None, one.policy.agent_id is not None

    return min((one for one in budgets.watched if one.shown), key=place, default=None)


def _chart(
    request: HttpRequest,
    calendar: Calendar,
    filters: Filters,
    workspaces: Sequence[WorkspaceFacts],
    chosen: WorkspaceFacts | None,
    site: SiteDays,
    agents: Sequence[AgentFortnight],
    drawn: Drawn,
    comparison: Comparison,
) -> Stack:
    kept: dict[str, object] = {"workspace": chosen.slug} if chosen else {}
    if filters.agent:
        kept["agent"] = filters.agent
    slugs = {workspace.id: workspace.slug for workspace in workspaces}

    def opens(key: object) -> str:
        if by == "workspace":
            return reverse("workspace", args=[slugs[key]])  # type: ignore[index]
        if by == "agent":
            return reverse("agent", args=[key])
        return runs_of_part(filters, by, key, kept)

    by = filters.by or "workspace"
    if filters.range == HOURS:
        by = by if by == "agent" else "workspace"
    known = {one.agent_id: one.name for one in agents} if by == "agent" else {one.id: one.name for one in workspaces}
    if filters.range == HOURS:
        wanted = RunFilter(workspace_id=chosen.id if chosen else None, agent_id=filters.agent)
        hours = spend_by_hour(request.user, calendar, by, SERIES, wanted, compare=filters.compare)
        names = names_for(hours.dearest, request.user, by, known)
        return hourly_chart("spend-per-day", hours, names, filters, calendar, what=by, hrefs=opens, kept=kept)
    span = Days(filters.before.start, filters.days.end) if filters.compare else filters.days
    if by == "workspace" and not filters.narrows_usage:
        costs = site.costs_by_day(span)
        if chosen:
            costs = {pk: by_day for pk, by_day in costs.items() if pk == chosen.id}
        spent = {pk: sum(cost or 0 for day, cost in costs[pk].items() if day in filters.days) for pk in costs}
        names = {
            one.id: one.name for one in sorted(workspaces, key=lambda one: -spent.get(one.id, 0)) if one.id in spent
        }
        totals = site.by_day(span, chosen.id if chosen else None)
        split = Split(names, costs, totals, opens, by_id=True)
    else:
        scope: dict[str, Any] = {"workspace": chosen.id} if chosen else {}
        totals = site.by_day(span, chosen.id if chosen else None)
        found = usage_split(
            request.user, filters, by, SERIES, totals, drawn=drawn.months, tomorrow=calendar.tomorrow, **scope
        )
        split = split_of(found, request.user, by, known, opens)
    return spend_chart("spend-per-day", split, filters, calendar, comparison, what=by, kept=kept, drawn=drawn)


@login_required
def dashboard(request: HttpRequest) -> HttpResponseBase:
    user, calendar = request.user, calendar_now()
    workspaces = my_workspaces(user)
    filters, place, agent = within_site(user, filters_from(request.GET, calendar, by=tuple(SPLITS)), workspaces)
    spans = Spans.of(calendar, filters.days, filters.before if filters.compare else None)
    drawn = drawn_as(filters, calendar, for_file="csv" in request.GET)
    site = site_days(user, spans, drawn.months, compared=place.id if place else None)
    spenders = spenders_of(workspaces, site, spans)
    month = site.month()
    comparison = Comparison.of(
        site.spend(spans.compared), spans.compared, site.spend(spans.before), spans.before, month
    )
    # Of the workspaces all, which the table shows; then the agents' that most need a person.
    budgets = budgets_for(user, calendar, most=1 + min(len(workspaces), MOST_WORKSPACES) + LOUDEST_BUDGETS)
    forecast = month_forecast(site.spent_by_day(), calendar)
    agents = fortnight(user, calendar)
    clients = attention.clients(user, calendar)
    unpriced = attention.unpriced_models(user, spans.month, MOST_READ) if month.unpriced_calls else []
    chart = _chart(request, calendar, filters, workspaces, place, site, agents, drawn, comparison)
    movers = movers_of(agents)
    table = spender_table(
        spenders,
        site.costs_by_day(spans.spark),
        month,
        spans,
        states={spender.id: shown_state(budgets, spender.id) for spender in spenders[:MOST_ROWS]},
    )
    told = notices(user, calendar, workspaces, budgets, unpriced, agents, clients)
    context = {
        "everyone": is_superuser(user),
        "workspaces": workspaces,
        "splits": SPLITS,
        "agents_listed": listed(
            {one.agent_id: one.name for one in agents if place is None or one.workspace_id == place.id}, agent
        ),
        "month": month,
        "change": comparison.note,
        "runs": site.month_runs(),
        "per_run": usual_run(user, calendar, RunFilter(days=spans.month)),
        "forecast": forecast if isinstance(forecast, Forecast) else None,
        "forecast_words": band_words(forecast) if isinstance(forecast, Forecast) else str(forecast),
        "forecast_error": error_words(forecast) if isinstance(forecast, Forecast) else "",
        "budget": _budget(budgets, site, calendar, forecast),
        "notices": told,
        "needing_attention": sum(notice.stands_for for notice in told),
        "chart": chart,
        "movers": movers,
        "movers_days": last_week(calendar),
        "movers_before": week_before(calendar),
        "movers_unit": figures.MoneyUnit.for_values([mover.moved for mover in movers]),
        "table": table,
        "clients": clients,
        "no_runs_yet": not site.days and attention.last_run_at(user) is None,
        "no_workspaces": not spenders,
    }

    def exports() -> dict[str, Export]:
        return {
            "spend-per-day": Export(chart.exact_head, chart.exact_rows).over(
                filters.days, *of_chart(filters, of_agent(agent)[1] if agent else "")
            ),
            "workspaces": spender_export(spenders, spans, "workspace"),
            "movers": Export(
                ("agent", "before_cents", "now_cents", "change_cents"),
                [(one.name, cents_text(one.before), cents_text(one.now), cents_text(one.moved)) for one in movers],
            ).over(last_week(calendar)),
        }

    return page(request, "analytics/dashboard.html", calendar, "dashboard", context, filters=filters, exports=exports)


def _budget(
    budgets: Budgets, site: SiteDays, calendar: Calendar, of_site: Forecast | TooShort
) -> dict[str, object] | None:
    """The budget of the dashboard's figure, and the day it runs out where its spend is that of days one has here."""
    one = fullest(budgets)
    if one is None:
        return None
    out = None
    if one.policy.agent_id is None:
        place = one.policy.workspace_id
        forecast = of_site if place is None else month_forecast(site.spent_by_day(place), calendar)
        if isinstance(forecast, Forecast) and one.standing.left > 0:
            out = forecast.runs_out(one.standing.limit)
    return {
        "of": one.policy.subject,
        "of_many": sum(1 for other in budgets.watched if other.shown) > 1,
        "bar": bar_if_shown(one),
        "words": words_of(one, budgets.zone),
        "left": one.standing.left,
        "out": out,
    }
