"""Entering a price: what it would change is shown first, then done by POST; repricing goes on behind the page."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render

from agents.models import ModelPrice
from agents.price_entry import PriceForm, enter, may_enter_prices
from agents.price_preview import preview, target_is_known
from costsite.analytics.queries import prices
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.views.page import found_or_404, page, search_text


@login_required
def enter_price(request: HttpRequest) -> HttpResponseBase:
    """The form, then what it would change, then the act: a POST that says `confirmed` saves the price.

    One that says `change` shows the form again, filled in.
    """
    if not may_enter_prices(request.user):
        raise PermissionDenied
    calendar = calendar_now()
    kind = request.GET.get("kind", "")
    kind = kind if kind in ModelPrice.Kind.values else ModelPrice.Kind.PRICED.value
    initial = {name: search_text(request, name) for name in ("provider", "model")}
    form = PriceForm(request.POST or None, kind=kind, user=request.user, initial=initial)  # type: ignore[arg-type]
    context = {"form": form, "kind": ModelPrice.Kind(kind), **initial}
    if not (request.method == "POST" and form.is_valid()) or request.POST.get("change"):
        return page(request, "analytics/price_enter.html", calendar, "prices", context)
    if request.POST.get("confirmed"):
        return redirect("price", pk=enter(form).pk)
    context |= {"price": form.instance, "preview": preview(form.instance, now=calendar.now)}
    context["unknown_model"] = not target_is_known(form.instance)
    return page(request, "analytics/price_confirm.html", calendar, "prices", context)


@login_required
def entered_price(request: HttpRequest, pk: int) -> HttpResponseBase:
    """An entered price, and how far the repricing of what it is for has come."""
    calendar = calendar_now()
    price = found_or_404(prices.find_price(request.user, pk), "price")
    context = {
        "price": price,
        "unit_prices": price.as_entered().prices,
        "progress": prices.repricing_progress(request.user, price, calendar),
    }
    return page(request, "analytics/price.html", calendar, "prices", context)


@login_required
def progress(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The part of the page that changes."""
    calendar = calendar_now()
    price = found_or_404(prices.find_price(request.user, pk), "price")
    context = {"price": price, "progress": prices.repricing_progress(request.user, price, calendar)}
    return render(request, "analytics/_price_progress.html", context)
