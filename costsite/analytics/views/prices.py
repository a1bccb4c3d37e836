"""Prices: what each model that was called costs, and which have no price."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from agents.price_entry import may_enter_prices
from agents.spend import cents_text
from costsite.analytics import figures
from costsite.analytics.file_names import file_name
from costsite.analytics.filters import LARGEST_ID, whole_number
from costsite.analytics.queries import prices
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.queries.prices import ModelRow
from costsite.analytics.views.page import page, search_text
from costsite.csv_answer import Column, csv_answer


@login_required
def price_list(request: HttpRequest) -> HttpResponseBase:
    calendar = calendar_now()
    seen = prices.seen_models(request.user, calendar)
    model, provider = search_text(request, "model"), search_text(request, "provider")
    workspace_id = whole_number(request.GET.get("workspace", ""), most=LARGEST_ID)
    tried = prices.tried(request.user, calendar, provider, model, workspace_id) if model else None
    waiting = [row for row in seen.rows if row.unpriced]
    context = {
        "waiting": waiting,
        "waiting_calls": sum(row.unpriced for row in waiting),
        "rows": seen.rows,
        "cut": seen.cut,
        "most": prices.MOST_MODELS,
        "unit": figures.MoneyUnit.for_values([row.cost for row in seen.rows]),
        "may_enter": may_enter_prices(request.user),
        "workspaces": prices.workspaces_to_try(request.user),
        "tried": tried,
        "tried_model": model,
        "tried_provider": provider,
        "tried_workspace": workspace_id,
        "tried_price": tried and prices.entered_id(tried.source),
    }
    return page(request, "analytics/prices.html", calendar, "prices", context)


def _per_million(kind: str) -> Callable[[ModelRow], str | None]:
    def read(row: ModelRow) -> str | None:
        unit_prices = row.found.prices
        return None if unit_prices is None else figures.unit_price(getattr(unit_prices, kind))[1:].replace(",", "")

    return read


COLUMNS = (
    Column("Provider", lambda row: row.provider),
    Column("Model", lambda row: row.model),
    Column("Workspaces", lambda row: ", ".join(row.workspaces) or "all"),
    Column("Calls this month", lambda row: row.calls),
    Column("Unpriced calls this month", lambda row: row.unpriced),
    Column("Estimated cost this month (cents)", lambda row: cents_text(row.cost)),
    Column("Input (USD per million)", _per_million("input")),
    Column("Output (USD per million)", _per_million("output")),
    Column("Cache read (USD per million)", _per_million("cache_read")),
    Column("Reasoning (USD per million)", _per_million("reasoning")),
    Column("From", lambda row: row.found.source or "unpriced"),
    Column("Since", lambda row: row.since),
    Column("Last called", lambda row: str(row.last_day)),
)


@login_required
def prices_csv(request: HttpRequest) -> StreamingHttpResponse:
    calendar = calendar_now()
    rows = prices.seen_models(request.user, calendar).rows
    return csv_answer(file_name(("prices",), calendar.month_to_date), COLUMNS, rows)
