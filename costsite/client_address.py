"""Whose request it is, by address."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The address that a request came from; behind a proxy, the one that the proxy saw.

    A proxy adds what it saw at the end of X-Forwarded-For; whatever stands before it anybody may have written. It is
    read only where a proxy is said to be (COSTSITE_HTTPS).
    """
    if settings.HTTPS:
        seen: str = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
        if seen:
            return seen
    return str(request.META.get("REMOTE_ADDR", ""))
