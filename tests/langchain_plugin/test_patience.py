"""How long the sender waits after a failure, by a clock that the test sets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from langchain_plugin.errors import CheckFailed, NoRoom, ServerFailed, ServerUnreachable, WrongKey
from langchain_plugin.patience import Patience

DOWN = ServerUnreachable("Nobody answers.")


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def patience(clock: Clock) -> Patience:
    return made(clock)


def made(clock: Clock, draw: Callable[[float, float], float] = max) -> Patience:
    """With a draw that shortens no wait."""
    return Patience(60.0, clock=clock, draw=draw)


def pauses(patience: Patience, clock: Clock, trouble: CheckFailed, count: int) -> list[float | None]:
    """After each of so many failures, each at the moment that was waited for."""
    waited = []
    for _ in range(count):
        clock.now = max(clock.now, patience.retry_monotonic)
        patience.failed(trouble)
        waited.append(patience.pause(hurried=False))
    return waited


def test_who_never_failed_waits_for_nothing(patience: Patience) -> None:
    assert patience.pause(hurried=False) is None
    assert patience.pause(hurried=True) is None
    assert (patience.trouble, patience.failing_since) == (None, None)


def test_each_wait_is_twice_the_last_up_to_the_longest(patience: Patience, clock: Clock) -> None:
    assert pauses(patience, clock, DOWN, 9) == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_a_wrong_setting_is_asked_about_less_often(patience: Patience, clock: Clock) -> None:
    assert pauses(patience, clock, WrongKey("Set a live key."), 12)[-3:] == [256, 300, 300]


def test_a_wait_is_cut_by_up_to_a_half_so_that_clients_do_not_come_back_at_once(clock: Clock) -> None:
    patience = made(clock, draw=min)

    assert pauses(patience, clock, DOWN, 3) == [0.25, 0.5, 1]


def test_a_wait_that_is_over_is_none(patience: Patience, clock: Clock) -> None:
    patience.failed(DOWN)
    clock.now += 0.5

    assert patience.pause(hurried=False) is None
    assert patience.trouble is DOWN, "until something is taken"


def test_who_waits_has_it_tried_at_once_and_then_every_second(patience: Patience, clock: Clock) -> None:
    pauses(patience, clock, DOWN, 8)
    assert patience.pause(hurried=True) == 1

    patience.somebody_waits()
    pause = patience.pause(hurried=True)
    assert pause is not None
    assert pause <= 0
    assert patience.pause(hurried=False) == 60

    patience.failed(DOWN)
    assert patience.pause(hurried=True) == 1


def test_a_site_that_asks_to_be_left_alone_is_left_alone_whoever_waits(patience: Patience, clock: Clock) -> None:
    patience.failed(ServerFailed("Too many.", retry_after_seconds=120))
    patience.somebody_waits()

    assert patience.pause(hurried=False) == 120, "longer than the longest wait of ours"
    assert patience.pause(hurried=True) == 120
    clock.now += 120
    assert patience.pause(hurried=True) is None


def test_it_is_remembered_since_when_nothing_was_taken(patience: Patience, clock: Clock) -> None:
    pauses(patience, clock, DOWN, 4)

    assert patience.failing_since == 1_000


def test_a_trouble_of_this_machine_grows_the_wait_and_does_not_say_that_the_site_takes_nothing(
    patience: Patience, clock: Clock
) -> None:
    assert pauses(patience, clock, NoRoom("Free space."), 3) == [0.5, 1, 2]
    assert patience.failing_since is None

    patience.failed(DOWN)
    assert patience.failing_since == clock.now
    clock.now += 20
    patience.failed(NoRoom("Free space."))
    assert patience.failing_since is None, "it has answered since"


def test_what_is_taken_ends_the_trouble_once_and_the_waits_begin_anew(patience: Patience, clock: Clock) -> None:
    pauses(patience, clock, DOWN, 5)

    assert [patience.succeeded(), patience.succeeded()] == [True, False]
    assert (patience.trouble, patience.failing_since) == (None, None)
    assert patience.pause(hurried=False) is None
    assert pauses(patience, clock, DOWN, 2) == [0.5, 1]


def test_after_an_error_of_ours_the_longest_wait_passes_and_the_site_is_not_blamed(patience: Patience) -> None:
    patience.broke()

    assert patience.pause(hurried=False) == 60
    assert (patience.trouble, patience.failing_since) == (None, None)
