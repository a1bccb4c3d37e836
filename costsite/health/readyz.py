"""GET /readyz: whether the site can take events now, for whatever watches it. Of the inside it tells dates alone."""

from __future__ import annotations

import logging

from django.db import DatabaseError, connection
from django.http import HttpRequest, JsonResponse
from django.utils import timezone

from agents import server_clock
from agents.database_file import require_same_file
from agents.models import LedgerState
from costsite.serve.readiness import NotReadyError, require_migrations

log = logging.getLogger(__name__)

_migrated = False
"""Looked for until it was so once: a process serves one version, and migrations are never taken back under it."""


def readyz(_request: HttpRequest) -> JsonResponse:
    """200 when it can, 503 when not, and why; with 200 too, what a person should look at."""
    global _migrated
    said: list[str] = []
    ready = True
    try:
        if not _migrated:
            require_migrations()
            _migrated = True
        require_same_file(connection)
        state = LedgerState.objects.filter(pk=1).first()
        server_clock.require_plausible(timezone.now(), state)
        if state is not None and (doubt := server_clock.doubt(state)):
            said.append(doubt)
    except (DatabaseError, NotReadyError) as error:
        log.warning("GET /readyz: %s", " ".join(str(error).split()))
        ready, said = False, ["The database cannot be used; the site's log says why."]
    except server_clock.ServerClockError as wrong:
        ready, said = False, [str(wrong)]
    return JsonResponse({"ready": ready, "said": said}, status=200 if ready else 503)
