"""Where a process's events wait for the server: a file of its own, one write for each append.

A write that returned outlives the process, however it ends (not a power cut: nothing is synced to the disk, which
would cost the agent milliseconds a call). The file's lock says that its owner lives; see `adoption.py` for the rest.
"""

from __future__ import annotations

import errno
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

from langchain_plugin.file_lock import try_lock
from langchain_plugin.losses import Losses
from langchain_plugin.segment import Line, Segment, Source, read_lines

SEGMENT_BYTES = 1_000_000
"""From here on the file is sealed and another begun: under a steady stream no file is ever fully acknowledged."""
SEGMENT_SECONDS = 24 * 3600
MEMORY_MAX_BYTES = 4_000_000
"""About 10,000 calls, where the folder cannot be written."""
REOPEN_AFTER_SECONDS = 10.0


class Mark(NamedTuple):
    """How many events had been appended at some moment, to the file and to memory."""

    file: int
    memory: int


class Spool:
    """The events of one process. `append` is for any thread; everything else is for the sender's."""

    def __init__(self, folder: Path, losses: Losses, *, max_bytes: int, wake: Callable[[], None]) -> None:
        self.folder = folder
        self.client_id: UUID = uuid4()
        self.room = max_bytes
        """Bytes the file may have: what the folder may hold, less what other processes' files hold."""
        self.complaint: OSError | None = None
        """Why events went to memory; the sender says it, since logging may block."""
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
        self._opened_at = 0.0
        self._open_again_at = 0.0
        self._written = self._settled = 0
        self._sealed: deque[Segment] = deque()
        self._memory: deque[bytes] = deque()
        self._memory_bytes = 0
        self._file_in = self._file_out = self._memory_in = self._memory_out = 0
        self._wake_at: float = 1
        self._ends_torn = False

    def after_fork(self) -> None:
        """In a child: its own name, file and locks. What the parent wrote, or holds in memory, the parent sends.

        Closing the inherited file matters: its lock is shared, and would say that the parent lives.
        """
        inherited = [self._fd, *(segment._fd for segment in self._sealed)]
        self.client_id = uuid4()
        self._forget()
        for fd in inherited:
            if fd >= 0:
                os.close(fd)

    # ── on the caller's thread ───────────────────────────────────────────────────────────────────────────────────

    def append(self, data: bytes, events: int) -> None:
        """Keep `events` lines, each ended by a newline. Raises nothing, waits for nothing but another append."""
        if self._is_mine():
            # Called again below itself: by a signal, or by the garbage collector that closes an abandoned stream.
            self._late.append((data, events))
            return
        with self._lock:
            self._append(data, events)
            wake = self.pending >= self._wake_at
            if wake:
                self._wake_at = math.inf
        if wake:
            self._wake()
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
        except OSError as error:
            self._to_memory(data.lstrip(b"\n"), events, error)
            return
        if count == len(data):
            self._ends_torn = False
            self._written += count
            self._file_in += events
            return
        try:
            os.ftruncate(self._fd, self._written)
        except OSError:
            self._ends_torn = True
            self._written += count
        self._to_memory(data.lstrip(b"\n"), events, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def _to_memory(self, data: bytes, events: int, error: OSError | None = None) -> None:
        if error is not None:
            self.complaint = error
        if self._memory_bytes + len(data) > MEMORY_MAX_BYTES:
            self._losses.count("memory_full", events)
            return
        self._memory.extend(data.splitlines())
        self._memory_bytes += len(data)
        self._memory_in += events

    def _try_open(self) -> bool:
        now = time.monotonic()
        if now < self._open_again_at:
            return False
        try:
            self._fd, self._path = self._create()
        except OSError as error:
            self._open_again_at = now + REOPEN_AFTER_SECONDS
            self.complaint = error
            return False
        self._opened_at = now
        self._written = self._settled = 0
        self._ends_torn = False
        return True

    def _create(self) -> tuple[int, Path]:
        """A new file, locked before it has a name that others would adopt."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{self.client_id}.jsonl"
        # Windows renames no open file; there another process may win the lock in between, and memory has to do.
        unnamed = path if sys.platform == "win32" else path.with_suffix(".new")
        fd = os.open(unnamed, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            is_ours = try_lock(fd)
            if is_ours:
                unnamed.rename(path)
        except OSError:
            os.close(fd)
            with suppress(OSError):
                unnamed.unlink(missing_ok=True)
            raise
        if not is_ours:
            os.close(fd)
            raise OSError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK), str(unnamed))
        return fd, path

    # ── on the sender's thread ───────────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _held(self) -> Iterator[None]:
        with self._lock:
            yield
        if self._late:
            self._append_late()

    @property
    def pending(self) -> int:
        """Events that wait, in the file and in memory."""
        return self._file_in - self._file_out + self._memory_in - self._memory_out

    @property
    def pending_bytes(self) -> int:
        return self._written - self._settled + self._memory_bytes + sum(segment.bytes for segment in self._sealed)

    def arm(self, events: int) -> bool:
        """Wake the sender when so many events wait; False, and nothing armed, when they do already."""
        with self._held():
            if self.pending >= events:
                return False
            self._wake_at = events
            return True

    def mark(self) -> Mark:
        with self._held():
            return Mark(self._file_in, self._memory_in)

    def has_settled(self, mark: Mark) -> bool:
        return self._file_out >= mark.file and self._memory_out >= mark.memory

    def sources(self) -> list[Source]:
        """Where events wait, the oldest first."""
        return [*(_SealedFile(self, segment) for segment in self._sealed), _ActiveFile(self), _Memory(self)]

    def seal(self, *, segment_bytes: int = SEGMENT_BYTES, segment_seconds: float = SEGMENT_SECONDS) -> None:
        """Begin another file when this one is long or old."""
        if self._fd < 0 or self._written == 0:
            return
        if self._written < segment_bytes and time.monotonic() - self._opened_at < segment_seconds:
            return
        with self._held():
            sealed_path = self.folder / f"{self.client_id}.{self._serial + 1}.jsonl"
            try:
                self._path.rename(sealed_path)
            except OSError:
                return  # the folder is gone or cannot be written: go on with the file that is open
            events = self._file_in - self._file_out - sum(segment.events for segment in self._sealed)
            self._sealed.append(Segment(self._fd, sealed_path, start=self._settled, stop=self._written, events=events))
            self._serial += 1
            self._fd = -1
            self._try_open()
        self.drop_empty_segments()

    def drop_empty_segments(self) -> None:
        with self._held():  # at exit the main thread does this too
            while self._sealed and self._sealed[0].bytes == 0:
                self._sealed.popleft().remove()

    def expire(self, written_before: float) -> None:
        """Drop sealed segments that were last written to before a time (Unix seconds)."""
        while self._sealed and self._sealed[0].last_written_at() < written_before:
            segment = self._sealed.popleft()
            with self._held():
                self._file_out += segment.events
            self._losses.count("expired", segment.events)
            segment.remove()

    def make_room(self, others_bytes: int) -> None:
        """Share the folder's bound with what other processes left or hold there."""
        self.room = max(0, self._max_bytes - others_bytes - sum(segment.bytes for segment in self._sealed))

    def own_files(self) -> set[Path]:
        with self._held():
            return {self._path, *(segment.path for segment in self._sealed)}

    def close_if_empty(self) -> None:
        """At exit: leave no empty file behind. A later append opens a new one."""
        self.drop_empty_segments()
        with self._held():
            if self._fd >= 0 and self._settled >= self._written and not self._sealed:
                with suppress(OSError):
                    self._path.unlink(missing_ok=True)
                os.close(self._fd)
                self._fd = -1


class _SealedFile:
    def __init__(self, spool: Spool, segment: Segment) -> None:
        self._spool = spool
        self._segment = segment

    def read(self, max_events: int, max_bytes: int) -> list[Line]:
        return self._segment.read(max_events, max_bytes)

    def settle(self, end: int, events: int) -> None:
        with self._spool._held():
            self._segment.settle(end, events)
            self._spool._file_out += events
        self._spool.drop_empty_segments()


class _ActiveFile:
    """What was written so far. A line is read only after its append has counted it, so never half of one."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        with spool._held():
            self._fd, self._start, self._stop = spool._fd, spool._settled, spool._written

    def read(self, max_events: int, max_bytes: int) -> list[Line]:
        return [] if self._fd < 0 else read_lines(self._fd, self._start, self._stop, max_events, max_bytes)

    def settle(self, end: int, events: int) -> None:
        spool = self._spool
        with spool._held():
            spool._file_out += events
            spool._settled = end
            if end == spool._written:
                try:
                    os.ftruncate(self._fd, 0)
                except OSError:
                    return
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

    def settle(self, end: int, events: int) -> None:
        spool = self._spool
        with spool._held():
            for _ in range(end):
                spool._memory_bytes -= len(spool._memory.popleft()) + 1
            spool._memory_out += end
