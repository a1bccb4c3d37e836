"""The inbox: what a person was told about budgets and months."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from budgets.models import Notification
from costsite.analytics.filters import LARGEST_ID, whole_number
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.queries.inbox import list_notices
from costsite.analytics.views.page import page

NOTICES_PER_PAGE = 30


@login_required
def inbox(request: HttpRequest) -> HttpResponseBase:
    calendar = calendar_now()
    unread_only = request.GET.get("show") == "unread"
    before = whole_number(request.GET.get("before", ""), most=LARGEST_ID)
    notices = list_notices(request.user, unread=unread_only, before=before, limit=NOTICES_PER_PAGE)
    more = len(notices) > NOTICES_PER_PAGE
    notices = notices[:NOTICES_PER_PAGE]
    context = {
        "notices": notices,
        "newest": notices[0].id if notices else 0,
        "unread_only": unread_only,
        "older": notices[-1].id if more else None,
        "first_page": before is None,
        "kept": {"show": "unread" if unread_only else ""},
    }
    return page(request, "analytics/inbox.html", calendar, "inbox", context)


@require_POST
@login_required
def mark_read(request: HttpRequest) -> HttpResponseBase:
    """One notice, or all up to the newest that was shown."""
    only = whole_number(request.POST.get("notice", ""), most=LARGEST_ID)
    through = whole_number(request.POST.get("through", ""), most=LARGEST_ID)
    if only is not None or through is not None:
        Notification.objects.inbox_of(request.user).mark_read(only=only, through=through)
    return redirect("inbox")
