"""How far the clocks of clients are from the server's, by more than the one batch at hand.

A batch that says 12:00 and is read at 15:00 has two explanations: a clock that is three hours behind, or a server that
stood still for three hours with the batch at its door. Only the first is a reason to move its times, and one batch
cannot tell them apart. The next can: delays only ever add, so of several differences the smallest is the truest.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from agents.clock import TOLERATED_SKEW

ASK_AGAIN_SECONDS: Final = 1.0
"""What waited together at the door of a server that stood still is read within less: it is no second opinion."""
FORGOTTEN_AFTER_SECONDS: Final = 900.0
"""An unexplained difference is compared with one of the same quarter of an hour: clients come back within minutes."""
CLIENTS: Final = 10_000
"""Remembered at a time; the one not heard of for longest is asked again."""
AGREED: Final = timedelta(0)


@dataclass(slots=True)
class _Known:
    difference: timedelta = AGREED
    """As far as it is explained: what the times of the client are moved by."""
    unexplained: timedelta | None = None
    """The smallest of those that are larger."""
    since: float = 0.0
    """By the monotonic clock, when the first of them came."""


class ClientClocks:
    """What this process knows of its clients' clocks. For any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[UUID, _Known] = OrderedDict()

    def shift(self, client_id: UUID, difference: timedelta, *, monotonic: float) -> timedelta | None:
        """What to add to the times of a batch that came `difference` after it says it was sent.

        None: the batch may have waited on its way or at this server's door. Ask for it again, in a second or later,
        with the time of that sending.
        """
        with self._lock:
            if abs(difference) <= TOLERATED_SKEW:
                self._known.pop(client_id, None)  # few clients have a clock that needs remembering
                return AGREED
            known = self._known.setdefault(client_id, _Known())
            self._known.move_to_end(client_id)
            while len(self._known) > CLIENTS:
                self._known.popitem(last=False)
            return self._explained(known, difference, monotonic)

    @staticmethod
    def _explained(known: _Known, difference: timedelta, monotonic: float) -> timedelta | None:
        if difference <= known.difference + TOLERATED_SKEW:
            # Earlier than by any delay: it can only be the clock.
            known.difference = min(known.difference, difference) if known.difference else difference
            known.unexplained = None
            return known.difference
        waited = monotonic - known.since
        if known.unexplained is None or waited > FORGOTTEN_AFTER_SECONDS:
            known.unexplained, known.since = difference, monotonic
            return None
        known.unexplained = min(known.unexplained, difference)
        if waited < ASK_AGAIN_SECONDS:
            return None
        known.difference, known.unexplained = known.unexplained, None
        return known.difference
