"""Writers queue at a file; whoever an agent waits for goes before the batches that wait."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from pytest_django import Settings

from agents import write_lock


@pytest.fixture
def database(tmp_path: Path) -> Any:
    """What the lock asks of a connection: its vendor, and where its file is."""
    return SimpleNamespace(vendor="sqlite", settings_dict={"NAME": tmp_path / "costsite.sqlite3"})


def writer(database: Any, name: str, log: list[str], *, first: bool = False) -> threading.Thread:
    def write() -> None:
        with write_lock._file_lock(database, first):
            log.append(name)
            time.sleep(0.01)

    thread = threading.Thread(target=write)
    thread.start()
    time.sleep(0.05)  # until it stands in the queue
    return thread


def test_writers_exclude_each_other_and_a_lease_overtakes_batches(database: Any) -> None:
    log: list[str] = []
    with write_lock._file_lock(database, first=False):
        waiting = [writer(database, f"batch {number}", log) for number in range(4)]
        waiting.append(writer(database, "lease", log, first=True))
        assert log == [], "nobody writes beside the one who does"
    for thread in waiting:
        thread.join(timeout=5)
    assert sorted(log) == ["batch 0", "batch 1", "batch 2", "batch 3", "lease"]
    # It came last. It stands beside one batch at a time, and the kernel wakes either of the two.
    assert log[-1] != "lease"


def test_a_writer_that_fails_lets_the_next_one_in(database: Any) -> None:
    with pytest.raises(OSError, match="disk"), write_lock._file_lock(database, first=False):
        raise OSError("disk full")
    log: list[str] = []
    writer(database, "next", log).join(timeout=5)
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
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings, job: str, options: list[str]
) -> None:
    settings.COSTSITE_RETENTION_DAYS = 400
    monkeypatch.setitem(connection.settings_dict, "NAME", tmp_path / "costsite.sqlite3")

    with write_lock.only_job(job), pytest.raises(CommandError, match=f"{job} runs already.*start it again"):
        call_command(job, *options)

    call_command(job, *options)
