"""Starts services, starts again what dies, stops them in the way each can bear.

Each service leads a session of its own. So Ctrl-C in a terminal reaches the supervisor alone, and a stop signals the
service's first process alone: django-q2 hangs when its whole process group gets SIGTERM at once. What is left of a
session after its grace is killed as a group.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO

from costsite.serve.pulse import Pulse

POLL_SECONDS = 0.2
STEADY_SECONDS = 60.0
"""A service that ran this long was well: its next end starts again without the waits of earlier ones."""
LONGEST_WAIT_SECONDS = 30.0


@dataclass
class Service:
    """One service: what to run, and what became of it."""

    name: str
    command: Sequence[str]
    grace_seconds: float
    """How long it may take to stop by itself before it is killed."""
    pulse: Pulse | None = None
    longest_silence_seconds: float = 0.0
    """Without a pulse for so long it is started again, though its process is there."""
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    start_again_at: float = 0.0
    failures: int = 0

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, folder: Path, output: IO[bytes] | None) -> None:
        # stdin is the lifeline: see costsite.serve.lifeline.
        self.process = subprocess.Popen(  # noqa: S603 - the commands are costsite.serve.services', none of them typed by anyone
            self.command, cwd=folder, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
        )
        self.started_at = time.monotonic()
        if self.pulse is not None:
            self.pulse.expect()

    @property
    def silent(self) -> bool:
        return self.pulse is not None and self.pulse.silent_seconds > self.longest_silence_seconds

    def ask_to_stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def kill_what_is_left(self) -> None:
        """The whole session, its orphans too. The group's id is the first process's, dead or alive."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process = None


@dataclass
class Supervisor:
    """Keeps services running until it is told to stop."""

    services: list[Service]
    folder: Path
    say: Callable[[str], None]
    output: IO[bytes] | None = None
    """Where the services write; None: where this process does."""
    stopping: threading.Event = field(default_factory=threading.Event)
    _hurry: bool = False

    def start(self) -> None:
        for service in self.services:
            service.start(self.folder, self.output)

    def stop_on_signals(self) -> None:
        """SIGINT, SIGTERM and SIGHUP stop the services; a second one does not wait for them."""

        def on_signal(_number: int, _frame: FrameType | None) -> None:
            self._hurry = self.stopping.is_set()
            self.stopping.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, on_signal)

    def watch(self) -> None:
        """Return when told to stop; until then, start again what dies, after 1, 2, 4 … 30 seconds."""
        while not self.stopping.wait(POLL_SECONDS):
            for service in self.services:
                if service.process is None:
                    if time.monotonic() >= service.start_again_at:
                        service.start(self.folder, self.output)
                elif (code := service.process.poll()) is not None:
                    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                    self._bury(service, how)
                elif service.silent:
                    self._bury(service, f"has done nothing for {service.longest_silence_seconds:.0f} s")

    def _bury(self, service: Service, how: str) -> None:
        if time.monotonic() - service.started_at > STEADY_SECONDS:
            service.failures = 0
        wait = min(2.0**service.failures, LONGEST_WAIT_SECONDS)
        service.failures += 1
        service.kill_what_is_left()
        service.start_again_at = time.monotonic() + wait
        self.say(f"{service.name} {how}; starting it again in {wait:.0f} s.")

    def stop(self) -> None:
        """Ask each service to stop, wait for its grace, kill what is left. Returns when all are gone."""
        for service in self.services:
            service.ask_to_stop()
        asked_at = time.monotonic()
        for service in self.services:
            while service.running and not self._hurry and time.monotonic() - asked_at < service.grace_seconds:
                time.sleep(0.05)
            if service.running:
                self.say(f"{service.name} did not stop in {time.monotonic() - asked_at:.0f} s; killing it.")
            service.kill_what_is_left()
