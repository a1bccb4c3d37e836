from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from langchain_plugin import fork_guard
from langchain_plugin.fork_guard import no_fork

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def fork() -> float:
    """The moment it was done. The child takes the lock and ends."""
    pid = os.fork()
    if pid == 0:
        with no_fork():  # free in the child, whoever held it in the parent
            os._exit(7)
    forked_at = time.monotonic()
    deadline = forked_at + 60
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 7
            return forked_at
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    raise AssertionError("the child waits for a lock that no thread of its own holds")


@contextmanager
def held(let_go: threading.Event) -> Iterator[list[float]]:
    """Held by another thread until `let_go`; the moment it was let go of comes to be the one in the list."""
    is_held = threading.Event()
    moments: list[float] = []

    def run() -> None:
        with no_fork():
            is_held.set()
            let_go.wait(60)
            moments.append(time.monotonic())

    thread = threading.Thread(target=run)
    thread.start()
    is_held.wait()
    yield moments
    let_go.set()
    thread.join()


def test_a_fork_waits_for_an_import_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_guard, "MAX_WAIT_SECONDS", 60.0)
    let_go = threading.Event()
    threading.Timer(0.3, let_go.set).start()
    with held(let_go) as moments:
        assert fork() >= moments[0]


def test_a_fork_does_not_wait_for_ever_and_leaves_the_guard_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_guard, "MAX_WAIT_SECONDS", 0.3)
    with held(threading.Event()) as moments:
        fork()
        assert moments == [], "it is held yet"
    monkeypatch.setattr(fork_guard, "MAX_WAIT_SECONDS", 60.0)
    began = time.monotonic()
    assert fork() - began < 30, "and free again"
