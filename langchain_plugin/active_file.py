"""The file that a process appends its events to: what was written, what of it is settled, and if it is still there.

Its size is believed before any count: an append may have been cut short by a signal before it counted itself, and
something else may have cut the file, closed its descriptor or deleted its name.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from langchain_plugin.held_file import HeldFile, moved_out_of_the_way
from langchain_plugin.named_file import is_gone, read_at, write_again
from langchain_plugin.segment import Line, Segment, count_lines, read_lines

LOOK_SECONDS = 0.1
"""How long an append believes that its descriptor is this file's still, where its number is far from all others."""


class ActiveFile(HeldFile):
    """One open, locked file. Whoever calls this holds the spool's lock, but for `read`.

    Args:
        fd: As `named_file` made it just now; the file may get another.
        path: Where it has its name.
        on_left: Told how many lines wait no longer: they were settled, or are lost with the file.

    """

    def __init__(self, fd: int, path: Path, on_left: Callable[[int], None]) -> None:
        far = moved_out_of_the_way(fd)
        super().__init__(fd if far is None else far)
        self.is_out_of_the_way = far is not None
        """Its number is far from those that other files get."""
        self.path = path
        self.events = 0
        """Lines that wait in it, a torn one among them."""
        self.written = 0
        self.settled = 0
        """Bytes from its start, both."""
        self.opened_monotonic = time.monotonic()
        self._on_left = on_left
        self._ends_torn = False
        self._look_seconds = LOOK_SECONDS if self.is_out_of_the_way else 0.0
        self._look_again_monotonic = 0.0

    def append(self, data: bytes, events: int) -> OSError | None:
        """Write lines at its end; the error where nothing of them could be kept (`fd` is -1 where it was closed).

        What a signal handler raises meanwhile passes through; the file's size then says what was written.
        """
        if self._ends_torn:
            data = b"\n" + data
        try:
            now = time.monotonic()
            if now >= self._look_again_monotonic:
                if self._state_of(self.fd) is None:
                    self.believe_size()
                    return OSError(errno.EBADF, os.strerror(errno.EBADF))
                self._look_again_monotonic = now + self._look_seconds
            count = os.write(self.fd, data)
            if count == len(data):
                self._ends_torn = False
                self.written += count
                self.events += events
                return None
            self._cut_off(count)
        except BaseException as error:
            # The write's own error, or what a signal handler raised: that comes just when a write that was made
            # returns, and may be an OSError too (TimeoutError is one).
            written = self.written
            self.believe_size()
            if not isinstance(error, OSError) or error.errno is None or self.written > written:
                raise
            return error
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def believe_size(self) -> None:
        """Take the file's size for what was written."""
        was_open = self.fd >= 0
        state = self.state()
        if state is None:
            if was_open:
                self.written = self.settled = 0
                self._let_go_of(self.events)
            return
        size = state.st_size
        if size > self.written:
            lines = count_lines(self.fd, self.written, size) - self._ends_torn
            self._ends_torn = read_at(self.fd, 1, size - 1) != b"\n"
            self.events += lines + self._ends_torn
        elif size < self.written:
            self._ends_torn = size > 0 and read_at(self.fd, 1, size - 1) != b"\n"
        self.written = size
        if size <= self.settled:
            self.settled = size
            # Nothing waits in it, whatever the count says: a line that something else destroyed was counted too.
            self._let_go_of(self.events)

    def read(self, start: int, stop: int, max_events: int, max_bytes: int) -> list[Line]:
        """Lines between two positions, at most so many; none when it is closed."""
        # One that is not its own any more is let go of by whoever holds the spool's lock.
        with self.reading() as fd:
            return [] if fd < 0 else read_lines(fd, start, stop, max_events, max_bytes)

    def settle(self, end: int, lines: int) -> None:
        """Everything before `end` needs to be kept no longer; nothing is changed where it was closed meanwhile."""
        self.believe_size()
        if self.fd < 0:
            return
        self._let_go_of(min(lines, self.events))
        self.settled = end
        self.believe_size()
        if self.settled >= self.written > 0:
            with suppress(OSError):
                os.ftruncate(self.fd, 0)
                self.written = self.settled = 0
                self._ends_torn = False

    def is_gone(self) -> bool:
        """It is open, and nobody else will find it under its name any more."""
        self.believe_size()
        return self.fd >= 0 and is_gone(self.fd, self.path)

    def written_again(self) -> ActiveFile:
        """A new file under the same name, with what waits in this one.

        Raises:
            OSError: It cannot be written; what waits can still be read from this one.

        """
        waits = self.written - self.settled
        again = ActiveFile(write_again(self.fd, self.settled, self.written, self.path), self.path, self._on_left)
        again.written, again.events = waits, self.events
        again.opened_monotonic, again._ends_torn = self.opened_monotonic, self._ends_torn
        return again

    def seal(self, path: Path) -> Segment:
        """Itself as a segment, under the name it has been given; this object is closed then."""
        segment = Segment(self.fd, path, start=self.settled, stop=self.written, events=self.events)
        self.fd = -1
        return segment

    def _cut_off(self, count: int) -> None:
        """Take the half of a line off that a full disk still took."""
        with suppress(OSError):
            os.ftruncate(self.fd, os.fstat(self.fd).st_size - count)
        self.believe_size()

    def _let_go_of(self, events: int) -> None:
        self.events -= events
        self._on_left(events)
