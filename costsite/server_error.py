"""The page for a request that failed: 503 where the database could not take part, as the API says it; else 500."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse
from django.template.loader import get_template
from django.views.defaults import server_error as failed

from costsite.api.errors import DATABASE_AWAY, RETRY_AFTER_SECONDS


def server_error(request: HttpRequest) -> HttpResponse:
    """Called while the exception is handled, whoever raised it: a page, a form, or the middleware that keeps sessions.

    Locked, full, restarting: none of it is a fault of the page, and the same works when it is over. A proxy or a probe
    that is told 503 waits; 500 would have it look for a mistake.
    """
    if not isinstance(sys.exc_info()[1], DATABASE_AWAY):
        return failed(request)
    # Without the request: who asks is looked up in the database.
    page = HttpResponse(get_template("503.html").render(), status=503)
    page.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return page
