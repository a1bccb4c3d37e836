"""A real desktop without a screen: an X server in memory, a session bus of its own, and dunst, which draws."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PROGRAMS = {
    "Xvfb": "xvfb", "dbus-run-session": "dbus", "dbus-send": "dbus", "dunst": "dunst", "dunstctl": "dunst",
    "notify-send": "libnotify-bin",
}  # fmt: skip
MISSING = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)})
needs_a_desktop = pytest.mark.skipif(bool(MISSING), reason=f"install Debian's {', '.join(MISSING)}")

BUS = """
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/> <allow eavesdrop="true"/> <allow own="*"/>
  </policy>
</busconfig>
"""
"""A bus that starts nothing by itself: whoever shows notifications on it is who a test started."""


@pytest.fixture
def screen() -> Iterator[str]:
    """A display of its own, as X names it."""
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    try:
        with os.fdopen(reading) as said:
            yield f":{said.readline().strip()}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def in_session(tmp_path: Path) -> Callable[..., list[Any]]:
    """Runs a shell script on a session bus of its own, and gives what it printed: a line of JSON each."""
    config = tmp_path / "bus.conf"
    config.write_text(BUS)

    def run(script: str, *words: str, screen: str = "", **environment: str) -> list[Any]:
        """`$python` is this Python; `environment` is added to this process's."""
        outside = {
            name: value for name, value in os.environ.items() if not name.startswith(("DBUS_", "XDG_", "WAYLAND_"))
        }
        ran = subprocess.run(
            ["dbus-run-session", f"--config-file={config}", "--", "sh", "-c", script, "sh", *words],
            env=outside | {"DISPLAY": screen, "python": sys.executable} | environment,
            cwd=PROJECT, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines() if line]

    return run


DUNST = """
dunst >/dev/null 2>&1 & daemon=$!
until dunstctl is-paused >/dev/null 2>&1; do sleep 0.1; done
"""
