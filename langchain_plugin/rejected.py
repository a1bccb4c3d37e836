"""Events the server would not have, kept with its reason for people to look at: `rejected.jsonl`, bounded."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from langchain_plugin.losses import Losses
from langchain_plugin.own_file import check_folder, open_own, read_start
from langchain_plugin.server_words import clean_words

MAX_BYTES = 5_000_000
"""How long the file may grow. Processes that write at once may each go over by an event."""
FILE_NAME = "rejected.jsonl"
MAX_REASONS_SHOWN = 50


class RejectedEvent(NamedTuple):
    data: bytes
    """As it was sent: a JSON object."""
    code: str
    message: str
    """Both in the server's words, cleaned."""


def keep_rejected(folder: Path, rejected: Iterable[RejectedEvent], losses: Losses) -> None:
    """Append them; what the bound or the disk does not allow is counted. Many processes may do this at once."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for event in rejected:
        losses.count("rejected")
        reason = json.dumps({"rejected_at": now, "code": event.code, "message": event.message})
        line = reason[:-1].encode() + b', "event": ' + event.data + b"}\n"
        try:
            check_folder(folder)
            fd = open_own(folder / FILE_NAME, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
            try:
                if os.fstat(fd).st_size + len(line) > MAX_BYTES or os.write(fd, line) != len(line):
                    losses.count("rejected_not_kept")
            finally:
                os.close(fd)
        except OSError:
            losses.count("rejected_not_kept")


def rejected_by_reason(folder: Path) -> dict[tuple[str, str], int]:
    """How many were kept, by the server's code and message; those beyond so many reasons together."""
    counts: dict[tuple[str, str], int] = {}
    try:
        content = read_start(folder / FILE_NAME, MAX_BYTES)
    except OSError:
        return counts
    for text in content.splitlines():
        try:
            line = json.loads(text)
            reason = (clean_words(line["code"], 60), clean_words(line["message"]))
        except (ValueError, TypeError, KeyError, RecursionError):
            reason = ("unreadable", "This line was cut off.")
        if reason not in counts and len(counts) >= MAX_REASONS_SHOWN:
            reason = ("other", "The file has the other reasons.")
        counts[reason] = counts.get(reason, 0) + 1
    return counts
