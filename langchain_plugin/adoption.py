"""What dead processes left in the folder: found by their locks, which died with them, and sent by whoever lives.

Two that look at once are told apart by the lock. One that opened a file just before another finished and deleted it
gets the lock of a file without a name, and lets go of it.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from langchain_plugin.file_lock import try_lock
from langchain_plugin.losses import Losses
from langchain_plugin.segment import Segment, count_lines

KEEP_SECONDS = 30 * 24 * 3600
MAX_OPEN_FILES = 64
UNNAMED_SECONDS = 60.0
"""A file has its first name for microseconds, before its owner has the lock; one this old was left by a crash."""
_SPOOL_FILE = re.compile(r"([0-9a-f-]{36})(\.\d+)?\.(jsonl|new)")


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

    def look(self, *, except_for: set[Path], now: float | None = None) -> None:
        """Take over what has no living owner; delete what is empty, or older than 30 days."""
        oldest = (time.time() if now is None else now) - KEEP_SECONDS
        taken = {segment.path for segment in self.segments} | except_for
        self.others_bytes = 0
        for path in spool_files(self.folder):
            if path in taken or (path.suffix == ".new" and _modified_at(path) > time.time() - UNNAMED_SECONDS):
                continue
            segment = take(path) if len(self.segments) < MAX_OPEN_FILES else None
            if segment is None:
                self.others_bytes += _size(path)
            elif segment.bytes == 0:
                segment.remove()
            elif segment.last_written_at() < oldest:
                self._losses.count("expired", segment.events)
                segment.remove()
            else:
                self.segments.append(segment)

    def drop_empty(self) -> None:
        for segment in [segment for segment in self.segments if segment.bytes == 0]:
            self.segments.remove(segment)
            segment.remove()

    def release(self) -> None:
        """Let go of all, so that another process can adopt them. In a forked child the parent still holds them."""
        for segment in self.segments:
            segment.close()
        self.segments = []


def spool_files(folder: Path) -> Iterator[Path]:
    """Files of events, the oldest first; none when there is no folder."""
    try:
        names = [entry.name for entry in os.scandir(folder) if _SPOOL_FILE.fullmatch(entry.name)]
    except OSError:
        return
    yield from sorted((folder / name for name in names), key=_modified_at)


def take(path: Path) -> Segment | None:
    """The file, locked, if nobody alive owns it."""
    fd = open_file(path)
    if fd is None:
        return None
    try:
        state = os.fstat(fd)
        if (
            stat.S_ISREG(state.st_mode)
            and try_lock(fd)
            and os.fstat(fd).st_nlink
            and path.stat().st_ino == state.st_ino
        ):
            stop = os.fstat(fd).st_size
            events = count_lines(fd, 0, stop)
            return Segment(fd, path, start=0, stop=stop, events=max(events, 1) if stop else 0)
    except OSError:
        pass
    os.close(fd)
    return None


def open_file(path: Path) -> int | None:
    flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        return os.open(path, flags)
    except OSError:
        return None


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
