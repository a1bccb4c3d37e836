"""The web service: granian runs the WSGI application. `python -m costsite.serve.web --help` lists its arguments.

WSGI with threads: under ASGI every request opened a database connection of its own, which cost 4 to 9 times the
processor time for a batch of one event, and about twice that for a batch of a hundred.
"""

from __future__ import annotations

import argparse
import os

from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.server import Server

from costsite.serve import lifeline

# The path alone: a query can carry a one-time login, and headers carry keys.
ACCESS_LOG_FORMAT = '%(addr)s "%(method)s %(path)s" %(status)d %(dt_ms).1f ms'
KEEP_THREADS_SECONDS = 600
"""A thread holds its database connection; letting idle ones go sooner would open a connection per request again."""
OPEN_CONNECTIONS = 256
"""Per process. Idle kept-alive connections count, so this is far above the number of threads."""


def run(host: str, port: int, processes: int, threads: int, *, access_log: bool) -> None:
    """Serve until SIGTERM or SIGINT. Workers that die are made again; one that does not stop in 10 s is killed."""
    Server(
        "costsite.wsgi:application",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=processes,
        blocking_threads=threads,
        blocking_threads_idle_timeout=KEEP_THREADS_SECONDS,
        backpressure=OPEN_CONNECTIONS,
        websockets=False,
        # 10 s for the head of a request: a client that dribbles its headers holds no connection for long.
        http1_settings=HTTP1Settings(header_read_timeout=10_000),
        respawn_failed_workers=True,
        workers_kill_timeout=10,
        log_access=access_log,
        log_access_format=ACCESS_LOG_FORMAT,
    ).serve()


def main() -> None:
    parser = argparse.ArgumentParser(description="The web service of `manage.py serve`.")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--no-access-log", action="store_true")
    options = parser.parse_args()
    lifeline.hold()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costsite.settings")
    run(options.host, options.port, options.processes, options.threads, access_log=not options.no_access_log)


if __name__ == "__main__":
    main()
