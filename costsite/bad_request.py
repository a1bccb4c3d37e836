"""The page for a request that is refused before any page sees it."""

from __future__ import annotations

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponseBadRequest
from django.template.loader import get_template


def bad_request(_request: HttpRequest, exception: Exception) -> HttpResponseBadRequest:
    """Under an unknown host name, says which setting to change, as the API does. Neither name nor setting is shown."""
    # Without the request: whose page it is, and links to it, would ask for its host again.
    page = get_template("400.html").render({"unknown_host": isinstance(exception, DisallowedHost)})
    return HttpResponseBadRequest(page)
