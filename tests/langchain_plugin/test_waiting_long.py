"""What waits, and what may happen to it meanwhile: a real reporter against a site that answers as it is told."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

import pytest

from tests.langchain_plugin.conftest import KEY, MakeReporter
from tests.langchain_plugin.stub_site import Answer, StubSite, page, receipt

ROOT = Path(__file__).parents[2]
MONTH_SECONDS = 31 * 86_400


@pytest.fixture
def make_reporter(make_reporter: MakeReporter) -> MakeReporter:
    """One that looks for files of dead processes all the time."""
    return partial(make_reporter, adopt_every_seconds=0.05)


def call(number: int) -> dict[str, Any]:
    return {"type": "llm_call", "call_id": str(number)}


def ids(events: list[dict[str, Any]]) -> list[int]:
    return sorted(int(event["call_id"]) for event in events)


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def leave_behind(folder: Path, *events: dict[str, Any], seconds_ago: float) -> Path:
    """A file as a process leaves it that died so long ago."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "0192b5a0-0000-7000-8000-000000000001.jsonl"
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    moment = time.time() - seconds_ago
    os.utime(path, (moment, moment))
    return path


def delete(folder: Path) -> None:
    """Gone at one instant. The sender makes its files anew, so `rmtree` may find the folder it emptied not empty."""
    aside = folder.with_name(f"{folder.name}-deleted")
    folder.rename(aside)
    shutil.rmtree(aside)


# ── how long ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_process_left_a_month_ago_is_sent(make_reporter: MakeReporter, site: StubSite) -> None:
    reporter = make_reporter()
    path = leave_behind(reporter.config.spool_folder, call(1), call(2), seconds_ago=MONTH_SECONDS)
    reporter.append(call(3))
    until(lambda: not path.exists())
    assert (ids(site.events), reporter.losses, reporter.sent) == ([1, 2, 3], {}, 3)


def test_a_month_in_which_the_site_took_nothing_is_the_end_and_a_month_of_waiting_alone_is_not(
    make_reporter: MakeReporter, site: StubSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_seconds = "langchain_plugin.sender.KEEP_SECONDS"
    monkeypatch.setattr(keep_seconds, 0.2)
    reporter = make_reporter()
    reporter.append(call(1))
    assert reporter.flush(60)
    time.sleep(0.3)  # a process may well have had nothing to send for a month
    monkeypatch.setattr(keep_seconds, 60)
    site.answer = page(503)
    path = leave_behind(reporter.config.spool_folder, call(2), call(3), seconds_ago=MONTH_SECONDS)
    until(lambda: len(site.batches) > 3)
    assert (path.exists(), reporter.losses) == (True, {})
    monkeypatch.setattr(keep_seconds, 0.2)
    until(lambda: not path.exists())
    assert (reporter.losses, reporter.sent) == ({"expired": 2}, 1)


# ── the folder ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_that_is_deleted_is_made_again_and_that_is_told_once(
    make_reporter: MakeReporter, site: StubSite, caplog: pytest.LogCaptureFixture
) -> None:
    site.answer = page(503)
    reporter = make_reporter()
    for number in range(2):
        reporter.append(call(number))
        until(lambda: any(path.stat().st_size for path in reporter.config.spool_folder.glob("*.jsonl")))
        delete(reporter.config.state_dir)
    until(lambda: any(path.stat().st_size for path in reporter.config.spool_folder.glob("*.jsonl")))
    said = [record.message for record in caplog.records if "deleted files" in record.message]
    assert len(said) == 1, caplog.text
    assert f"{reporter.config.spool_folder}" in said[0]
    (path,) = reporter.config.spool_folder.glob("*.jsonl")
    assert ids([json.loads(text) for text in path.read_text().splitlines()]) == [0, 1]
    site.answer = receipt
    assert reporter.flush(60)


@pytest.mark.parametrize("end", ["exit", "multiprocessing"])
def test_what_waits_in_a_folder_that_is_deleted_is_left_for_the_next_at_exit(
    end: str, site: StubSite, tmp_path: Path
) -> None:
    site.answer = page(503)
    code = f"""
        import multiprocessing, sys, time
        from pathlib import Path
        from langchain_plugin.config import Config
        from langchain_plugin.reporter import Reporter
        from tests.langchain_plugin.test_waiting_long import delete
        def work():
            state = Path(sys.argv[1]) / "state"
            reporter = Reporter(Config.resolve(api_key={KEY!r}, url={site.url!r}, state_dir=state, environ={{}}))
            reporter.append({{"type": "llm_call", "call_id": "1"}})
            while not list(state.rglob("about.json")):
                time.sleep(0.05)  # until the sender has looked at the folder, which it does again in half a minute
            delete(state)
            reporter.append({{"type": "llm_call", "call_id": "2"}})
        if {end!r} == "exit":
            work()
        else:
            child = multiprocessing.get_context("fork").Process(target=work)
            child.start()
            child.join()
            sys.exit(child.exitcode)
        """
    subprocess.run([sys.executable, "-c", dedent(code), str(tmp_path)], cwd=ROOT, check=True, timeout=180)
    (path,) = tmp_path.rglob("*-*.jsonl")
    assert ids([json.loads(text) for text in path.read_text().splitlines()]) == [1, 2]


# ── a line ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_torn_line_of_a_living_process_keeps_no_flush_waiting(
    make_reporter: MakeReporter, site: StubSite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    reporter = make_reporter(send_after_seconds=30)
    for number in range(20):
        reporter.append(call(number))
    (path,) = reporter.config.spool_folder.glob("*.jsonl")
    second = path.read_bytes().index(b"\n") + 1
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, b"\0garbage\0", second)
    os.close(fd)
    began = time.monotonic()
    assert reporter.flush(60)
    assert time.monotonic() - began < 25, "sooner than it would be sent unasked"
    assert (reporter.losses, reporter.sent) == ({"torn_line": 1}, 19)
    assert reporter.flush(60)  # of the word about the loss too, should it lie there by now
    until(lambda: reporter.flush(60) and reporter.pending == 0)


def test_a_keyboard_interrupt_in_an_append_keeps_no_flush_waiting(
    make_reporter: MakeReporter, site: StubSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = make_reporter(send_after_seconds=30)
    reporter.append(call(0))
    assert reporter.flush(60)
    write = os.write

    def write_while_somebody_presses_stop(fd: int, data: bytes) -> int:
        count = write(fd, data)
        monkeypatch.undo()
        signal.raise_signal(signal.SIGINT)
        return count

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        monkeypatch.setattr(os, "write", write_while_somebody_presses_stop)
        with pytest.raises(KeyboardInterrupt):
            reporter.append(call(1))
    finally:
        signal.signal(signal.SIGINT, before)
    for number in range(2, 6):
        reporter.append(call(number))
    assert reporter.flush(60)
    assert (ids(site.events), reporter.pending, reporter.losses) == ([0, 1, 2, 3, 4, 5], 0, {})


@pytest.mark.parametrize("kind", ["losses", "rejected"])
def test_a_line_that_can_be_read_and_not_written_stops_nobody(
    kind: str, make_reporter: MakeReporter, site: StubSite
) -> None:
    deep = '{"a":' * 1_000 + "1" + "}" * 1_000  # orjson reads it; what writes JSON gives up
    line = {
        "losses": f'{{"type": "client_losses", "client_id": "{uuid4()}", "health": {deep}}}',
        "rejected": f'{{"rejected_at": "2026-11-26", "code": "x", "message": "", "event": {deep}}}',
    }[kind]
    reporter = make_reporter()
    folder = reporter.config.spool_folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "0192b5a0-0000-7000-8000-000000000001.jsonl").write_text(line + "\n")
    for number in range(3):
        reporter.append(call(number))
    until(lambda: ids(site.events) == [0, 1, 2])
    assert reporter.flush(60)
    assert "bug" not in reporter.losses


def reject_all(batch: dict[str, Any]) -> Answer:
    rejected = [{"index": index, "code": "too_old", "message": "No."} for index in range(len(batch["events"]))]
    return receipt(batch, accepted=[], rejected=rejected)


def full(path: Path, line: bytes, max_bytes: int) -> bool:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_is_rejected_stays_where_it_is_while_the_disk_is_full(
    make_reporter: MakeReporter, site: StubSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.answer = reject_all
    reporter = make_reporter()
    with monkeypatch.context() as disk:
        disk.setattr("langchain_plugin.rejected._append", full)
        reporter.append(call(1))
        until(lambda: len(site.batches) > 2)
        assert (reporter.pending, reporter.losses) == (1, {})
    until(lambda: reporter.pending == 0)
    assert reporter.losses == {"rejected": 1}
    assert (reporter.config.spool_folder / "rejected.jsonl").read_text().count("rejected_at") == 1


def test_a_month_in_which_the_disk_is_full_is_not_the_end_of_what_the_site_would_take(
    make_reporter: MakeReporter, site: StubSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("langchain_plugin.sender.KEEP_SECONDS", 0.2)
    site.answer = reject_all
    reporter = make_reporter()
    with monkeypatch.context() as disk:
        disk.setattr("langchain_plugin.rejected._append", full)
        path = leave_behind(reporter.config.spool_folder, call(1), seconds_ago=MONTH_SECONDS)
        reporter.append(call(2))
        until(lambda: site.posted_at and site.posted_at[-1] - site.posted_at[0] > 1)
        assert (path.exists(), reporter.losses) == (True, {})
    until(lambda: reporter.pending == 0 and not path.exists())
    assert reporter.losses == {"rejected": 2}
