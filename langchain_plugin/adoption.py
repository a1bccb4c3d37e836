"""What dead processes left in the folder: found by their locks, which died with them, and sent by whoever lives.

Two that look at once are told apart by the lock. One that opened a file just before another finished and deleted it
gets the lock of a file without a name, and lets go of it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from langchain_plugin.file_lock import try_lock
from langchain_plugin.losses import Losses
from langchain_plugin.own_file import check_folder, open_own
from langchain_plugin.rejected import AGAIN_SUFFIX
from langchain_plugin.segment import Segment, count_lines

KEEP_SECONDS = 30 * 24 * 3600
"""A process gives up what it has tried to send for so long, while the site took nothing at all."""
MAX_OPEN_FILES = 64
MAX_LOOKED_AT = 100
"""Files, before a process that has nothing to send takes it that nothing is left: each costs 10 us."""
UNNAMED_SECONDS = 60.0
"""A file has its first name for microseconds, before its owner has the lock; one this old was left by a crash."""
_SPOOL_FILE = re.compile(r"([0-9a-f-]{36})(\.\d+|\.again)?\.(jsonl|new)")


class Adoption:
    """The files of dead processes that this one has taken over."""

    def __init__(self, folder: Path, losses: Losses) -> None:
        self.folder = folder
        self.segments: list[Segment] = []
        self.others_bytes = 0
        """In files of living processes, when it last looked."""
        self._losses = losses

    @property
    def pending(self) -> int:
        return sum(segment.events for segment in self.segments)

    @property
    def pending_bytes(self) -> int:
        return sum(segment.bytes for segment in self.segments)

    @property
    def taken_bytes(self) -> int:
        """What others left or hold of the folder's bound. Rejected events have a bound of their own, the same again: to
        send them once more must not cost a living agent its room.
        """
        return self.others_bytes + sum(segment.bytes for segment in self.segments if not _is_again(segment.path))

    def look(self, *, except_for: set[Path]) -> None:
        """Take over what has no living owner, and delete what is empty."""
        self.drop_empty()
        self._keep_named()
        taken = {segment.path for segment in self.segments} | except_for
        self.others_bytes = 0
        try:
            check_folder(self.folder)
        except OSError:
            return  # what others may have put there would be sent under this process's key
        for path in spool_files(self.folder):
            if path in taken or is_being_made(path):
                continue
            segment = take(path) if len(self.segments) < MAX_OPEN_FILES else None
            if segment is None:
                self.others_bytes += 0 if _is_again(path) else _size(path)
            elif segment.bytes == 0:
                segment.remove()
            else:
                self.segments.append(segment)

    def finds_any(self) -> bool:
        """Something waits in the folder that a dead process left; nothing is taken over. Costs little where not."""
        try:
            check_folder(self.folder)
            names = [entry.name for entry in os.scandir(self.folder) if _SPOOL_FILE.fullmatch(entry.name)]
        except OSError:
            return False
        held = {segment.path for segment in self.segments}
        return any(_is_left(self.folder / name) for name in names[:MAX_LOOKED_AT] if self.folder / name not in held)

    def _keep_named(self) -> None:
        for segment in self.segments:
            with suppress(OSError):  # next time, then; it can still be sent
                segment.keep_named()

    def expire(self, held_before: float) -> None:
        """Give up what was adopted before a time of the monotonic clock.

        Not by the files' own times: they tell what some clock said, and a clock that is set right, or wrong, by a
        month would make every file a month old that minute.
        """
        for segment in [segment for segment in self.segments if segment.held_since < held_before]:
            self._losses.count("expired", segment.events)
            self.segments.remove(segment)
            segment.remove()

    def drop_empty(self) -> None:
        for segment in [segment for segment in self.segments if segment.bytes == 0 or segment.is_lost]:
            self.segments.remove(segment)
            segment.remove()

    def release(self, *, is_in_child: bool = False) -> None:
        """Let go of all, so that another process can adopt them. In a forked child the parent still holds them."""
        for segment in self.segments:
            segment.close(is_in_child=is_in_child)
        self.segments = []


def spool_files(folder: Path) -> Iterator[Path]:
    """Files of events, the oldest first; none when there is no folder."""
    try:
        names = [entry.name for entry in os.scandir(folder) if _SPOOL_FILE.fullmatch(entry.name)]
    except OSError:
        return
    yield from sorted((folder / name for name in names), key=_modified_at)


def is_being_made(path: Path) -> bool:
    """It has no lasting name yet, and whoever takes its lock now takes it from its maker."""
    return path.suffix == ".new" and _modified_at(path) > time.time() - UNNAMED_SECONDS


def take(path: Path) -> Segment | None:
    """The file, locked, if nobody alive owns it."""
    fd = open_file(path)
    if fd is None:
        return None
    try:
        state = os.fstat(fd)
        if try_lock(fd) and os.fstat(fd).st_nlink and path.stat().st_ino == state.st_ino:
            stop = os.fstat(fd).st_size
            events = count_lines(fd, 0, stop)
            return Segment(fd, path, start=0, stop=stop, events=max(events, 1) if stop else 0)
    except OSError:
        pass
    os.close(fd)
    return None


def _is_left(path: Path) -> bool:
    fd = None if is_being_made(path) else open_file(path)
    if fd is None:
        return False
    try:
        return os.fstat(fd).st_size > 0 and try_lock(fd)
    except OSError:
        return False
    finally:
        os.close(fd)


def open_file(path: Path) -> int | None:
    try:
        return open_own(path, os.O_RDWR)
    except OSError:
        return None


def _is_again(path: Path) -> bool:
    return path.name.endswith(AGAIN_SUFFIX)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
