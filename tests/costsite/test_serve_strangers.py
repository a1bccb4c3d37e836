"""What strangers may do to the web server, without a password or a key: an honest client is served meanwhile."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

import pytest
from waitress import wasyncore
from waitress.adjustments import Adjustments

from costsite.serve.room import RoomyServer
from costsite.serve.web import OPEN_CONNECTIONS
from tests.end_to_end.live_site import LiveSite

MORE_THAN_IT_TAKES = OPEN_CONNECTIONS + 200
HONEST_SECONDS = 60.0
"""Most an honest client waits for its answer here. Whoever keeps others out does so for as long as the test lasts."""


@pytest.fixture(scope="module", autouse=True)
def _files() -> Iterator[None]:
    """Each connection is a file of this process too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(4_096, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def honest(port: int, path: str = "/healthz") -> int:
    """The status that somebody gets who connects now, and asks."""
    connection = HTTPConnection("127.0.0.1", port, timeout=HONEST_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@contextmanager
def strangers(port: int, count: int, first: bytes, then: bytes) -> Iterator[list[socket.socket]]:
    """So many who say `first`, and from then on `then` every second, and connect again when they are cut off.

    That they could not all the time is raised at the end: with fewer of them a test proves nothing.
    """
    stop = threading.Event()
    failed: list[Exception] = []

    def connected() -> socket.socket:
        stranger = socket.create_connection(("127.0.0.1", port), timeout=HONEST_SECONDS)
        stranger.sendall(first)
        return stranger

    all_of_them = [connected() for _ in range(count)]

    def go_on() -> None:
        try:
            while not stop.wait(1.0):
                for place, stranger in enumerate(all_of_them):
                    try:
                        if then:
                            stranger.sendall(then)
                    except OSError:
                        stranger.close()
                        all_of_them[place] = connected()
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield all_of_them
    finally:
        stop.set()
        thread.join()
        for stranger in all_of_them:
            stranger.close()
    if failed:
        raise failed[0]


POST = b"POST /login/ HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"", b""),
        (b"GET /login/ HTTP/1.1\r\nHost: local", b"h"),
        (b"GET /login/ HTTP/1.1\r\nHost: localhost\r\n", b"X-More: 1\r\n"),
        (POST + b"Content-Length: 100000\r\n\r\n", b"x"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["nothing", "a head by letters", "a head by lines", "a body by letters", "a body by chunks"],
)
def test_more_slow_connections_than_it_takes_keep_nobody_out(site: LiveSite, first: bytes, then: bytes) -> None:
    with strangers(site.port, MORE_THAN_IT_TAKES, first, then):
        for _ in range(10):
            assert honest(site.port) == 200
            time.sleep(0.2)


def test_what_is_around_chunks_is_bounded_as_a_head_is(site: LiveSite) -> None:
    for endless in (b"0\r\n" + b"X: y\r\n" * 12_000, b"1;" + b"x" * 70_000):
        with socket.create_connection(("127.0.0.1", site.port), timeout=HONEST_SECONDS) as stranger:
            stranger.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + endless)
            assert stranger.recv(65_536).split(maxsplit=2)[1] == b"431"


def test_a_flood_of_headers_is_answered_and_keeps_nobody_waiting(site: LiveSite) -> None:
    head = b"GET /login/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    flood = head + b"".join(b"X-%d: y\r\n" % number for number in range(5_000)) + b"\r\n"
    assert len(flood) < 64 * 1024
    streams = [socket.create_connection(("127.0.0.1", site.port), timeout=HONEST_SECONDS) for _ in range(40)]
    for stream in streams:
        stream.sendall(flood)
    assert honest(site.port) == 200
    for stream in streams:
        assert stream.recv(65_536).startswith(b"HTTP/1.1 200"), "large, and within the limit"
        stream.close()


# ── one that is made for the test: the real one's limits take minutes ───────────────────────────────────────────────


@contextmanager
def small_server(**limits: Any) -> Iterator[tuple[RoomyServer, int]]:
    listening = socket.create_server(("127.0.0.1", 0))

    def answer(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    adjustments = Adjustments(sockets=[listening], cleanup_interval=0, asyncore_loop_timeout=0.05, **limits)
    server = RoomyServer(
        answer, map={}, _sock=listening, adj=adjustments, bind_socket=False,
        sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
    )  # fmt: skip
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server, listening.getsockname()[1]
    finally:
        # By its own thread, which may be waiting for these sockets; it ends when it has none left.
        server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map))
        thread.join(HONEST_SECONDS)
        server.task_dispatcher.shutdown()
    assert not thread.is_alive(), "the server did not end"


def answered(client: socket.socket) -> bool:
    client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return b"".join(iter(lambda: client.recv(65_536), b"")).endswith(b"ok")


def test_a_request_that_does_not_end_is_given_up_though_it_says_something_all_the_time() -> None:
    with small_server(channel_timeout=3_600) as (server, port):
        server.whole_request_seconds = 1.0
        with (
            socket.create_connection(("127.0.0.1", port), timeout=HONEST_SECONDS) as idle,
            socket.create_connection(("127.0.0.1", port), timeout=HONEST_SECONDS) as slow,
        ):
            slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            slow.settimeout(0.1)
            deadline = time.monotonic() + HONEST_SECONDS
            while True:
                try:
                    slow.sendall(b"X: y\r\n")
                    assert slow.recv(1) == b""
                    break
                except TimeoutError:
                    assert time.monotonic() < deadline, "it is still listened to"
                except (BrokenPipeError, ConnectionResetError):
                    break
            assert answered(idle), "who asks for nothing has no request that could be late"


def test_room_is_made_by_who_waits_longest() -> None:
    with small_server(connection_limit=70) as (_, port):
        early = [socket.create_connection(("127.0.0.1", port), timeout=HONEST_SECONDS) for _ in range(60)]
        time.sleep(0.2)
        late = [socket.create_connection(("127.0.0.1", port), timeout=HONEST_SECONDS) for _ in range(20)]

        assert [stranger.recv(1) for stranger in early[:40]] == [b""] * 40
        for one in late:
            assert answered(one)
        for one in (*early, *late):
            one.close()
