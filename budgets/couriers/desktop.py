"""A notification on the desktop of the machine that the background service runs on, through plyer.

Run as `python -m budgets.couriers.desktop`. plyer returns normally while nothing is shown: without a session bus, and
without anybody on it who shows notifications. So these are looked for first, by the Desktop Notifications
Specification (org.freedesktop.Notifications), and what cannot be known is said to be unverified.
"""

from __future__ import annotations

import html
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from budgets.couriers.answer import Answer, Fate
from budgets.couriers.child import answer_with

TITLE_CHARACTERS: Final = 60
"""Windows takes 63."""
BODY_CHARACTERS: Final = 250
ASKING_SECONDS: Final = 3.0

NO_BACKEND: Final = (
    "This machine has nothing to show notifications with; install Debian's libnotify-bin, or switch the channel off."
)
NO_BUS: Final = (
    "The background service runs outside a desktop session; start the site inside one, set DBUS_SESSION_BUS_ADDRESS"
    " to its bus, or switch the channel off."
)
NO_DAEMON: Final = (
    "Nobody on the desktop's session bus shows notifications; log in to a desktop, or start a notification daemon such"
    " as dunst."
)
NOT_TOLD: Final = "It was handed to the desktop, which does not say whether it was shown."


def carry(order: dict[str, Any]) -> Answer:
    """Show `title` and `body`, once."""
    title, body = order["title"][:TITLE_CHARACTERS], order["body"][:BODY_CHARACTERS]
    if not sys.platform.startswith("linux"):
        return _shown(title, body, knows=False)
    if importlib.util.find_spec("dbus") is None and not shutil.which("notify-send"):
        return Answer(Fate.REFUSED, NO_BACKEND)
    if not _find_bus():
        return Answer(Fate.REFUSED, NO_BUS)
    able = capabilities()
    if able == "":
        return Answer(Fate.REFUSED, NO_DAEMON)
    if able and "body-markup" in able:
        # Names come from outside: one with tags in it would be drawn as what it says.
        body = html.escape(body, quote=False)
    # In a container whose folder is /app plyer takes itself to be in a Flatpak, and asks a portal instead.
    return _shown(title, body, knows=bool(able) and not Path("/app").is_dir())


def capabilities() -> str | None:
    """What the notification daemon says it can, asking it over the bus; empty when none answers, None when there is no
    program to ask with.
    """
    name, path = "org.freedesktop.Notifications", "/org/freedesktop/Notifications"
    ways = (
        ["dbus-send", "--session", "--print-reply", f"--dest={name}", path, f"{name}.GetCapabilities"],
        ["gdbus", "call", "--session", "--dest", name, "--object-path", path, "--method", f"{name}.GetCapabilities"],
        ["busctl", "--user", "call", name, path, name, "GetCapabilities"],
    )
    for way in ways:
        if shutil.which(way[0]):
            try:
                asked = subprocess.run(way, capture_output=True, timeout=ASKING_SECONDS)  # noqa: S603
            except subprocess.TimeoutExpired:
                return ""
            return asked.stdout.decode(errors="replace").strip() if asked.returncode == 0 else ""
    return None


def _find_bus() -> bool:
    """True when there is a session bus; set in the environment where only its usual place tells."""
    if os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return True
    bus = Path(os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}") / "bus"
    if not bus.exists():
        return False
    os.environ["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={bus}"
    return True


def _shown(title: str, body: str, *, knows: bool) -> Answer:
    """`knows`: somebody who shows notifications answered a moment ago."""
    warnings.simplefilter("ignore")  # that one of two backends is missing
    from plyer import notification

    with _complaints() as complaints:
        try:
            notification.notify(title=_no_option(title), message=_no_option(body), app_name="Costsite", timeout=10)
        except NotImplementedError:
            return Answer(Fate.REFUSED, NO_BACKEND)
        except Exception as error:
            return Answer(Fate.FAILED, f"The desktop did not take it ({type(error).__name__}).")
        complained = bool(complaints().strip())
    if complained:
        # plyer does not look at notify-send's exit status; all that tells is what it wrote.
        return Answer(Fate.UNVERIFIED, "notify-send reported an error; it may not have been shown.")
    return Answer(Fate.SENT) if knows else Answer(Fate.UNVERIFIED, NOT_TOLD)


def _no_option(text: str) -> str:
    """notify-send takes a text that begins with a dash for an option."""
    return f" {text}" if text.startswith("-") else text


@contextmanager
def _complaints() -> Iterator[Callable[[], bytes]]:
    """What this process and what it starts write to standard error."""
    with tempfile.TemporaryFile() as file:
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: os.pread(file.fileno(), 10_000, 0)
        finally:
            os.dup2(before, 2)
            os.close(before)


if __name__ == "__main__":
    answer_with(carry)
