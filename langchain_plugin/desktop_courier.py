"""Shows one notification, in a process of its own: `python -m langchain_plugin.desktop_courier`.

Its order comes as JSON on standard input. It ends with 0 when the notification was handed to somebody who shows it,
else with 1 and the reason on standard output. plyer returns normally while nothing is shown, without a session bus and
without anybody on it who shows notifications; so on Linux these are looked for first, by the Desktop Notifications
Specification (org.freedesktop.Notifications). Elsewhere the desktop does not say, and is believed.
"""

from __future__ import annotations

import html
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

TITLE_CHARACTERS = 60
"""Windows takes 63."""
BODY_CHARACTERS = 250
ASKING_SECONDS = 3.0
NAME, PATH = "org.freedesktop.Notifications", "/org/freedesktop/Notifications"

NO_BACKEND = "nothing here shows notifications; install notify-send (Debian: libnotify-bin)"
NO_BUS = "it runs outside a desktop session; set DBUS_SESSION_BUS_ADDRESS to the session's bus"
NO_DAEMON = "nobody on the session's bus shows notifications; log in to a desktop, or start a daemon such as dunst"


def show(title: str, body: str) -> str:
    """Show it, and say why it cannot be shown; empty when it was taken."""
    title, body = title[:TITLE_CHARACTERS], body[:BODY_CHARACTERS]
    if sys.platform.startswith("linux"):
        if find_spec("dbus") is None and not shutil.which("notify-send"):
            return NO_BACKEND
        if not _find_bus():
            return NO_BUS
        able = _capabilities()
        if able == "":
            return NO_DAEMON
        if able and "body-markup" in able:
            body = html.escape(body, quote=False)  # names come from outside
    warnings.simplefilter("ignore")  # that one of two backends is missing
    from plyer import notification

    try:
        notification.notify(title=_no_option(title), message=_no_option(body), app_name="Costsite", timeout=10)
    except NotImplementedError:
        return NO_BACKEND
    except Exception as error:
        return f"the desktop did not take it ({type(error).__name__})"
    return ""


def _find_bus() -> bool:
    """True when there is a session bus; set in the environment where only its usual place tells."""
    if os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return True
    bus = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}") / "bus"
    if not bus.exists():
        return False
    os.environ["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={bus}"
    return True


def _capabilities() -> str | None:
    """What the daemon says it can; empty when none answers, None when there is no program to ask with."""
    ways = (
        ["dbus-send", "--session", "--print-reply", f"--dest={NAME}", PATH, f"{NAME}.GetCapabilities"],
        ["gdbus", "call", "--session", "--dest", NAME, "--object-path", PATH, "--method", f"{NAME}.GetCapabilities"],
        ["busctl", "--user", "call", NAME, PATH, NAME, "GetCapabilities"],
    )
    for way in ways:
        if shutil.which(way[0]):
            try:
                asked = subprocess.run(way, capture_output=True, timeout=ASKING_SECONDS)  # noqa: S603
            except subprocess.TimeoutExpired:
                return ""
            return asked.stdout.decode(errors="replace").strip() if asked.returncode == 0 else ""
    return None


def _no_option(text: str) -> str:
    """notify-send takes a text that begins with a dash for an option."""
    return f" {text}" if text.startswith("-") else text


def main() -> int:
    order = json.loads(sys.stdin.buffer.read())
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, float(order["seconds"]))  # unhandled, the signal ends the process
    out = os.dup(1)
    os.dup2(2, 1)  # libraries print
    problem = show(order["title"], order["body"])
    os.write(out, problem.encode())
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
