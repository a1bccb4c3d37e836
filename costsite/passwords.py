"""Passwords are hashed two at a time, one for each address, and whoever comes meanwhile is told to come again.

A hash takes most of a second of a processor, so that stolen ones are hard to guess. Sixty strangers who logged in at
once had all threads hash, and nothing else was answered for eleven seconds. With places that anybody could take, four
connections of one stranger took them all, and nobody could log in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from ipaddress import IPv6Network, ip_address
from typing import Final

from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from costsite.client_address import client_address

AT_A_TIME: Final = 2
"""Per process."""
RETRY_AFTER_SECONDS: Final = 2

_changing = threading.Lock()
_whose: list[str] = []
"""Whose passwords are being hashed."""
_asking: ContextVar[str] = ContextVar("asking", default="")
"""Whose request this thread answers; empty in a command."""


class PasswordsBusyError(Exception):
    """So many passwords are being hashed that this one has to come again."""


@contextmanager
def place_for(whom: str) -> Iterator[None]:
    """Room to hash one password; PasswordsBusyError at once when there is none: one that waited would hold the thread
    that others need.
    """
    with _changing:
        if len(_whose) >= AT_A_TIME or (whom and whom in _whose):
            raise PasswordsBusyError
        _whose.append(whom)
    try:
        yield
    finally:
        with _changing:
            _whose.remove(whom)


class BoundedHasher(PBKDF2PasswordHasher):
    """Django's own. Checking, setting, and pretending to check that of a name nobody has: all of it hashes."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        with place_for(_asking.get()):
            return super().encode(password, salt, iterations)


class PasswordsBusyMiddleware:
    """429: strangers can cause it at will, and the site's faults, which are 5xx, wake people."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        before = _asking.set(_one_holder(client_address(request)))
        try:
            return self.get_response(request)
        finally:
            _asking.reset(before)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, PasswordsBusyError):
            return None
        page = render(request, "registration/busy.html", status=429)
        page.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return page


def _one_holder(address: str) -> str:
    """Of IPv6 the network of 64 bits: that is the least a provider hands out, and all of it one stranger's."""
    try:
        known = ip_address(address)
    except ValueError:
        return address
    return str(known) if known.version == 4 else str(IPv6Network((known.packed, 64), strict=False))
