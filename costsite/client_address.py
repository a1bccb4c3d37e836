"""Whose request it is, by address."""

from __future__ import annotations

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The address that a request came from; behind a proxy, the one that the proxy saw.

    A proxy adds what it saw at the end of X-Forwarded-For; whatever stands before it anybody may have written. It is
    read only where a proxy is said to be (COSTSITE_HTTPS).
    """
    if settings.HTTPS:
        seen = _address_in(request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip())
        if seen:
            return seen
    return str(request.META.get("REMOTE_ADDR", ""))


def _address_in(text: str) -> str:
    """The IP address in `text`, always written alike, without the port that some proxies add: each connection has
    another, and would be another stranger. Empty when there is none.
    """
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)
