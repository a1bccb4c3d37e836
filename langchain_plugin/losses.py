"""Every loss is counted, by a closed list of reasons. The counts travel with each batch."""

from __future__ import annotations

import threading
from typing import Literal, get_args

LossReason = Literal[
    "bug",  # an exception of ours, caught
    "not_json",  # an event that cannot be written down
    "too_large",  # an event longer than a whole batch may be
    "spool_full",  # the folder holds `spool_max_mb` already
    "memory_full",  # the folder cannot be written, and what memory may hold is held
    "torn_line",  # a line that a full disk or a power cut left unreadable
    "expired",  # waited for the server for 30 days
    "rejected",  # the server would not have it; kept in rejected.jsonl
    "rejected_not_kept",  # and rejected.jsonl was full or not writable
    "fingerprint",  # a hash of a prompt that could not be made in time; the call itself is whole
]
REASONS: frozenset[str] = frozenset(get_args(LossReason))


class Losses:
    """Counts since the process began; a forked child begins anew."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        # Reentrant: the garbage collector may close an abandoned stream, and so report a call, while this is held.
        self._lock = threading.RLock()
        self._counts: dict[str, int] = {}

    def count(self, reason: str, count: int = 1) -> None:
        """Add to a reason; an unknown one is a bug of ours, and counted as that."""
        if count <= 0:
            return
        name = reason if reason in REASONS else "bug"
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + count

    def by_reason(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)
