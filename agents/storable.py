"""A batch with a value that no column takes: all of it is written but the events that hold such a value.

The wire's rules keep such values out. This is for the one they miss: refused as a whole, the batch would come back for
ever and hold up all that the client has to say.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db import DataError, IntegrityError

from agents import ledger
from agents.ledger import Event
from agents.models import Agent, Workspace
from agents.recorded import Recorded

log = logging.getLogger(__name__)

Events = Sequence[tuple[int, Event]]

NOT_STORABLE: Final = (DataError, IntegrityError, OverflowError)
"""A value that no column takes. SQLite's driver says it of a whole number over 64 bits without asking the database."""


def record_storable(
    workspace: Workspace,
    events: Events,
    *,
    client: int | None,
    received_at: datetime,
    clock_shift: timedelta = timedelta(0),
    key_agent: Agent | None = None,
) -> Recorded:
    """As `agents.ledger.record`, and where the database takes some of `events` but not others, these are rejected.

    A transaction for each part that is written. What the database says is raised when it takes none of them: the fault
    is then not in the events, and they are to be sent again.
    """

    def written(part: Events) -> Recorded:
        return ledger.record(
            workspace, part, client=client, received_at=received_at, clock_shift=clock_shift, key_agent=key_agent
        )

    if not events:
        return Recorded(workspace)
    try:
        return written(events)
    except NOT_STORABLE as error:
        if len(events) < 2:
            raise
        first = error
    whole = Recorded(workspace)
    not_storable: list[int] = []
    waiting = _halves(events)
    while waiting:
        part = waiting.pop()
        try:
            whole.merge(written(part))
        except NOT_STORABLE:
            if len(part) == 1:
                not_storable.append(part[0][0])
            else:
                waiting += _halves(part)
    if len(not_storable) == len(events):
        raise first
    log.error("The database refused %d events of a batch: %s", len(not_storable), first, exc_info=first)
    for index in not_storable:
        whole.reject(index, "not_storable", "The database refused this event; the server's log says why.")
    return whole


def _halves(events: Events) -> list[Events]:
    """The later one first: what came first is taken from the end, as the first to name a run says whose it is."""
    middle = len(events) // 2
    return [events[middle:], events[:middle]]
