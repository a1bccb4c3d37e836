"""Events the server would not have, kept with its reason for people to look at: `rejected.jsonl`, bounded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from langchain_plugin.losses import Losses

MAX_BYTES = 5_000_000
FILE_NAME = "rejected.jsonl"


class RejectedEvent(NamedTuple):
    data: bytes
    """As it was sent: a JSON object."""
    code: str
    message: str


def keep_rejected(folder: Path, rejected: Iterable[RejectedEvent], losses: Losses) -> None:
    """Append them; what the bound or the disk does not allow is counted. Many processes may do this at once."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for event in rejected:
        losses.count("rejected")
        reason = json.dumps({"rejected_at": now, "code": event.code[:200], "message": event.message[:2000]})
        line = reason[:-1].encode() + b', "event": ' + event.data + b"}\n"
        try:
            fd = os.open(
                folder / FILE_NAME, os.O_CREAT | os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o600
            )
            try:
                if os.fstat(fd).st_size + len(line) > MAX_BYTES or os.write(fd, line) != len(line):
                    losses.count("rejected_not_kept")
            finally:
                os.close(fd)
        except OSError:
            losses.count("rejected_not_kept")


def rejected_by_reason(folder: Path) -> dict[tuple[str, str], int]:
    """How many were kept, by the server's code and message."""
    counts: dict[tuple[str, str], int] = {}
    try:
        file = (folder / FILE_NAME).open(encoding="utf-8", errors="replace")
    except OSError:
        return counts
    with file:
        for text in file:
            try:
                line = json.loads(text)
                reason = (str(line["code"]), str(line["message"]))
            except (ValueError, TypeError, KeyError):
                reason = ("unreadable", "This line was cut off.")
            counts[reason] = counts.get(reason, 0) + 1
    return counts
