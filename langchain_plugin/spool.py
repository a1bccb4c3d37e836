"""Where a process's events wait for the server: a file of its own, one write for each append.

A write that returned outlives the process, however it ends (not a power cut: nothing is synced to the disk, which
would cost the agent milliseconds a call). The file's lock says that its owner lives; see `adoption.py` for the rest.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from uuid import UUID, uuid4

from langchain_plugin.active_file import ActiveFile
from langchain_plugin.losses import Losses
from langchain_plugin.memory_lines import MemoryLines
from langchain_plugin.named_file import create
from langchain_plugin.segment import Segment, Source
from langchain_plugin.sources import ActiveSource, MemorySource, SealedSource

SEGMENT_BYTES = 1_000_000
"""From here on the file is sealed and another begun: under a steady stream no file is ever fully acknowledged."""
SEGMENT_SECONDS = 24 * 3600
REOPEN_AFTER_SECONDS = 10.0


SETTLED_BYTES = 100_000
"""As much of it may be settled before the same: others, who look at its size, take it for waiting."""
SAVED_AT_ONCE_BYTES = 100_000


class Mark(NamedTuple):
    """How many lines had been appended at some moment, to files and to memory."""

    files: int
    memory: int
    saves: int
    """How often lines of the memory had been written to a file."""


class Spool:
    """The events of one process.

    `append`, `pending`, `mark` and `has_settled` are for any thread; `keep_named`, `save_memory`, `close_if_empty` also
    for the one that ends the process, beside the sender's. Everything else is for whoever has the sender's turn.

    Args:
        folder: Made with the first event.
        losses: Told of what does not fit.
        max_bytes: What the folder may hold.
        wake: Called when the sender has something to do; False says that it could not be started, and is to be
            called again with the next event.

    """

    def __init__(self, folder: Path, losses: Losses, *, max_bytes: int, wake: Callable[[], bool | None]) -> None:
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
        self._file: ActiveFile | None = None
        self._sealed: deque[Segment] = deque()
        self._memory = MemoryLines()
        self._files_left = 0
        """Lines that waited in a file and wait no longer."""
        self._saves = 0
        self._files_at_save = 0
        """How many lines had been appended to files when lines of the memory were last written to one."""
        self._serial = 0
        self._open_again_monotonic = 0.0
        self._wake_at_events: float = 1

    def after_fork(self) -> None:
        """In a child: its own name, file and locks. What the parent wrote, or holds in memory, the parent sends.

        Closing the inherited file matters: its lock is shared, and would say that the parent lives.
        """
        self.let_go(is_in_child=True)

    def let_go(self, *, is_in_child: bool = False) -> None:
        """Close all files, and begin anew under another name."""
        file, sealed = self._file, self._sealed
        self.client_id = uuid4()
        self._forget()
        if file is not None:
            file.close(is_in_child=is_in_child)
        for segment in sealed:
            segment.close(is_in_child=is_in_child)

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
                if events:
                    self._append(data, events)
                if self._late:
                    self._append_late()
                wake = self.pending >= self._wake_at_events
                if wake:
                    self._wake_at_events = math.inf
            if wake and self._wake() is False:
                self._wake_at_events = 0
        except BaseException:
            # It may have been the sender's start that was cut short: the next append wakes again.
            self._wake_at_events = 0
            raise
        if self._late:
            self.append(b"", 0)

    def _append_late(self) -> None:
        """In a loop, since hundreds may have come; each is let go of when it is written, should a signal raise."""
        while self._late:
            self._append(*self._late[0])
            self._late.popleft()

    def _append(self, data: bytes, events: int) -> None:
        file = self._file
        if file is None or file.fd < 0:
            file = self._try_open()
        if file is not None:
            if file.written - file.settled + len(data) > self.room:
                # What waits is older, and as true: dropping it to make room would cost the same, and a rewrite.
                self._losses.count("spool_full", events)
                return
            error = file.append(data, events)
            if error is not None and file.fd < 0 and (file := self._try_open()) is not None:
                error = file.append(data, events)  # something had closed it just before
            if error is None:
                if self._memory.bytes:
                    self._save_memory()  # the disk was full for a moment, and a kill would take what it would not have
                return
            self.complaint = error
        self._to_memory(data, events)

    def _to_memory(self, data: bytes, events: int) -> None:
        if not self._memory.append(data):
            self._losses.count("memory_full", events)

    def _try_open(self) -> ActiveFile | None:
        now = time.monotonic()
        if now < self._open_again_monotonic:
            return None
        if self._file is not None:
            # Something closed it. A new name keeps the next file from replacing it before it is adopted.
            self.client_id = uuid4()
            self._file = None
        path = self.folder / f"{self.client_id}.jsonl"
        try:
            self._file = ActiveFile(create(path), path, self._left)
        except OSError as error:
            self._open_again_monotonic = now + REOPEN_AFTER_SECONDS
            self.complaint = error
        return self._file

    def _left(self, events: int) -> None:
        self._files_left += events

    # ── beside the caller's thread ───────────────────────────────────────────────────────────────────────────────

    @contextmanager
    def _held(self) -> Iterator[None]:
        with self._lock:
            yield
        while self._late and not self._is_mine():
            self.append(b"", 0)

    @property
    def pending(self) -> int:
        """Events that wait, in files and in memory."""
        return self._in_files() + len(self._memory)

    @property
    def pending_bytes(self) -> int:
        file = self._file
        written = file.written - file.settled if file is not None else 0
        return written + self._memory.bytes + self._sealed_bytes()

    def _in_files(self) -> int:
        file = self._file
        events = file.events if file is not None else 0
        # A copy: others may look while the sender drops one.
        return events + sum(segment.events for segment in tuple(self._sealed)) if self._sealed else events

    def _sealed_bytes(self) -> int:
        return sum(segment.bytes for segment in tuple(self._sealed))

    def note(self, line: bytes) -> bool:
        """Keep a line that is no event, and is kept though the folder is full; False where it cannot be written.

        The sender is not woken: this is for itself, or for who is about to have all of it sent.
        """
        with self._held():
            file = self._file
            if file is None or file.fd < 0:
                file = self._try_open()
            return file is not None and file.append(line, 1) is None

    def arm(self, events: int) -> bool:
        """Wake the sender when so many events wait; False, and nothing armed, when they do already."""
        with self._held():
            if self.pending >= events:
                return False
            self._wake_at_events = events
            return True

    def mark(self) -> Mark:
        with self._held():
            if self._file is not None:
                self._file.believe_size()
            return Mark(self._files_left + self._in_files(), self._memory.left + len(self._memory), self._saves)

    def has_settled(self, mark: Mark) -> bool:
        if self._files_left < mark.files or self._memory.left < mark.memory:
            return False
        # What left the memory for a file has settled with that.
        return mark.saves == self._saves or self._files_left >= self._files_at_save

    def sources(self) -> list[Source]:
        """Where events wait, the oldest first."""
        self.drop_empty_segments()
        with self._held():
            sources: list[Source] = [
                SealedSource(segment, self._held, self.drop_empty_segments, self._left) for segment in self._sealed
            ]
            if self._file is not None:
                sources.append(ActiveSource(self._file, self._held))
            return [*sources, MemorySource(self._memory, self._held)]

    def seal(self, *, segment_bytes: int = SEGMENT_BYTES, segment_seconds: float = SEGMENT_SECONDS) -> None:
        """Begin another file when this one is long or old."""
        file = self._file
        if file is None or file.written == 0:
            return
        is_long = file.written >= segment_bytes or file.settled >= SETTLED_BYTES
        if not is_long and time.monotonic() - file.opened_monotonic < segment_seconds:
            return
        self.keep_named()
        with self._held():
            file = self._file
            if file is None or file.fd < 0:
                return  # something closed it: it is another's to adopt, and to delete
            sealed_path = self.folder / f"{self.client_id}.{self._serial + 1}.jsonl"
            try:
                file.path.rename(sealed_path)
            except OSError:
                return  # it cannot be written: go on with the file that is open
            file.believe_size()
            if file.fd < 0:
                return
            self._sealed.append(file.seal(sealed_path))
            self._serial += 1
            self._file = None
            self._try_open()
        self.drop_empty_segments()

    def drop_empty_segments(self) -> None:
        with self._held():  # at exit the main thread does this too
            for segment in [segment for segment in self._sealed if segment.bytes == 0 or segment.is_lost]:
                self._sealed.remove(segment)
                self._left(segment.events)
                segment.remove()

    def keep_named(self) -> None:
        """Write what waits to new files where a cleaner, or a person, deleted those that it waits in.

        An open file can be written and read without its name, but nobody finds it when this process has ended.
        """
        with self._held():
            try:
                for segment in self._sealed:
                    self.was_deleted |= segment.keep_named()
                file = self._file
                if file is not None and file.is_gone():
                    waits = file.written > file.settled
                    self._file = file.written_again() if waits else None  # None: the next append makes one
                    self.was_deleted |= waits
                    file.close()
            except OSError as error:
                self.complaint = error

    def expire(self, held_before: float) -> None:
        """Give up sealed segments that were sealed before a time of the monotonic clock."""
        while self._sealed and self._sealed[0].held_since < held_before:
            with self._held():
                segment = self._sealed.popleft()
                self._left(segment.events)
            self._losses.count("expired", segment.events)
            segment.remove()

    def make_room(self, others_bytes: int) -> None:
        """Share the folder's bound with what other processes left or hold there."""
        self.room = max(0, self._max_bytes - others_bytes - self._sealed_bytes())

    def own_files(self) -> set[Path]:
        with self._held():
            own = {segment.path for segment in self._sealed}
            if self._file is not None and self._file.fd >= 0:
                own.add(self._file.path)
            return own

    def save_memory(self) -> int:
        """Write what waits in memory to the file, should that be possible by now; how many events stay."""
        with self._held():
            if self._memory.bytes:
                self._open_again_monotonic = 0.0
                self._save_memory()
            return len(self._memory)

    def _save_memory(self) -> None:
        file = self._file
        if file is None or file.fd < 0:
            file = self._try_open()
        while file is not None and (data := self._memory.oldest(SAVED_AT_ONCE_BYTES)):
            if file.written - file.settled + len(data) > self.room:
                return
            lines = data.count(b"\n")
            if (error := file.append(data, lines)) is not None:
                self.complaint = error
                return
            self._memory.forget_before(self._memory.left + lines)
            self._saves += 1
            self._files_at_save = self._files_left + self._in_files()

    def close_if_empty(self) -> None:
        """At exit: leave no empty file behind. A later append opens a new one."""
        self.drop_empty_segments()
        with self._held():
            file = self._file
            if file is None:
                return
            file.believe_size()
            if file.fd >= 0 and file.settled >= file.written and not self._sealed:
                with suppress(OSError):
                    file.path.unlink(missing_ok=True)
                self._file = None
                file.close()
