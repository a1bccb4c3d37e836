"""The one way into a transaction that writes to the ledger.

SQLite has one writer at a time, and its own waiting is a lottery: under eight connections the unlucky waited over a
second. So writers queue, the threads of a process in its memory and processes at a file lock beside the database, and
BEGIN IMMEDIATE finds the way free. PostgreSQL lets
writers work side by side; there a shared advisory lock only keeps them apart from jobs that must be alone.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from django.db import OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from agents.database_file import file_name, require_same_file

try:
    import fcntl
except ImportError:  # pragma: no cover - where there is no flock, SQLite's own waiting must do
    fcntl = None  # type: ignore[assignment]  # a module elsewhere

log = logging.getLogger(__name__)

LEDGER_LOCK = 0x436F7374
"""Of PostgreSQL's advisory locks, the ledger's: "Cost" in ASCII."""

LONGEST_WAIT_SECONDS = 20.0
"""Then a writer gives up with OperationalError, as by SQLite's own `timeout`: one that hangs must not hang them all."""

_held = threading.local()


class AlreadyRunningError(RuntimeError):
    """A job that must be alone is at work in another process; its message says what to do."""


@contextmanager
def writing(*, alone: bool = False, first: bool = False) -> Iterator[None]:
    """A transaction on the ledger's tables. Keep it short: on SQLite everybody else waits.

    `alone`: no other such transaction runs meanwhile, on PostgreSQL too; for jobs that change what all writers rely on.
    `first`: goes before every batch that waits. For answers an agent waits for, such as leases.
    """
    if connection.in_atomic_block:
        # The caller's transaction holds SQLite's write lock already; waiting for the file now could only deadlock.
        with transaction.atomic():
            _enter(connection, alone)
            yield
        return
    after: list[Callable[[], object]] = []
    _held.after = after
    try:
        with _file_lock(connection, first):
            with transaction.atomic():
                _enter(connection, alone)
                yield
            # After the commit: one into a file that is no longer there must not be told to anybody.
            require_same_file(connection)
    finally:
        _held.after = None
    for act in after:
        try:
            act()
        except Exception:
            log.exception("What follows a transaction failed; the transaction itself stands.")


def after_writing(act: Callable[[], object]) -> None:
    """Do something when the transaction that is being written has been committed and its place is another's.

    `transaction.on_commit` alone would run it with the lock in hand, and everybody would wait for it.
    """
    after: list[Callable[[], object]] | None = getattr(_held, "after", None)
    # A function of our own in both cases: Django writes the name of what failed, and a partial has none.
    transaction.on_commit((lambda: act()) if after is None else (lambda: after.append(act)), robust=True)


@contextmanager
def only_job(name: str) -> Iterator[None]:
    """Do a job that must not run twice at a time; AlreadyRunningError when another process is at it.

    With SQLite a file lock beside the database, on PostgreSQL a session's advisory lock: both end with their process.
    """
    busy = AlreadyRunningError(f"{name} runs already, in another process; start it again when that has ended.")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", [LEDGER_LOCK, name])
            if not cursor.fetchone()[0]:
                raise busy
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", [LEDGER_LOCK, name])
        return
    path = _lock_path(connection)
    if path is None or fcntl is None:
        yield
        return
    descriptor = os.open(path.with_name(f"{name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        yield
    finally:
        _unlock(descriptor)


def _enter(connection: BaseDatabaseWrapper, alone: bool) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT pg_advisory_xact_lock{'' if alone else '_shared'}(%s)", [LEDGER_LOCK])


@contextmanager
def _file_lock(connection: BaseDatabaseWrapper, first: bool) -> Iterator[None]:
    path = _lock_path(connection)
    if path is None or fcntl is None or getattr(_held, "file", False):
        yield
        return
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    turns = _turns.setdefault(path, _Turns())
    if not turns.take(first, LONGEST_WAIT_SECONDS):
        raise _waited_in_vain()
    try:
        # Batches queue at the gate, so that at most one of a process stands beside whoever goes first. A lock dies with
        # its process; one that is stopped in a debugger while it writes makes the others give up, as inside SQLite.
        gate = None if first else _locked(path.with_name(path.name + ".gate"), deadline)
        try:
            lock = _locked(path, deadline)
        finally:
            if gate is not None:
                _unlock(gate)
        _held.file = True
        try:
            yield
        finally:
            _held.file = False
            _unlock(lock)
    finally:
        turns.pass_on()


class _Turns:
    """Whose turn it is among the threads of this process: in the order they came, whoever goes `first` ahead.

    Only the one whose turn it is stands at the files, where every wait and every wake is a call to the kernel.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Lock] = deque()

    def take(self, first: bool, seconds: float) -> bool:
        """True when it is the caller's turn, who passes it on; False when `seconds` went by."""
        with self._guard:
            if not self._taken:
                self._taken = True
                return True
            mine = threading.Lock()
            mine.acquire()
            if first:
                self._waiting.appendleft(mine)
            else:
                self._waiting.append(mine)
        try:
            if mine.acquire(timeout=seconds):
                return True
        except BaseException:  # interrupted while it waits
            if not self._withdraw(mine):
                self.pass_on()
            raise
        return not self._withdraw(mine)

    def pass_on(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False

    def _withdraw(self, mine: threading.Lock) -> bool:
        """False when the turn came at the last moment."""
        with self._guard:
            if mine not in self._waiting:
                return False
            self._waiting.remove(mine)
            return True


_turns: dict[Path, _Turns] = {}
"""By the file that processes queue at. A forked child begins anew, without the threads that wait in its parent."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_turns.clear)


def _waited_in_vain() -> OperationalError:
    return OperationalError(
        f"Another writer held the ledger for {LONGEST_WAIT_SECONDS:.0f} s; nothing was written. Try again; if it lasts,"
        " find the process that has the .write-lock file beside the database open, and end it."
    )


def _lock_path(connection: BaseDatabaseWrapper) -> Path | None:
    """Beside the database file; None where the database queues its writers itself."""
    name = file_name(connection)
    return None if name is None else Path(f"{name}.write-lock")


def _locked(path: Path, deadline: float) -> int:
    """The file's descriptor, locked. OperationalError when another process keeps it past `deadline` (monotonic)."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _wait_for(descriptor, deadline)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _wait_for(descriptor: int, deadline: float) -> None:
    # flock knows no timeout, and asking again and again would never meet a busy process between two of its batches. So
    # a thread stands in the kernel's queue, and gives back what comes too late.
    waited: Future[None] = Future()

    def wait() -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if waited.set_running_or_notify_cancel():
                waited.set_exception(error)
            os.close(descriptor)
            return
        if waited.set_running_or_notify_cancel():
            waited.set_result(None)
        else:
            _unlock(descriptor)

    threading.Thread(target=wait, name="write-lock", daemon=True).start()
    try:
        waited.result(timeout=max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        if waited.cancel():
            raise _waited_in_vain() from None
        waited.result()  # it came at the last moment
    except BaseException:
        if not waited.cancel() and waited.exception() is None:
            _unlock(descriptor)
        raise


def _unlock(descriptor: int) -> None:
    # Unlocked by name, not by closing alone: a child forked meanwhile holds the same open file.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)
