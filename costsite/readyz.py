"""GET /readyz: whether the site can take events now, for whatever watches it. Of the inside it tells dates alone."""

from __future__ import annotations

import logging

from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from agents import server_clock
from agents.models import LedgerState

log = logging.getLogger(__name__)


@require_safe
def readyz(_request: HttpRequest) -> JsonResponse:
    """200 when it can, 503 when not, and why; with 200 too, what a person should look at."""
    said: list[str] = []
    ready = True
    try:
        state = LedgerState.objects.filter(pk=1).first()
        server_clock.require_plausible(timezone.now(), state)
        if state is not None and (doubt := server_clock.doubt(state)):
            said.append(doubt)
    except DatabaseError as error:
        log.warning("GET /readyz: the database did not answer: %s", error)
        ready, said = False, ["The database does not answer; the site's log says why."]
    except server_clock.ServerClockError as wrong:
        ready, said = False, [str(wrong)]
    return JsonResponse({"ready": ready, "said": said}, status=200 if ready else 503)
