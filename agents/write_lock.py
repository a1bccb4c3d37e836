"""The one way into a transaction that writes to the ledger.

SQLite has one writer at a time, and its own waiting is a lottery: under eight connections the unlucky waited over a
second. So writers queue at a file lock beside the database, and BEGIN IMMEDIATE finds the way free. PostgreSQL lets
writers work side by side; there a shared advisory lock only keeps them apart from jobs that must be alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

try:
    import fcntl
except ImportError:  # pragma: no cover - where there is no flock, SQLite's own waiting must do
    fcntl = None  # type: ignore[assignment]

LEDGER_LOCK = 0x436F7374
"""Of PostgreSQL's advisory locks, the ledger's: "Cost" in ASCII."""

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
    with _file_lock(connection, first), transaction.atomic():
        _enter(connection, alone)
        yield


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
    # Batches queue at the gate, so that at most one of them stands beside whoever goes first. A lock dies with its
    # process; one that is stopped in a debugger while it writes holds everybody up, as it would inside SQLite.
    gate = None if first else _locked(path.with_name(path.name + ".gate"))
    try:
        lock = _locked(path)
    finally:
        if gate is not None:
            _unlock(gate)
    _held.file = True
    try:
        yield
    finally:
        _held.file = False
        _unlock(lock)


def _lock_path(connection: BaseDatabaseWrapper) -> Path | None:
    """Beside the database file; None where there is no file, or where the database queues its writers itself."""
    name = str(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or ":memory:" in name or name.startswith("file:"):
        return None
    return Path(name).with_name(Path(name).name + ".write-lock")


def _locked(path: Path) -> int:
    # A descriptor of its own each time: flock excludes by open file, so threads exclude each other too.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _unlock(descriptor: int) -> None:
    # Unlocked by name, not by closing alone: a child forked meanwhile holds the same open file.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)
