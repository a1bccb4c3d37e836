from __future__ import annotations

import os
import threading
import time

import pytest

from langchain_plugin.fork_guard import MAX_WAIT_SECONDS, no_fork


def seconds_to_fork() -> float:
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        with no_fork():  # free in the child, whoever held it in the parent
            os._exit(7)
    seconds = time.monotonic() - began
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 7
            return seconds
        time.sleep(0.01)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    raise AssertionError("the child waits for a lock that no thread of its own holds")


def hold(seconds: float) -> threading.Thread:
    held = threading.Event()

    def run() -> None:
        with no_fork():
            held.set()
            time.sleep(seconds)

    thread = threading.Thread(target=run)
    thread.start()
    held.wait()
    return thread


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(
    ("held", "at_least", "at_most"),
    [
        pytest.param(0.4, 0.35, MAX_WAIT_SECONDS, id="waits for an import to end"),
        pytest.param(MAX_WAIT_SECONDS + 1, MAX_WAIT_SECONDS - 0.1, MAX_WAIT_SECONDS + 0.8, id="but not for ever"),
    ],
)
def test_a_fork(held: float, at_least: float, at_most: float) -> None:
    thread = hold(held)
    assert at_least <= seconds_to_fork() <= at_most
    thread.join()
    assert seconds_to_fork() < 0.3, "and the guard is free again"
