"""Refusals on their way to the site: the first of its kind at once, those that follow within the minute as one event.

An agent that asks again and again, as a retry does, would else fill the spool with the same sentence. What is summed
here is no money: should the process be killed, the site hears of fewer refusals than there were, and of each kind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

MINUTE_SECONDS = 60
MAX_KEPT = 1_000
"""Kinds of refusals in one minute: of so many agents and runs."""
MAX_COUNT = 1_000_000
"""Of one event, by the wire."""


class _Key(NamedTuple):
    agent: str
    kind: str
    policy_id: int | None
    run_id: str | None
    """None: runs that made no call, summed under the first of them. Each attempt of a blocked agent is such a run."""


class _Minute:
    __slots__ = ("following", "number", "run_id")

    def __init__(self, number: int, run_id: str) -> None:
        self.number = number
        self.run_id = run_id
        self.following: dict[str, Any] | None = None
        """The event that counts those after the first."""


class Refusals:
    """Of one process, for every thread. `append` takes events for the spool."""

    def __init__(self, append: Callable[[dict[str, Any]], object], clock: Callable[[], float] = time.time) -> None:
        self._append = append
        self._clock = clock
        self.after_fork()

    def after_fork(self) -> None:
        """What is summed is the parent's to report."""
        self._lock = threading.Lock()
        self._minutes: dict[_Key, _Minute] = {}

    def add(self, event: dict[str, Any], *, run_made_calls: bool) -> None:
        """Count a `wire.Refused` in its JSON form, of one refusal now."""
        key = _Key(event["agent"], event["kind"], event.get("policy_id"), event["run_id"] if run_made_calls else None)
        number = int(event["refused_at"] // MINUTE_SECONDS)
        with self._lock:
            due = self._taken(lambda _, minute: minute.number != number) if len(self._minutes) >= MAX_KEPT else []
            known = self._minutes.get(key)
            if known is None or known.number != number:
                due += [known.following] if known is not None and known.following is not None else []
                if len(self._minutes) < MAX_KEPT:
                    self._minutes[key] = _Minute(number, event["run_id"])
                due.append(event)
            elif known.following is None:
                known.following = event | {"run_id": known.run_id, "count": 1}
            elif known.following["count"] < MAX_COUNT:
                known.following["count"] += 1
        self._report(due)

    def run_ended(self, run_id: str) -> None:
        """Nothing more follows of a run."""
        if self._minutes:
            with self._lock:
                due = self._taken(lambda key, _: key.run_id == run_id)
            self._report(due)

    def report_due(self) -> None:
        """Report what was summed in minutes that are over."""
        if self._minutes:
            number = int(self._clock() // MINUTE_SECONDS)
            with self._lock:
                due = self._taken(lambda _, minute: minute.number != number)
            self._report(due)

    def report(self) -> None:
        """Report all that was summed so far: somebody waits, or the process ends."""
        with self._lock:
            due = [minute.following for minute in self._minutes.values() if minute.following is not None]
            for minute in self._minutes.values():
                minute.following = None
        self._report(due)

    def _taken(self, is_over: Callable[[_Key, _Minute], bool]) -> list[dict[str, Any]]:
        over = [key for key, minute in self._minutes.items() if is_over(key, minute)]
        minutes = [self._minutes.pop(key) for key in over]
        return [minute.following for minute in minutes if minute.following is not None]

    def _report(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            self._append(event)
