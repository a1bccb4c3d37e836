"""Who asks: the key in the Authorization header, and whether it may do this."""

from __future__ import annotations

import time

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from ninja.security import HttpBearer

from agents.keys import find_key, note_use
from agents.models import ApiKey
from costsite.api.errors import ApiError
from costsite.api.pace import Pace

_pace = Pace(settings.COSTSITE_REQUESTS_PER_MINUTE)
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="costsite"'}


def key_of(request: HttpRequest) -> ApiKey:
    """The key that `BearerKey` let in."""
    key: ApiKey = request.auth  # type: ignore[attr-defined]  # put there by ninja
    return key


class BearerKey(HttpBearer):
    """Lets in whoever holds a live key with `scope`; with any live key when `scope` is None.

    Keys carry 256 random bits, so guessing them is not slowed down here beyond what each look-up costs.
    """

    def __init__(self, scope: ApiKey.Scope | None) -> None:
        super().__init__()
        self.scope = scope

    def __call__(self, request: HttpRequest) -> ApiKey:
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != self.openapi_scheme or not token.strip():
            raise ApiError(401, "no_key", 'Send an API key: "Authorization: Bearer cs_…".', headers=_CHALLENGE)
        return self.authenticate(request, token.strip())

    def authenticate(self, request: HttpRequest, token: str) -> ApiKey:
        key = find_key(token)
        if key is None:
            raise ApiError(
                401,
                "bad_key",
                "This API key is unknown or revoked, or its workspace is archived; "
                "make one with `manage.py create_api_key WORKSPACE` or in the admin.",
                headers=_CHALLENGE,
            )
        if self.scope is not None and self.scope.value not in key.scopes:
            raise ApiError(
                403,
                "missing_scope",
                f'This API key lacks the scope "{self.scope.value}"; use a key that has it '
                f"(`manage.py create_api_key {key.workspace.slug} --scope {self.scope.value}`).",
            )
        if wait := _pace.wait_seconds(key.pk, time.monotonic()):
            raise ApiError(
                429,
                "too_many_requests",
                f"This key makes more than {settings.COSTSITE_REQUESTS_PER_MINUTE:,} requests a minute;"
                f" send the same again in {wait} s, and more events in each batch.",
                headers={"Retry-After": str(wait)},
            )
        note_use(key, timezone.now())
        return key
