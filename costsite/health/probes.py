"""`/healthz`, `/readyz` and `/metrics`, answered before anything else looks at the request.

A probe comes by an address and over plain HTTP, whatever the site's own name and scheme are; so none of the rules for
people's requests apply to it, and nothing it is told is anybody's secret.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseNotFound
from django.utils.crypto import constant_time_compare

from costsite.health import gauges
from costsite.health.readyz import readyz

log = logging.getLogger(__name__)


class ProbeMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._probes = {"/healthz": _healthz, "/readyz": readyz, "/metrics": _metrics}

    def __call__(self, request: HttpRequest) -> HttpResponse:
        probe = self._probes.get(request.path_info)
        if probe is None:
            return self._get_response(request)
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        answer = probe(request)
        answer.headers["Cache-Control"] = "no-store"
        return answer


def _healthz(_request: HttpRequest) -> HttpResponse:
    """The process answers; a database that is away is no reason to kill it."""
    return _said("ok")


def _metrics(request: HttpRequest) -> HttpResponse:
    token = settings.COSTSITE_METRICS_TOKEN
    if not token:
        return HttpResponseNotFound()
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not constant_time_compare(given.strip(), token):
        return HttpResponse(status=401, headers={"WWW-Authenticate": 'Bearer realm="costsite metrics"'})
    try:
        content, kind = gauges.exposition()
    except DatabaseError as error:
        log.warning("No metrics: %s", " ".join(str(error).split()))
        return _said("the database does not answer", 503)
    return HttpResponse(content, content_type=kind)


def _said(text: str, status: int = 200) -> HttpResponse:
    return HttpResponse(f"{text}\n", status=status, content_type="text/plain; charset=utf-8")
