"""Whether a service still does its work, where its process being there does not say so.

A worker of django-q2 that is killed while it waits for a task takes the queue's lock with it: every process of the
cluster lives on, and none does anything.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Final

LOOK_SECONDS: Final = 15.0


class Pulse:
    """Looks now and then at a sign that changes while all is well. On a thread: a database that hangs must not keep
    the supervisor from its other duties.
    """

    def __init__(self, sign: Callable[[], Hashable], *, look_seconds: float = LOOK_SECONDS) -> None:
        self._sign = sign
        self._look_seconds = look_seconds
        self._thread: threading.Thread | None = None
        self._last: Hashable = None
        self._felt_at = time.monotonic()

    def expect(self) -> None:
        """Count from now: the service has just been started."""
        self._felt_at = time.monotonic()
        if self._thread is None:
            self._thread = threading.Thread(target=self._look_on, name="pulse", daemon=True)
            self._thread.start()

    @property
    def silent_seconds(self) -> float:
        """How long the sign has been the same."""
        return time.monotonic() - self._felt_at

    def _look_on(self) -> None:
        looked_at = time.monotonic()
        while True:
            time.sleep(self._look_seconds)
            try:
                sign = self._sign()
            except Exception:
                sign = object()  # not known, and so no silence: a database that is away is not the service's fault
            # After a pause of this process, as of a machine that slept, the service is given its time anew.
            if sign != self._last or time.monotonic() - looked_at > 4 * self._look_seconds + 1:
                self._last, self._felt_at = sign, time.monotonic()
            looked_at = time.monotonic()
