"""Passwords are hashed two at a time, and whoever comes meanwhile is told to come again.

A hash takes most of a second of a processor, so that stolen ones are hard to guess. Sixty strangers who logged in at
once had all threads hash, and nothing else was answered for eleven seconds.
"""

from __future__ import annotations

import threading
from typing import Final

from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin

AT_A_TIME: Final = 2
"""Per process."""
RETRY_AFTER_SECONDS: Final = 2

_room = threading.BoundedSemaphore(AT_A_TIME)


class PasswordsBusyError(Exception):
    """So many passwords are being hashed that this one has to come again."""


class BoundedHasher(PBKDF2PasswordHasher):
    """Django's own. Checking, setting, and pretending to check that of a name nobody has: all of it hashes."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        if not _room.acquire(blocking=False):  # one that waited would hold the thread that others need
            raise PasswordsBusyError
        try:
            return super().encode(password, salt, iterations)
        finally:
            _room.release()


class PasswordsBusyMiddleware(MiddlewareMixin):
    """429: strangers can cause it at will, and the site's faults, which are 5xx, wake people."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if not isinstance(exception, PasswordsBusyError):
            return None
        page = render(request, "registration/busy.html", status=429)
        page.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return page
