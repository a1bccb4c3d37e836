"""The web service: waitress runs the WSGI application. `python -m costsite.serve.web --help` lists its arguments.

WSGI with threads: under ASGI every request opened a database connection of its own, which cost 4 to 9 times the
processor time for a batch of one event, and about twice that for a batch of a hundred.

Waitress hands a request to a thread when all of it is there. A server that hands it over with the head lets eight
clients that promise a body and never send it stop the site, without a password. That it is written in Python costs
4 % of the processor time of a batch of a hundred events.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from waitress import wasyncore
from waitress.adjustments import Adjustments

from costsite.serve import lifeline
from costsite.serve.head import NoBodyForHead
from costsite.serve.room import RoomyServer
from costsite.serve.threads import WarmestFirst

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

OPEN_CONNECTIONS: Final = 1_000
"""Per process. One that waits, idle or in the middle of a request, costs a file descriptor and what it has sent; when
all are taken, `costsite.serve.room` ends those that wait longest.
"""
FILE_DESCRIPTORS: Final = 4_096
"""Asked of the system: connections, their bodies on disk, and what the site itself has open."""
SILENCE_SECONDS: Final = 60
"""A connection that says nothing for this long is closed, in the middle of a request too."""
LARGEST_HEAD_BYTES: Final = 64 * 1024
LARGEST_BODY_BYTES: Final = 4 * 1024 * 1024
"""As settings.DATA_UPLOAD_MAX_MEMORY_SIZE. Refused by the length that is promised, before a byte of it is read."""
BODY_IN_MEMORY_BYTES: Final = 128 * 1024
"""More goes to a file: so many bytes times the connections is what strangers can make a process hold."""
LARGEST_ANSWER_BYTES: Final = 256 * 1024 * 1024
"""More than any file here. What a reader has not taken goes to disk, and the thread to the next request: one that
waited for its reader would wait for ever, as the limit of silence does not apply to it.
"""
RECEIVE_BYTES: Final = 64 * 1024
OBJECTS_BETWEEN_COLLECTIONS: Final = 20_000
"""A batch of a hundred events makes thousands that live until it is answered, and no circles. Python's own 700 has it
look through them again and again, which cost 3 % of the processor time of the batch."""
MEMORY: Final = {"MALLOC_ARENA_MAX": "2"}
"""Otherwise the C library keeps memory apart for each thread, and each in turn keeps what the largest answer took:
after files of 10,000 runs, eight times that. The interpreter lets one thread run at a time, so nothing is won by it.
"""
STOPPING_SECONDS: Final = 10.0
START_AGAIN_SECONDS: Final = 1.0

access = logging.getLogger("costsite.access")


class AccessLog:
    """A line per request. The path alone: a query can carry a one-time login, and headers carry keys."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began = time.perf_counter()
        # Quoted again: what was sent as %0A or %1B would make a line of its own, or drive a terminal. And before the
        # application has it, which puts the text in place of the bytes.
        path = quote(environ.get("PATH_INFO", "").encode("latin-1"), safe="/:@!$&'()*+,;=~")

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            took = (time.perf_counter() - began) * 1_000
            access.info(
                '%s "%s %s" %s %.1f ms', environ["REMOTE_ADDR"], environ["REQUEST_METHOD"], path, status[:3], took
            )
            return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

        return self._application(environ, start)


def collect_little() -> None:
    """Have garbage looked for seldom, and never among what is there from the beginning: the code of the site and its
    libraries. To look through it all took 40 ms each time, in which no thread answers.
    """
    from django.urls import get_resolver

    get_resolver().url_patterns  # noqa: B018 - loads what the first request would
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    gc.collect()
    gc.freeze()


def serve_requests(listening: socket.socket, threads: int, *, access_log: bool) -> None:
    """Answer what comes in on a listening socket until SIGTERM or SIGINT, and then what had come in whole by then."""
    _say_to_stderr()
    _raise_the_limit_of_files()
    from costsite.wsgi import application

    collect_little()
    answering = NoBodyForHead(application)
    channels: dict[int, Any] = {}
    dispatcher = WarmestFirst()
    dispatcher.set_thread_count(threads)
    adjustments = Adjustments(
        sockets=[listening],
        connection_limit=OPEN_CONNECTIONS,
        channel_timeout=SILENCE_SECONDS,
        cleanup_interval=10,
        max_request_header_size=LARGEST_HEAD_BYTES,
        max_request_body_size=LARGEST_BODY_BYTES + 1,
        inbuf_overflow=BODY_IN_MEMORY_BYTES,
        recv_bytes=RECEIVE_BYTES,
        outbuf_high_watermark=LARGEST_ANSWER_BYTES,
        asyncore_use_poll=True,  # select() ends at file descriptor 1,023
        log_socket_errors=False,  # a client that goes is no news
        clear_untrusted_proxy_headers=False,  # settings.SECURE_PROXY_SSL_HEADER decides what is believed
        ident=None,
    )
    server = RoomyServer(
        AccessLog(answering) if access_log else answering,
        map=channels,
        _sock=listening,
        dispatcher=dispatcher,
        adj=adjustments,
        sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
        bind_socket=False,
    )
    stopping = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stopping.set()
        server.pull_trigger()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    access.info("Listening on %s, port %s", server.effective_host, server.effective_port)
    while not stopping.is_set():
        wasyncore.loop(timeout=1, use_poll=True, map=channels, count=1)
    until = time.monotonic() + STOPPING_SECONDS
    while time.monotonic() < until:
        # One pass of the loop takes one connection, so a burst stands in the kernel's queue, and closing the socket
        # resets it. The port is given back once the queue is empty: the next start must not wait for one that hangs.
        if listening.fileno() != -1 and not _readable(listening):
            server.del_channel(channels)
            listening.close()
        if listening.fileno() == -1 and not _something_waits(server.active_channels.values()):
            break
        wasyncore.loop(timeout=0.1, use_poll=True, map=channels, count=1)
    server.task_dispatcher.shutdown(timeout=1)


def _something_waits(channels: Iterable[Any]) -> bool:
    """Whether a request is being answered, or has come in and only the kernel knows of it yet."""
    channels = list(channels)
    if any(channel.requests or channel.total_outbufs_len for channel in channels):
        return True
    return _readable(*(channel.socket for channel in channels))


def _readable(*sockets: socket.socket) -> bool:
    arriving = select.poll()
    for one in sockets:
        arriving.register(one, select.POLLIN)
    return bool(arriving.poll(0))


def _say_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("{asctime} {message}", style="{"))
    access.addHandler(handler)
    access.setLevel(logging.INFO)
    access.propagate = False  # --no-access-log is its switch, not the level of the site's own log
    # One line per request that had to wait for a thread: under load that is all of them.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)


def _raise_the_limit_of_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILE_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(FILE_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def keep_processes(host: str, port: int, processes: int, threads: int, *, access_log: bool) -> None:
    """Listen, and keep so many processes that serve, until SIGTERM or SIGINT. One that dies is made again.

    They share the socket, which stays open here: while one is made again, clients wait and none is turned away.
    """
    listening = listen(host, port)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    command = [
        sys.executable, "-m", "costsite.serve.web", "--socket", str(listening.fileno()), "--threads", str(threads),
        *([] if access_log else ["--no-access-log"]),
    ]  # fmt: skip

    def start() -> subprocess.Popen[bytes]:
        # stdin is the lifeline: see costsite.serve.lifeline.
        return subprocess.Popen(  # noqa: S603 - our own
            command, stdin=subprocess.PIPE, pass_fds=[listening.fileno()], env=MEMORY | os.environ
        )

    serving = [start() for _ in range(processes)]
    while not stopping.wait(0.2):
        for place, process in enumerate(serving):
            if process.poll() is not None and not stopping.wait(START_AGAIN_SECONDS):
                print(f"A web process ended with {process.returncode}; starting it again.", file=sys.stderr, flush=True)
                if process.stdin is not None:
                    process.stdin.close()
                serving[place] = start()
    listening.close()
    for process in serving:
        process.terminate()
    until = time.monotonic() + STOPPING_SECONDS + 1
    for process in serving:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(address)
    listening.listen(1024)
    return listening


def main() -> None:
    parser = argparse.ArgumentParser(description="The web service of `manage.py serve`.")
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--socket", type=int, help="Serve, on this file descriptor, in place of making processes.")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--no-access-log", action="store_true")
    options = parser.parse_args()
    lifeline.hold()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costsite.settings")
    access_log = not options.no_access_log
    if options.socket is not None:
        serve_requests(socket.socket(fileno=options.socket), options.threads, access_log=access_log)
    elif options.host is None or options.port is None:
        parser.error("name --host and --port")
    else:
        keep_processes(options.host, options.port, options.processes, options.threads, access_log=access_log)


if __name__ == "__main__":
    main()
