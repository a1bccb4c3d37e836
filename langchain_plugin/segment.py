"""Reading a file of events, one JSON object a line, from a position on. Whole lines only, and never many at once."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

WINDOW_BYTES = 1_000_000
"""What is read of a file at once: longer than any event."""

if sys.platform == "win32":

    def read_at(fd: int, count: int, position: int) -> bytes:
        os.lseek(fd, position, os.SEEK_SET)
        return os.read(fd, count)

else:
    read_at = os.pread


class Line(NamedTuple):
    data: bytes
    """Without its newline; may be torn."""
    end: int
    """The position behind it."""


class Source(Protocol):
    """Somewhere events wait, in order. What was read stays there until it is settled."""

    def read(self, max_events: int, max_bytes: int) -> list[Line]:
        """The next lines; no more than both limits allow."""

    def settle(self, end: int, events: int) -> None:
        """Everything before `end`, which held `events` readable events, needs to be kept no longer."""


def read_lines(fd: int, start: int, stop: int, max_events: int, max_bytes: int) -> list[Line]:
    """Lines between two positions: at least one where there is any, else no more than both limits allow.

    What has no newline within `WINDOW_BYTES` was never written by an append; it comes cut, and no reader takes it for
    an event.
    """
    data = read_at(fd, min(stop - start, WINDOW_BYTES), start) if start < stop and max_events > 0 else b""
    lines: list[Line] = []
    position = 0
    while position < len(data) and len(lines) < max_events:
        newline = data.find(b"\n", position)
        if newline >= 0:
            line = Line(data[position:newline], start + newline + 1)
        elif start + len(data) >= stop:
            line = Line(data[position:], stop)
        elif position == 0:
            line = Line(data, _next_line(fd, start + len(data), stop))
        else:
            break  # the rest of it lies behind the window
        if lines and line.end - start > max_bytes:
            break
        lines.append(line)
        position = line.end - start
    return lines


def _next_line(fd: int, position: int, stop: int) -> int:
    """The position behind the next newline, or `stop`."""
    while position < stop:
        data = read_at(fd, min(65_536, stop - position), position)
        if not data:
            break
        newline = data.find(b"\n")
        if newline >= 0:
            return position + newline + 1
        position += len(data)
    return stop


def count_lines(fd: int, start: int, stop: int) -> int:
    """Newlines between two positions, read in blocks."""
    count = 0
    while start < stop:
        data = read_at(fd, min(1_000_000, stop - start), start)
        if not data:
            break
        count += data.count(b"\n")
        start += len(data)
    return count


class Segment:
    """A file nobody writes to any more, locked by this process. It is deleted when all of it is settled."""

    def __init__(self, fd: int, path: Path, *, start: int, stop: int, events: int) -> None:
        self.path = path
        self.events = events
        """That wait in it."""
        self._fd = fd
        self._position = start
        self._stop = stop

    @property
    def bytes(self) -> int:
        return self._stop - self._position

    def read(self, max_events: int, max_bytes: int) -> list[Line]:
        return read_lines(self._fd, self._position, self._stop, max_events, max_bytes)

    def settle(self, end: int, events: int) -> None:
        self._position = end
        self.events = max(0, self.events - events)

    def last_written_at(self) -> float:
        """Unix seconds."""
        return os.fstat(self._fd).st_mtime

    def remove(self) -> None:
        """Delete the file, while the lock still keeps others from opening it in between."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of it; the next process adopts what is left."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
