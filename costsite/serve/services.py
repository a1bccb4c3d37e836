"""Which services make up the site, and how large each is."""

from __future__ import annotations

import os
import sys

from django.conf import settings

from costsite.serve.pulse import Pulse
from costsite.serve.supervisor import Service
from costsite.tasks import ticks_seen

THREADS = 8
"""Per web process. The interpreter runs one at a time; the others wait for the disk or the database.

With SQLite, six reporters (batches of 20) and two readers on two processors, 2, 8 and 16 threads took 4,000, 3,900 and
3,600 events a second: more threads win nothing but room, as a page or a file that takes long holds one.
"""

LONGEST_WITHOUT_A_TICK_SECONDS = 420.0
"""There is one a minute, unless every worker is at a task, which takes 300 s at most."""


def default_web_processes() -> int:
    """SQLite has one writer, and a second process gained nothing measurable; PostgreSQL takes one per processor."""
    if settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        return 1
    return max(2, os.cpu_count() or 2)


WEB, BACKGROUND = "web", "background"


def site_services(
    host: str, port: int, *, web_processes: int | None = None, access_log: bool = True, only: str | None = None
) -> list[Service]:
    """Both, or the one that `only` names, where several machines or units share the work."""
    web = [
        sys.executable, "-m", "costsite.serve.web", "--host", host, "--port", str(port),
        "--processes", str(web_processes or default_web_processes()), "--threads", str(THREADS),
    ]  # fmt: skip
    if not access_log:
        web.append("--no-access-log")
    services = {
        WEB: Service("The web service", web, grace_seconds=12),
        # A task that is cut off is taken up again, so a deploy does not wait for a long one.
        BACKGROUND: Service(
            "The background service",
            [sys.executable, "-m", "costsite.serve.background"],
            grace_seconds=20,
            pulse=Pulse(ticks_seen),
            longest_silence_seconds=LONGEST_WITHOUT_A_TICK_SECONDS,
        ),
    }
    return [services[only]] if only else list(services.values())
