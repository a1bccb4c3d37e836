"""Writers queue at a file; whoever an agent waits for goes before the batches that wait."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from pytest_django import Settings

from agents import write_lock
from agents.write_lock import after_writing, writing
from tests.busy_elsewhere import job_elsewhere

LONG = 60.0
"""Seconds: what happens within a moment, unless somebody else has the processors."""


@pytest.fixture
def database(tmp_path: Path) -> Any:
    """What the lock asks of a connection: its vendor, and where its file is."""
    return SimpleNamespace(vendor="sqlite", settings_dict={"NAME": tmp_path / "costsite.sqlite3"})


def writer(database: Any, name: str, log: list[str], *, first: bool = False) -> threading.Thread:
    """A thread that stands in the queue, or that went through it."""

    def write() -> None:
        with write_lock._file_lock(database, first):
            log.append(name)
            time.sleep(0.01)

    turns = write_lock._turns.setdefault(write_lock._lock_path(database), write_lock._Turns())  # type: ignore[arg-type]
    taken, before = turns._taken, len(turns._waiting)
    thread = threading.Thread(target=write)
    thread.start()
    until = time.monotonic() + LONG
    while thread.is_alive() and not (len(turns._waiting) > before if taken else turns._taken):
        assert time.monotonic() < until
        time.sleep(0.001)
    return thread


def test_writers_exclude_each_other_and_a_lease_overtakes_batches(database: Any) -> None:
    log: list[str] = []
    with write_lock._file_lock(database, first=False):
        waiting = [writer(database, f"batch {number}", log) for number in range(4)]
        waiting.append(writer(database, "lease", log, first=True))
        assert log == [], "nobody writes beside the one who does"
    for thread in waiting:
        thread.join(timeout=LONG)
    assert sorted(log) == ["batch 0", "batch 1", "batch 2", "batch 3", "lease"]
    assert log[0] == "lease", "it came last"


def test_writers_of_one_process_go_in_the_order_they_came(database: Any) -> None:
    log: list[str] = []
    with write_lock._file_lock(database, first=False):
        waiting = [writer(database, f"batch {number}", log) for number in range(4)]
    for thread in waiting:
        thread.join(timeout=LONG)
    assert log == ["batch 0", "batch 1", "batch 2", "batch 3"]


def test_a_writer_gives_up_when_another_thread_keeps_its_turn(database: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write_lock, "LONGEST_WAIT_SECONDS", 0.1)
    errors: list[Exception] = []

    def write() -> None:
        try:
            with write_lock._file_lock(database, first=False):
                errors.append(AssertionError("it wrote beside the other"))
        except OperationalError as error:
            errors.append(error)

    with write_lock._file_lock(database, first=False):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join(timeout=LONG)
    assert [type(error) for error in errors] == [OperationalError]
    log: list[str] = []
    writer(database, "next", log).join(timeout=LONG)
    assert log == ["next"], "who gave up does not keep a place in the queue"


HOLDER = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("file", ["costsite.sqlite3.write-lock", "costsite.sqlite3.write-lock.gate"])
def test_a_writer_gives_up_on_a_process_that_hangs_and_writes_when_it_is_gone(
    database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.setattr(write_lock, "LONGEST_WAIT_SECONDS", 0.2)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        for _ in range(2):  # the first leaves no lock behind that only its own process waits for
            with (
                pytest.raises(OperationalError, match="nothing was written"),
                write_lock._file_lock(database, first=False),
            ):
                raise AssertionError("it wrote beside the other")
        monkeypatch.setattr(write_lock, "LONGEST_WAIT_SECONDS", LONG)
        log: list[str] = []
        waiting = writer(database, "after", log)
        assert log == []
        assert holder.stdin is not None
        holder.stdin.close()
        waiting.join(timeout=LONG)
        assert log == ["after"]
    writer(database, "again", log).join(timeout=LONG)
    assert log == ["after", "again"], "what came too late was given back"


def test_a_writer_that_fails_lets_the_next_one_in(database: Any) -> None:
    with pytest.raises(OSError, match="disk"), write_lock._file_lock(database, first=False):
        raise OSError("disk full")
    log: list[str] = []
    writer(database, "next", log).join(timeout=LONG)
    assert log == ["next"]


@pytest.mark.parametrize(
    ("vendor", "name"), [("sqlite", ":memory:"), ("sqlite", "file:x?mode=memory"), ("postgresql", "costs")]
)
def test_no_file_is_locked_where_there_is_none(vendor: str, name: str) -> None:
    assert write_lock._lock_path(SimpleNamespace(vendor=vendor, settings_dict={"NAME": name})) is None  # type: ignore[arg-type]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("job", "options"), [("retention", ["--delete"]), ("rebuild_rollups", ["--check"]), ("change_time_zone", [])]
)
def test_a_command_that_runs_already_ends_with_one_sentence(
    tmp_path: Path, settings: Settings, job: str, options: list[str]
) -> None:
    settings.COSTSITE_RETENTION_DAYS = 400

    with job_elsewhere(job, tmp_path), pytest.raises(CommandError, match=f"{job} runs already.*start it again"):
        call_command(job, *options)

    call_command(job, *options)


@pytest.mark.django_db(transaction=True)
def test_what_follows_a_transaction_runs_after_its_commit_and_without_the_lock() -> None:
    seen: list[tuple[bool, bool]] = []

    def look() -> None:
        seen.append((connection.in_atomic_block, getattr(write_lock._held, "file", False)))

    with writing():
        after_writing(look)
        assert seen == []
    assert seen == [(False, False)]

    def undone() -> None:
        with writing():
            after_writing(look)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        undone()
    assert len(seen) == 1
