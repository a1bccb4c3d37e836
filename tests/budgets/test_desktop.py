"""Notifications on a real desktop: a virtual screen, a session bus of its own, and dunst, which draws them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from budgets.couriers.desktop import NO_DAEMON

PROJECT = Path(__file__).resolve().parents[2]
PROGRAMS = {
    "Xvfb": "xvfb", "dbus-run-session": "dbus", "dbus-send": "dbus", "dunst": "dunst", "dunstctl": "dunst",
    "notify-send": "libnotify-bin",
}  # fmt: skip
MISSING = sorted({package for program, package in PROGRAMS.items() if not shutil.which(program)})
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"install Debian's {', '.join(MISSING)}")

SHOW = """
import json, sys
from budgets.couriers.process import run
answer = run("desktop", {"title": sys.argv[1], "body": sys.argv[2]}, seconds=20)
print(json.dumps([answer.fate.value, answer.reason]))
"""
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

    def run(script: str, *words: str, screen: str = "") -> list[Any]:
        """`$show` shows a title and a body."""
        outside = {
            name: value for name, value in os.environ.items() if not name.startswith(("DBUS_", "XDG_", "WAYLAND_"))
        }
        ran = subprocess.run(
            ["dbus-run-session", f"--config-file={config}", "--", "sh", "-c", script, "sh", *words],
            env=outside | {"DISPLAY": screen, "python": sys.executable, "show": SHOW},
            cwd=PROJECT, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines() if line]

    return run


DUNST = """
dunst >/dev/null 2>&1 & daemon=$!
until dunstctl is-paused >/dev/null 2>&1; do sleep 0.1; done
"""


def test_what_is_shown_counts_as_sent_and_names_are_drawn_as_they_are(
    screen: str, in_session: Callable[..., list[Any]]
) -> None:
    title, body = "support-bot is blocked", "<i>bot</i> & co has used 100 % of its November budget."
    fate, shown, history = in_session(
        DUNST + '"$python" -c "$show" "$1" "$2"; dunstctl count displayed'
        " && dunstctl close-all && sleep 0.3 && dunstctl history | tr -d '\\n\\t'; kill $daemon",
        title, body, screen=screen,
    )  # fmt: skip
    assert fate == ["sent", ""]
    assert shown == 1
    ((drawn,),) = history["data"]
    assert (drawn["summary"]["data"], drawn["appname"]["data"]) == (title, "Costsite")
    # As it came: a daemon that knows markup draws this as the tags themselves, and obeys what is not escaped.
    assert drawn["body"]["data"] == "&lt;i&gt;bot&lt;/i&gt; &amp; co has used 100 % of its November budget."


def test_a_text_that_looks_like_an_option_is_shown(screen: str, in_session: Callable[..., list[Any]]) -> None:
    fate, shown = in_session(
        DUNST + '"$python" -c "$show" "$1" "$2"; dunstctl count displayed; kill $daemon',
        "--help", "-u critical", screen=screen,
    )  # fmt: skip
    assert (fate, shown) == (["sent", ""], 1)


def test_a_bus_on_which_nobody_shows_notifications_is_not_delivery(in_session: Callable[..., list[Any]]) -> None:
    (fate,) = in_session('"$python" -c "$show" a b')
    assert fate == ["refused", NO_DAEMON]


def test_a_daemon_that_hangs_holds_nobody_up(screen: str, in_session: Callable[..., list[Any]]) -> None:
    began = time.monotonic()
    (fate,) = in_session(DUNST + 'kill -STOP $daemon; "$python" -c "$show" a b; kill -KILL $daemon', screen=screen)
    assert fate == ["refused", NO_DAEMON]
    assert time.monotonic() - began < 15
