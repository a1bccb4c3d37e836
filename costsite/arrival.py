"""When a request came, as the site's own web server stamps it (`costsite.serve.stamps`)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from django.utils import timezone

ARRIVED_AT: Final = "costsite.arrived_at"
"""In the WSGI environment: Unix seconds by the server's clock."""
ARRIVED_MONOTONIC: Final = "costsite.arrived_monotonic"
"""The same moment by `time.monotonic`."""


class Arrival(NamedTuple):
    at: datetime
    monotonic: float


def arrival_of(environ: Mapping[str, Any]) -> Arrival:
    """From a request's environment; now, under a web server that does not stamp."""
    arrived_at = environ.get(ARRIVED_AT)
    if arrived_at is None:
        return Arrival(timezone.now(), time.monotonic())
    return Arrival(datetime.fromtimestamp(arrived_at, UTC), environ[ARRIVED_MONOTONIC])
