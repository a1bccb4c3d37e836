"""Which thread of the web service answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from costsite.serve.threads import WarmestFirst


class Task:
    """A request that waits until it may end, and remembers who answered it."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.thread = 0

    def service(self) -> None:
        self.thread = threading.get_ident()
        self.may_end.wait(60)


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until, "waited 60 s in vain"
        time.sleep(0.001)


@pytest.fixture
def dispatcher() -> Iterator[WarmestFirst]:
    dispatcher = WarmestFirst()
    dispatcher.set_thread_count(3)
    wait_until(lambda: dispatcher.active_count == 0)
    yield dispatcher
    dispatcher.shutdown(timeout=60)
    assert not dispatcher.threads


def test_one_request_after_the_other_meets_the_same_thread(dispatcher: WarmestFirst) -> None:
    tasks = [Task() for _ in range(6)]
    for task in tasks:
        task.may_end.set()
        dispatcher.add_task(task)
        wait_until(lambda task=task: task.thread != 0 and dispatcher.active_count == 0)  # type: ignore[misc]

    assert len({task.thread for task in tasks}) == 1


def test_requests_at_once_meet_a_thread_each_and_the_next_waits_for_one(dispatcher: WarmestFirst) -> None:
    tasks = [Task() for _ in range(4)]
    for task in tasks:
        dispatcher.add_task(task)
    wait_until(lambda: all(task.thread for task in tasks[:3]))
    assert len({task.thread for task in tasks[:3]}) == 3
    assert tasks[3].thread == 0

    tasks[1].may_end.set()
    wait_until(lambda: tasks[3].thread != 0)

    assert tasks[3].thread == tasks[1].thread
    for task in tasks:
        task.may_end.set()
