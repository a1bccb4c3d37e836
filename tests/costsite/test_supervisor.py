"""A service that is there and does nothing is started again; one that works, or of which nobody knows, is not."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.utils import timezone
from django_q.models import Task

from costsite.serve.pulse import Pulse
from costsite.serve.supervisor import Service, Supervisor
from costsite.tasks import ticks_seen
from tests.costsite.test_serve import until

LOOKS = 0.02
SILENCE = 0.3


class Sign:
    """What a pulse looks at, counting how often it did."""

    def __init__(self, look: Callable[[], Hashable]) -> None:
        self.look = look
        self.looked = 0

    def __call__(self) -> Hashable:
        self.looked += 1
        return self.look()


@contextmanager
def watched(sign: Sign, folder: Path) -> Iterator[tuple[Service, list[str]]]:
    """A process that stays, under a supervisor that watches its pulse."""
    said: list[str] = []
    service = Service(
        "The sleeper", [sys.executable, "-c", "import time; time.sleep(600)"], grace_seconds=0.1,
        pulse=Pulse(sign, look_seconds=LOOKS), longest_silence_seconds=SILENCE,
    )  # fmt: skip
    supervisor = Supervisor([service], folder, say=said.append)
    supervisor.start()
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    try:
        yield service, said
    finally:
        supervisor.stopping.set()
        watching.join()
        supervisor.stop()


def test_a_service_whose_sign_stands_still_is_started_again(tmp_path: Path) -> None:
    with watched(Sign(lambda: "the same"), tmp_path) as (service, said):
        assert service.process is not None
        first = service.process.pid
        until(lambda: service.process is not None and service.process.pid != first, what="another process")

    assert said[0] == "The sleeper has done nothing for 0 s; starting it again in 1 s."
    assert not Path(f"/proc/{first}").exists()


def broken() -> Hashable:
    raise ConnectionError("the database is away")


@pytest.mark.parametrize("look", [itertools.count().__next__, broken], ids=["it changes", "it cannot be read"])
def test_a_service_whose_sign_changes_or_cannot_be_read_is_left_alone(
    look: Callable[[], Hashable], tmp_path: Path
) -> None:
    sign = Sign(look)
    # A pause of this machine between two looks must not pass for silence, so only looks are counted.
    service = Service("The sleeper", ["unused"], grace_seconds=0, pulse=Pulse(sign, look_seconds=LOOKS))
    assert service.pulse is not None
    service.pulse.expect()
    began = time.monotonic()
    until(lambda: sign.looked > 30, what="thirty looks")
    assert service.pulse.silent_seconds < time.monotonic() - began - 10 * LOOKS


@pytest.mark.django_db(databases="__all__", transaction=True)
def test_each_tick_that_ended_is_a_sign_of_life_whatever_the_clock_says() -> None:
    def ended(func: str, at: datetime) -> None:
        Task.objects.create(id=uuid4().hex, name="t", func=func, started=at, stopped=at, success=True)

    now = timezone.now()
    seen = [ticks_seen()]
    for at in (now, now + timedelta(days=730), now):
        ended("costsite.tasks.tick", at)
        seen.append(ticks_seen())
    ended("agents.tasks.reprice_unpriced", now)

    assert len(set(seen)) == 4
    assert ticks_seen() == seen[-1]
