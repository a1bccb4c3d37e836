"""Starts a courier and waits for its answer, never longer than it said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from budgets.couriers.answer import Answer, Fate

PASSED_ON: Final = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY", "XDG_RUNTIME_DIR", "XDG_CURRENT_DESKTOP", "DBUS_SESSION_BUS_ADDRESS",
    "SYSTEMROOT", "APPDATA", "LOCALAPPDATA", "TEMP",
)  # fmt: skip
"""Of the environment, what a courier gets: the site's own settings, its secret key first, are none of its business."""

_PROJECT: Final = Path(__file__).resolve().parents[2]


def run(courier: str, order: Mapping[str, Any], *, seconds: float) -> Answer:
    """Give an order to `budgets.couriers.<courier>`; its answer, or that it gave none in time."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    path = os.pathsep.join([str(_PROJECT), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", f"budgets.couriers.{courier}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # libraries write addresses there
        env=environment | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"},
        cwd=_PROJECT,
        start_new_session=True,
    )
    # It ends by itself too, a little later: whoever waits for it here may be killed.
    told = json.dumps({**order, "seconds": seconds + 1}).encode()
    try:
        said, _ = process.communicate(told, timeout=seconds)
    except BaseException as interruption:
        _end(process)
        if isinstance(interruption, subprocess.TimeoutExpired):
            return Answer(Fate.FAILED, f"There was no answer within {seconds:.0f} seconds.")
        raise
    try:
        answer = json.loads(said.splitlines()[-1])
        return Answer(Fate(answer["fate"]), str(answer["reason"])[:300], str(answer["service"])[:50])
    except (IndexError, KeyError, ValueError):
        return Answer(Fate.FAILED, f"What sends it ended with status {process.returncode} and without an answer.")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a courier that still runs, with what it started."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:  # pragma: no cover - Windows
            process.kill()
    process.communicate()
