"""Events the server would not have, kept with its reason in `rejected.jsonl`: for people to look at, and to send again.

Hardly a reason is for ever: a key that may not report for the agent, a clock that was wrong, a site that is older than
the plugin. So nothing is given up here: once that is mended, `send_again` makes a spool file of them.
"""

from __future__ import annotations

import errno
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from langchain_plugin.errors import NoRoom
from langchain_plugin.losses import Losses
from langchain_plugin.own_file import check_folder, open_own
from langchain_plugin.server_words import clean_words

FILE_NAME = "rejected.jsonl"
AGAIN_SUFFIX = ".again.jsonl"
"""Of a spool file that was one of rejected events."""
FINAL_CODES = frozenset({"missing_field", "subsets_exceed_total"})
"""The event contradicts itself: no setting and no newer site makes sense of it. What a code unknown here means, a newer
site says, so that is none of these."""
MAX_REASONS_SHOWN = 50
_WRAPPED = "rejected_at"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class RejectedEvent(NamedTuple):
    data: bytes
    """As it was sent: a JSON object."""
    code: str
    message: str
    """Both in the server's words, cleaned."""


def keep_rejected(folder: Path, event: RejectedEvent, losses: Losses, *, max_bytes: int) -> None:
    """Append it; that it was rejected is counted, and where the bound or the folder does not allow to keep it, that
    too. Many processes may do this at once, each may go over the bound by an event.

    Raises:
        NoRoom: The disk is full; nothing is counted.

    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    reason = json.dumps({_WRAPPED: now, "code": event.code, "message": event.message})
    # A line begins by ending what may have been cut off before it, by a full disk or a kill.
    line = b"\n" + reason[:-1].encode() + b', "event": ' + event.data + b"}\n"
    try:
        check_folder(folder)
        is_kept = _append(folder / FILE_NAME, line, max_bytes)
    except OSError as error:
        if error.errno in _FULL:
            raise NoRoom("The disk is full, and what the site rejected cannot be set aside: free space.") from None
        is_kept = False
    losses.count("rejected")
    if not is_kept:
        losses.count("rejected_not_kept")


def _append(path: Path, line: bytes, max_bytes: int) -> bool:
    while True:
        fd = open_own(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        try:
            state = os.fstat(fd)
            if state.st_size + len(line) > max_bytes:
                return False
            if os.write(fd, line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if _is_named(path, state):
                return True
        finally:
            os.close(fd)
        # It was renamed by `send_again` between the opening and the writing, and who sends it may have looked at its
        # length already. Should both be sent, they are counted once.


def _is_named(path: Path, state: os.stat_result) -> bool:
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) == (state.st_dev, state.st_ino)


def send_again(folder: Path) -> bool:
    """Make what was rejected a file of the spool, as if a process had died and left it; False when there is nothing.

    One rename: of two that do this at once one does, and a crash leaves it before or after.

    Raises:
        OSError: It cannot be renamed, or others may write to the folder (`UnsafeFolder`).

    """
    try:
        check_folder(folder)
        (folder / FILE_NAME).rename(folder / f"{uuid4()}{AGAIN_SUFFIX}")
    except FileNotFoundError:
        return False
    return True


def unwrapped(event: dict[str, Any]) -> dict[str, Any] | None:
    """An event without the reason it was kept with, if there is one; None where nothing is in it."""
    inner: Any = event
    while isinstance(inner, dict) and _WRAPPED in inner:
        inner = inner.get("event")
    return inner if isinstance(inner, dict) else None


def rejected_by_reason(folder: Path) -> dict[tuple[str, str], int]:
    """How many were kept, by the server's code and message; those beyond so many reasons together."""
    counts: dict[tuple[str, str], int] = {}
    try:
        with os.fdopen(open_own(folder / FILE_NAME, os.O_RDONLY), "rb") as lines:
            for text in filter(bytes.strip, lines):
                reason = _reason(text)
                if reason not in counts and len(counts) >= MAX_REASONS_SHOWN:
                    reason = ("other", "The file has the other reasons.")
                counts[reason] = counts.get(reason, 0) + 1
    except OSError:
        pass
    return counts


def _reason(text: bytes) -> tuple[str, str]:
    try:
        line = json.loads(text)
        return clean_words(line["code"], 60), clean_words(line["message"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return "unreadable", "This line was cut off."
