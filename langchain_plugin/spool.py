"""Where a process's events wait for the server: a file of its own, one write for each append.

A write that returned outlives the process, however it ends (not a power cut: nothing is synced to the disk, which
would cost the agent milliseconds a call). The file's lock says that its owner lives; see `adoption.py` for the rest.
"""

from __future__ import annotations

import errno
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

from langchain_plugin.losses import Losses
from langchain_plugin.named_file import create, is_gone, read_at, write_again
from langchain_plugin.segment import Line, Segment, Source, count_lines, read_lines

SEGMENT_BYTES = 1_000_000
"""From here on the file is sealed and another begun: under a steady stream no file is ever fully acknowledged."""
SEGMENT_SECONDS = 24 * 3600
MEMORY_MAX_BYTES = 4_000_000
"""About 10,000 calls, where the folder cannot be written."""
REOPEN_AFTER_SECONDS = 10.0


class Mark(NamedTuple):
    """How many lines had been appended at some moment, to the file and to memory."""

    file: int
    memory: int


class Spool:
    """The events of one process.

    `append`, `pending`, `mark` and `has_settled` are for any thread; `keep_named`, `save_memory`, `close_if_empty` also
    for the one that ends the process, beside the sender's. Everything else is for whoever has the sender's turn.
    """

    def __init__(self, folder: Path, losses: Losses, *, max_bytes: int, wake: Callable[[], None]) -> None:
        self.folder = folder
        self.client_id: UUID = uuid4()
        self.room = max_bytes
        """Bytes the file may have: what the folder may hold, less what other processes' files hold."""
        self.complaint: OSError | None = None
        """Why events went to memory; the sender says it, since logging may block."""
        self.was_deleted = False
        """A file that events wait in lost its name, and was written again; the sender says it too."""
        self._max_bytes = max_bytes
        self._losses = losses
        self._wake = wake
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.RLock()
        # A lock that knows its owner from the instant it is taken. Noting the owner beside a plain lock leaves an
        # instant in between, and a signal handler that appends just then would wait for itself for ever.
        self._is_mine: Callable[[], bool] = self._lock._is_owned  # type: ignore[attr-defined]
        self._late: deque[tuple[bytes, int]] = deque()
        self._fd = -1
        self._path = Path()
        self._serial = 0
        self._opened_monotonic = 0.0
        self._open_again_monotonic = 0.0
        self._written = self._settled = 0
        self._sealed: deque[Segment] = deque()
        self._memory: deque[bytes] = deque()
        self._memory_bytes = 0
        self._file_in = self._file_out = self._memory_out = 0
        """Lines, a torn one among them."""
        self._wake_at_events: float = 1
        self._ends_torn = False
        self._identity = (0, 0)
        """Says which file is open: a descriptor can be closed by others, and its number be another file's then."""

    def after_fork(self) -> None:
        """In a child: its own name, file and locks. What the parent wrote, or holds in memory, the parent sends.

        Closing the inherited file matters: its lock is shared, and would say that the parent lives.
        """
        fd, sealed = self._fd, self._sealed
        self.client_id = uuid4()
        self._forget()
        _close(fd)
        for segment in sealed:
            segment.close()

    # ── on the caller's thread ───────────────────────────────────────────────────────────────────────────────────

    def append(self, data: bytes, events: int) -> None:
        """Keep `events` lines, each ended by a newline. Waits for nothing but another append.

        Raises nothing of its own. What a signal handler raises meanwhile passes through, and leaves no count wrong:
        the file's size says what was written.
        """
        if self._is_mine():
            # Called again below itself: by a signal, or by the garbage collector that closes an abandoned stream.
            self._late.append((data, events))
            return
        try:
            with self._lock:
                self._append(data, events)
                wake = self.pending >= self._wake_at_events
                if wake:
                    self._wake_at_events = math.inf
            if wake:
                self._wake()
        except BaseException:
            # It may have been the sender's start that was cut short: the next append wakes again.
            self._wake_at_events = 0
            raise
        if self._late:
            self._append_late()

    def _append_late(self) -> None:
        while self._late:
            try:
                late = self._late.popleft()
            except IndexError:
                return
            self.append(*late)

    def _append(self, data: bytes, events: int) -> None:
        if self._fd < 0 and not self._try_open():
            self._to_memory(data, events)
            return
        if self._written + len(data) > self.room:
            # What waits is older, and as true: dropping it to make room would cost the same, and a rewrite.
            self._losses.count("spool_full", events)
            return
        if self._ends_torn:
            data = b"\n" + data
        try:
            count = os.write(self._fd, data)
            if count == len(data):
                self._ends_torn = False
                self._written += count
                self._file_in += events
                return
            self._cut_off(count)
        except BaseException as error:
            # The write's own error, or what a signal handler raised: that comes just when a write that was made
            # returns, and may be an OSError too (TimeoutError is one).
            written = self._written
            self._believe_the_file()
            if not isinstance(error, OSError) or error.errno is None or self._written > written:
                raise
            self._to_memory(data.lstrip(b"\n"), events, error)
            return
        self._to_memory(data.lstrip(b"\n"), events, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def _cut_off(self, count: int) -> None:
        """Take the half of a line off that a full disk still took."""
        with suppress(OSError):
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - count)
        self._believe_the_file()

    def _believe_the_file(self) -> None:
        """Take the file's size for what was written: an append may have been cut short before it counted itself."""
        if self._fd < 0:
            return
        try:
            state = os.fstat(self._fd)
        except OSError:
            state = None
        if state is None or _identity(state) != self._identity:
            self._leave_file()
            return
        size = state.st_size
        if size > self._written:
            lines = count_lines(self._fd, self._written, size) - self._ends_torn
            self._ends_torn = read_at(self._fd, 1, size - 1) != b"\n"
            self._file_in += lines + self._ends_torn
        elif size < self._written:
            self._ends_torn = size > 0 and read_at(self._fd, 1, size - 1) != b"\n"
        self._written = size
        if size <= self._settled:
            self._settled = size
            # Nothing waits in it, whatever the counts say: a line that something else destroyed was counted too.
            self._file_out = self._file_in - sum(segment.events for segment in self._sealed)

    def _leave_file(self) -> None:
        """Something closed its descriptor, as programs do that become daemons, and with it went the lock.

        It is adopted like a dead process's, also by this one; a new name keeps the next file from replacing it.
        """
        self._fd = -1
        self.client_id = uuid4()
        self._written = self._settled = 0
        self._file_out = self._file_in - sum(segment.events for segment in self._sealed)

    def _to_memory(self, data: bytes, events: int, error: OSError | None = None) -> None:
        if error is not None:
            self.complaint = error
        if self._memory_bytes + len(data) > MEMORY_MAX_BYTES:
            self._losses.count("memory_full", events)
            return
        self._memory_bytes += len(data)
        self._memory.extend(data.splitlines())

    def _try_open(self) -> bool:
        now = time.monotonic()
        if now < self._open_again_monotonic:
            return False
        try:
            path = self.folder / f"{self.client_id}.jsonl"
            fd = create(path)
        except OSError as error:
            self._open_again_monotonic = now + REOPEN_AFTER_SECONDS
            self.complaint = error
            return False
        self._begin_file(fd)
        self._path = path
        self._opened_monotonic = now
        return True

    def _begin_file(self, fd: int) -> None:
        self._identity = _identity(os.fstat(fd))
        self._written = self._settled = 0
        self._ends_torn = False
        self._fd = fd

    # ── beside the caller's thread ───────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _held(self) -> Iterator[None]:
        with self._lock:
            yield
        if self._late and not self._is_mine():
            self._append_late()

    @property
    def pending(self) -> int:
        """Events that wait, in the file and in memory."""
        return self._file_in - self._file_out + len(self._memory)

    @property
    def pending_bytes(self) -> int:
        return self._written - self._settled + self._memory_bytes + sum(segment.bytes for segment in self._sealed)

    def arm(self, events: int) -> bool:
        """Wake the sender when so many events wait; False, and nothing armed, when they do already."""
        with self._held():
            if self.pending >= events:
                return False
            self._wake_at_events = events
            return True

    def mark(self) -> Mark:
        with self._held():
            self._believe_the_file()
            return Mark(self._file_in, self._memory_out + len(self._memory))

    def has_settled(self, mark: Mark) -> bool:
        return self._file_out >= mark.file and self._memory_out >= mark.memory

    def sources(self) -> list[Source]:
        """Where events wait, the oldest first."""
        self.drop_empty_segments()
        return [*(_SealedFile(self, segment) for segment in self._sealed), _ActiveFile(self), _Memory(self)]

    def seal(self, *, segment_bytes: int = SEGMENT_BYTES, segment_seconds: float = SEGMENT_SECONDS) -> None:
        """Begin another file when this one is long or old."""
        if self._fd < 0 or self._written == 0:
            return
        if self._written < segment_bytes and time.monotonic() - self._opened_monotonic < segment_seconds:
            return
        self.keep_named()
        with self._held():
            sealed_path = self.folder / f"{self.client_id}.{self._serial + 1}.jsonl"
            try:
                self._path.rename(sealed_path)
            except OSError:
                return  # it cannot be written: go on with the file that is open
            self._believe_the_file()
            events = self._file_in - self._file_out - sum(segment.events for segment in self._sealed)
            self._sealed.append(Segment(self._fd, sealed_path, start=self._settled, stop=self._written, events=events))
            self._serial += 1
            self._fd = -1
            self._try_open()
        self.drop_empty_segments()

    def drop_empty_segments(self) -> None:
        with self._held():  # at exit the main thread does this too
            while self._sealed and self._sealed[0].bytes == 0:
                segment = self._sealed.popleft()
                self._file_out += segment.events
                segment.remove()

    def keep_named(self) -> None:
        """Write what waits to new files where a cleaner, or a person, deleted those that it waits in.

        An open file can be written and read without its name, but nobody finds it when this process has ended.
        """
        with self._held():
            try:
                for segment in self._sealed:
                    self.was_deleted |= segment.keep_named()
                self._believe_the_file()
                if self._fd >= 0 and is_gone(self._fd, self._path):
                    self._replace_file()
            except OSError as error:
                self.complaint = error

    def _replace_file(self) -> None:
        gone, waits, ends_torn = self._fd, self._written - self._settled, self._ends_torn
        if waits:
            fd = write_again(gone, self._settled, self._written, self._path)
            self._begin_file(fd)
            self._written, self._ends_torn = waits, ends_torn
            self.was_deleted = True
        else:
            self._fd = -1  # the next append makes one
        _close(gone)

    def expire(self, held_before: float) -> None:
        """Give up sealed segments that were sealed before a time of the monotonic clock."""
        while self._sealed and self._sealed[0].held_since < held_before:
            with self._held():
                segment = self._sealed.popleft()
                self._file_out += segment.events
            self._losses.count("expired", segment.events)
            segment.remove()

    def make_room(self, others_bytes: int) -> None:
        """Share the folder's bound with what other processes left or hold there."""
        self.room = max(0, self._max_bytes - others_bytes - sum(segment.bytes for segment in self._sealed))

    def own_files(self) -> set[Path]:
        with self._held():
            return {self._path, *(segment.path for segment in self._sealed)}

    def save_memory(self) -> int:
        """At exit: write what waits in memory to the file, should that be possible by now; how many events stay."""
        with self._held():
            self._open_again_monotonic = 0.0
            if self._fd < 0 and not self._try_open():
                return len(self._memory)
            for _ in range(len(self._memory)):
                waited = len(self._memory)
                data = self._memory.popleft() + b"\n"
                self._memory_bytes -= len(data)
                self._append(data, 1)
                if len(self._memory) == waited:
                    break  # it came back
                self._memory_out += 1
            return len(self._memory)

    def close_if_empty(self) -> None:
        """At exit: leave no empty file behind. A later append opens a new one."""
        self.drop_empty_segments()
        with self._held():
            self._believe_the_file()
            if self._fd >= 0 and self._settled >= self._written and not self._sealed:
                with suppress(OSError):
                    self._path.unlink(missing_ok=True)
                # Forgotten first: a child that is forked in between would close it again, when it is another's.
                fd, self._fd = self._fd, -1
                _close(fd)


def _identity(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino


def _close(fd: int) -> None:
    if fd >= 0:
        with suppress(OSError):
            os.close(fd)


class _SealedFile:
    def __init__(self, spool: Spool, segment: Segment) -> None:
        self._spool = spool
        self._segment = segment

    def read(self, max_events: int, max_bytes: int) -> list[Line]:
        return self._segment.read(max_events, max_bytes)

    def settle(self, end: int, lines: int) -> None:
        with self._spool._held():
            waited = self._segment.events
            self._segment.settle(end, lines)
            self._spool._file_out += waited - self._segment.events
        self._spool.drop_empty_segments()


class _ActiveFile:
    """What was written so far. The size is taken while no append is under way, so a line is never half of one."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        with spool._held():
            spool._believe_the_file()
            self._identity = spool._identity
            self._fd, self._start, self._stop = spool._fd, spool._settled, spool._written

    def read(self, max_events: int, max_bytes: int) -> list[Line]:
        return [] if self._fd < 0 else read_lines(self._fd, self._start, self._stop, max_events, max_bytes)

    def settle(self, end: int, lines: int) -> None:
        spool = self._spool
        with spool._held():
            spool._believe_the_file()
            if spool._fd < 0 or spool._identity != self._identity:
                return  # it was replaced meanwhile: what was sent is sent again, and counted once
            spool._file_out += lines
            spool._settled = end
            spool._believe_the_file()
            if spool._settled >= spool._written > 0:
                with suppress(OSError):
                    os.ftruncate(self._fd, 0)
                    spool._written = spool._settled = 0
                    spool._ends_torn = False


class _Memory:
    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def read(self, max_events: int, max_bytes: int) -> list[Line]:
        lines: list[Line] = []
        with self._spool._held():
            for data in self._spool._memory:
                max_bytes -= len(data) + 1
                if len(lines) == max_events or max_bytes < 0:
                    break
                lines.append(Line(data, len(lines) + 1))
        return lines

    def settle(self, end: int, lines: int) -> None:
        spool = self._spool
        with spool._held():
            for _ in range(end):
                spool._memory_bytes -= len(spool._memory.popleft()) + 1
            spool._memory_out += end
