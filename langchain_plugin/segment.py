"""Reading a file of events, one JSON object a line, from a position on. Whole lines only, and never many at once."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from langchain_plugin.held_file import HeldFile
from langchain_plugin.named_file import is_gone, read_at, write_again

WINDOW_BYTES = 1_000_000
"""What is read of a file at once: longer than any event."""


class Line(NamedTuple):
    data: bytes
    """Without its newline; may be torn."""
    end: int
    """The position behind it."""


class Source(Protocol):
    """Somewhere events wait, in order. What was read stays there until it is settled."""

    def read(self, max_events: int, max_bytes: int) -> list[Line]:
        """The next lines; no more than both limits allow."""

    def settle(self, end: int, lines: int) -> None:
        """Everything before `end`, read as so many lines, torn ones too, needs to be kept no longer."""


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
    """A file nobody writes to any more, locked by this process. It is deleted when all of it is settled.

    Its positions stay what they are when it has to be written again, without what is settled: whoever has read from it
    on another thread settles by them.
    """

    def __init__(self, fd: int, path: Path, *, start: int, stop: int, events: int) -> None:
        self.path = path
        self.events = events
        """That wait in it, a torn line among them."""
        self.held_since = time.monotonic()
        self._position = start
        self._stop = stop
        self._file = HeldFile(fd), 0
        """And the position of its first byte."""

    @property
    def bytes(self) -> int:
        return self._stop - self._position

    @property
    def fd(self) -> int:
        return self._file[0].fd

    @property
    def is_lost(self) -> bool:
        """Something closed its descriptor, and so gave its lock away: it is to be adopted again."""
        return self._file[0].state() is None

    def read(self, max_events: int, max_bytes: int) -> list[Line]:
        file, begin = self._file
        with file.reading() as fd:
            if fd < 0:
                return []  # removed, since the ones before it were settled meanwhile; or lost
            # Shorter than it was, if something else cut it: what is not there must not be waited for.
            self._stop = max(self._position, min(self._stop, begin + os.fstat(fd).st_size))
            lines = read_lines(fd, self._position - begin, self._stop - begin, max_events, max_bytes)
        return [Line(line.data, line.end + begin) for line in lines]

    def settle(self, end: int, lines: int) -> None:
        self._position = max(self._position, end)
        self.events = max(0, self.events - lines)

    def keep_named(self) -> bool:
        """Write what waits to a new file if this one was deleted; True when that was so.

        Raises:
            OSError: It cannot be written now; what waits can still be read.

        """
        file, begin = self._file
        if file.state() is None or not is_gone(file.fd, self.path):
            return False
        position = self._position
        again = write_again(file.fd, position - begin, self._stop - begin, self.path)
        self._file = HeldFile(again), position
        file.close()
        return True

    def remove(self) -> None:
        """Delete the file, while the lock still keeps others from opening it in between."""
        if not self.is_lost:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
        self.close()

    def close(self, *, is_in_child: bool = False) -> None:
        """Let go of it; the next process adopts what is left. `is_in_child`: of a fork."""
        self._file[0].close(is_in_child=is_in_child)
