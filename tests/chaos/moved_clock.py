"""Runs a module under clocks that files move: `python -m tests.chaos.moved_clock FILES MODULE ARGUMENTS…`.

FILES are paths with a comma between them, each holding seconds; the sum is added to the time of day. Monotonic clocks
stay as they are, as they do when somebody sets a clock.
"""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

LOOK_SECONDS = 0.05


class _Offset:
    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self._looked_at = -1.0
        self._seconds = 0.0

    def __call__(self) -> float:
        now = time.monotonic()
        if now - self._looked_at > LOOK_SECONDS:
            self._looked_at = now
            self._seconds = sum(float(path.read_text() or 0) for path in self._paths if path.exists())
        return self._seconds


def move(paths: list[Path]) -> None:
    """Move what this process takes for the time of day."""
    offset = _Offset(paths)
    real_time: Callable[[], float] = time.time
    time.time = lambda: real_time() + offset()
    time.time_ns = lambda: int(time.time() * 1e9)
    from django.utils import timezone

    timezone.now = lambda: datetime.fromtimestamp(time.time(), UTC)


def main() -> None:
    files, module, *arguments = sys.argv[1:]
    move([Path(file) for file in files.split(",")])
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
