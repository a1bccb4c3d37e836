"""A site's background service as a process of its own, which a test kills whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.live_site import ROOT, LiveSite
from tests.end_to_end.load import until


@dataclass
class Background:
    site: LiveSite
    name: str = "background"
    _process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.site.state_dir / f"{self.name}.log"

    def start(self) -> None:
        """Returns when its workers wait for tasks."""
        said = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "costsite.serve.background"],
                cwd=ROOT, env=self.site.environment() | {"COSTSITE_LOG_LEVEL": "INFO"}, stdin=subprocess.PIPE,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        # django-q2 says "running" when its workers, monitor and pusher are up.
        until(lambda: b" running." in self.log.read_bytes()[said:] or self._has_ended(), "the start of its workers")
        assert not self._has_ended(), self.log.read_text()

    @property
    def pid(self) -> int:
        """Of the service, which was started."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """Every process of it at once, as when the machine's memory runs out."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None


@contextmanager
def background_of(*sites: LiveSite) -> Iterator[list[Background]]:
    """A running one for each."""
    services = [Background(site, f"background-{number}") for number, site in enumerate(sites, start=1)]
    try:
        for service in services:
            service.start()
        yield services
    finally:
        for service in services:
            if service._process is not None:
                service.kill()


def due_now(site: LiveSite) -> None:
    """Have the next tick come as soon as a service looks, which is twice a minute."""
    site.manage("shell", "-v0", "-c", _DUE_NOW)


_DUE_NOW = """
from django.utils import timezone
from django_q.models import Schedule
Schedule.objects.update(next_run=timezone.now())
"""
