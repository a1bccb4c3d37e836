"""API keys and first steps: make a key, copy the lines, see the first event arrive."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from agents.key_form import KeyForm
from agents.models import ApiKey
from costsite.analytics.filters import whole_number
from costsite.analytics.queries import keys
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.views.page import Export, as_csv, found_or_404, page

KEYS_PER_PAGE = 50
EXPORTED_KEYS = 10_000


@login_required
def key_list(request: HttpRequest) -> HttpResponseBase:
    return _key_page(request, _form(request))


@login_required
def make_key(request: HttpRequest) -> HttpResponseBase:
    """By POST the page that shows the key, once: a redirect would have to keep it somewhere on the way."""
    if request.method != "POST":
        return redirect("keys")
    form = _form(request, request.POST)
    if form is None:
        raise PermissionDenied
    if not form.is_valid():
        return _key_page(request, form)
    row, key = form.make()
    calendar = calendar_now()
    context = {"row": row, "key": key, "first": keys.first_run(row)}
    return page(request, "analytics/key_made.html", calendar, "keys", context)


@login_required
def first_event(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Whether something came with a key: the part of the page that changes, or a page of its own."""
    calendar = calendar_now()
    key = found_or_404(keys.owned_key(request.user, pk), "key")
    context = {"row": key, "first": keys.first_run(key), "calendar": calendar}
    if "part" in request.GET:
        return render(request, "analytics/_first_event.html", context)
    return page(request, "analytics/key_waiting.html", calendar, "keys", context)


@require_POST
@login_required
def revoke_key(request: HttpRequest, pk: int) -> HttpResponseBase:
    key = found_or_404(keys.owned_key(request.user, pk), "key")
    if ApiKey.objects.filter(pk=key.pk).archive():
        messages.success(request, f"Revoked: {key}. What reports with it is refused from its next request on.")
    else:
        messages.info(request, f"{key} was revoked already; nothing was changed.")
    return redirect("keys")


def _form(request: HttpRequest, given: object = None) -> KeyForm | None:
    """None for who owns no workspace."""
    form = KeyForm(given, user=request.user)  # type: ignore[arg-type]  # signed in, or they were sent to the login
    return form if form.may_make else None


def _key_page(request: HttpRequest, form: KeyForm | None) -> HttpResponseBase:
    calendar = calendar_now()
    if request.GET.get("csv") == "keys":
        return as_csv(("keys",), _export(keys.list_keys(request.user, offset=0, limit=EXPORTED_KEYS)), calendar)
    offset = whole_number(request.GET.get("from", ""), most=1_000_000) or 0
    rows = keys.list_keys(request.user, offset=offset, limit=KEYS_PER_PAGE)
    more = len(rows) > KEYS_PER_PAGE
    context = {
        "form": form,
        "rows": rows[:KEYS_PER_PAGE],
        "previous": max(0, offset - KEYS_PER_PAGE) if offset else None,
        "next": offset + KEYS_PER_PAGE if more else None,
    }
    return page(request, "analytics/keys.html", calendar, "keys", context)


def _export(rows: list[keys.KeyRow]) -> Export:
    """Without the keys: only their beginnings are kept."""
    return Export(
        ("key", "name", "workspace", "agent", "may", "made_at", "last_used_at", "revoked_at"),
        [
            (row.prefix, row.name, row.workspace, row.agent, ", ".join(row.may), row.created_at, row.last_used_at,
             row.revoked_at)
            for row in rows
        ],
    )  # fmt: skip
