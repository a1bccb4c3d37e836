"""Every loss is counted, by a closed list of reasons. The counts travel with each batch.

A process may end before it has told them. So they lie in its spool file too, as a line of their own: who adopts the
file tells them in its stead, under its name.
"""

from __future__ import annotations

import threading
from typing import Any, Literal
from uuid import UUID

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
    "run_forgotten",  # a run that was open beside 50,000 others; its calls are recorded, its end is not
]
LINE_TYPE = "client_losses"
LINE_BEGINS = b'{"type":"%s"' % LINE_TYPE.encode()


def losses_line(client_id: UUID, health: dict[str, Any]) -> dict[str, Any]:
    """What a process has lost, as a line of its spool file; `health` is that of `wire.ClientHealth`."""
    return {"type": LINE_TYPE, "client_id": str(client_id), "health": health}


def losses_in(line: dict[str, Any]) -> tuple[UUID, dict[str, Any]] | None:
    """Whose losses a line has, and the health that tells them; None for any other line."""
    if line.get("type") != LINE_TYPE:
        return None
    try:
        client_id, health = UUID(line.get("client_id")), line.get("health")
    except (ValueError, TypeError, AttributeError):
        return None
    return (client_id, health) if isinstance(health, dict) else None


class Losses:
    """Counts since the process began; a forked child begins anew."""

    def __init__(self) -> None:
        self.after_fork()

    def after_fork(self) -> None:
        # Reentrant: the garbage collector may close an abandoned stream, and so report a call, while this is held.
        self._lock = threading.RLock()
        self._counts: dict[str, int] = {}

    def count(self, reason: LossReason, count: int = 1) -> None:
        """Add to a reason."""
        if count <= 0:
            return
        with self._lock:
            self._counts[reason] = self._counts.get(reason, 0) + count

    def by_reason(self) -> dict[str, int]:
        return dict(self._counts)  # one step, so without the lock: a collection in it may count something
