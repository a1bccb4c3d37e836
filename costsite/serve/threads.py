"""Which thread answers: of those that are idle, the one that worked last.

Each thread has a database connection of its own, with its pages and its prepared statements. Waitress takes the thread
that was idle longest, so that under light load the pages of each are stale by its turn: a batch of a hundred events
cost 4 % more processor time.
"""

from __future__ import annotations

import threading

from waitress.task import ThreadedTaskDispatcher


class WarmestFirst(ThreadedTaskDispatcher):  # type: ignore[misc]  # waitress has no types
    def __init__(self) -> None:
        super().__init__()
        self.queue_cv = _LastAsleepWakesFirst(self.lock)


class _LastAsleepWakesFirst:
    """What the dispatcher asks of a `threading.Condition`, which wakes in the other order. All under `lock`."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self._asleep: list[threading.Lock] = []

    def wait(self) -> None:
        bell = threading.Lock()
        bell.acquire()
        self._asleep.append(bell)
        self._lock.release()
        try:
            bell.acquire()
        finally:
            self._lock.acquire()

    def notify(self) -> None:
        if self._asleep:
            self._asleep.pop().release()

    def notify_all(self) -> None:
        while self._asleep:
            self.notify()
