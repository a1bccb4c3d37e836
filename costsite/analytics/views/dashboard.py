"""The dashboard: what was spent across workspaces, and what needs a person."""

from __future__ import annotations

from datetime import date

from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from agents.models import ModelPrice
from costsite.analytics import panels
from costsite.analytics.charts import slots_for
from costsite.analytics.queries import attention, workspaces
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.queries.rollups import Spans, sum_of
from costsite.analytics.queries.runs import RunFilter
from costsite.analytics.views.page import page, range_name
from costsite.analytics.views.spenders import series_of, spender_table
from costsite.analytics.views.usual_run import usual_run

NAMED_PROBLEMS = 5


def runs_of_day(day: date, **wanted: object) -> str:
    """The run logs of one day."""
    rest = "".join(f"&{name}={value}" for name, value in wanted.items())
    return f"{reverse('runs')}?day={day:%Y-%m-%d}{rest}"


def _price_form(user: AbstractBaseUser | AnonymousUser) -> str:
    """Where a price is added, for who may; else empty."""
    may = getattr(user, "is_staff", False) and admin.site.is_registered(ModelPrice)
    return reverse("admin:agents_modelprice_add") if may else ""


@login_required
def dashboard(request: HttpRequest) -> HttpResponse:
    calendar = calendar_now()
    shown_range = range_name(request)
    spans = Spans.of(calendar, shown_range)
    spenders = workspaces.workspace_spenders(request.user, spans)
    by_day = workspaces.site_by_day(request.user, spans.all)
    named = spenders[: workspaces.MOST_ROWS]
    days = workspaces.workspace_days(request.user, spans.all, [spender.id for spender in named])
    month, shown = sum_of(by_day, spans.month), sum_of(by_day, spans.shown)
    compared, before = sum_of(by_day, spans.compared), sum_of(by_day, spans.before)
    comparison = panels.Comparison(compared.cost, spans.compared, before.cost, spans.before)
    runs = sum(spender.runs or 0 for spender in spenders)
    dearest = sorted(named, key=lambda spender: -spender.shown)[: panels.SERIES]
    slots = slots_for([spender.id for spender in dearest])
    had_calls = any(spend.calls for spend in by_day.values())
    context = {
        "month": month,
        "change": comparison.note,
        "runs": runs,
        "per_run": usual_run(request.user, calendar, RunFilter(days=spans.month)),
        "chart": panels.spend_per_day(
            "spend-per-day",
            title=panels.answer(shown_range, comparison, shown, spans.shown, calendar),
            measure="Estimated cost per day by workspace",
            totals=by_day,
            series=series_of(dearest, days, slots, "workspace"),
            days=spans.shown,
            calendar=calendar,
            day_href=runs_of_day,
        ),
        "range": shown_range,
        "table": spender_table(spenders, days, month, spans),
        "unpriced": attention.unpriced_models(request.user, spans.month, NAMED_PROBLEMS),
        "failing": attention.failing_agents(request.user, calendar, NAMED_PROBLEMS),
        "clients": attention.clients(request.user, calendar),
        "price_href": _price_form(request.user),
        "no_runs_yet": not had_calls and attention.last_run_at(request.user) is None,
        "no_workspaces": not spenders,
    }
    return page(request, "analytics/dashboard.html", calendar, "dashboard", context)
