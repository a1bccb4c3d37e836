"""Who sends request after request and reads no answer: an honest client is served meanwhile."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from http.client import HTTPConnection

import pytest

from tests.end_to_end.live_site import LiveSite

HONEST_SECONDS = 60.0
MOST_READ_AT_ONCE = 64 * 1024
MORE_THAN_THREADS = 12
MOST_IN_BUFFERS = 12_000_000
"""Bytes that the kernel may take for a reader who sleeps. Of all that is asked for, 60 MB, the most is never sent."""


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=HONEST_SECONDS)


@pytest.mark.parametrize("path", ["/static/css/pages.css", "/healthz"])
def test_a_site_is_not_stopped_by_those_who_ask_a_thousand_times_and_read_nothing(site: LiveSite, path: str) -> None:
    asked = f"GET {path} HTTP/1.1\r\n\r\n".encode()
    with ExitStack() as open_ones:
        strangers = [open_ones.enter_context(connected(site.port)) for _ in range(MORE_THAN_THREADS)]
        for stranger in strangers:
            stranger.sendall(asked * (MOST_READ_AT_ONCE // len(asked)))
        for _ in range(3):
            honest = HTTPConnection("127.0.0.1", site.port, timeout=HONEST_SECONDS)
            honest.request("GET", "/healthz")
            assert honest.getresponse().status == 200
            honest.close()
        for stranger in strangers:
            assert _bytes_until_closed(stranger) < MOST_IN_BUFFERS


def test_a_second_request_may_be_sent_before_the_first_is_answered(site: LiveSite) -> None:
    with connected(site.port) as client:
        first = b"GET /static/css/tokens.css HTTP/1.1\r\n\r\n"
        client.sendall(first + b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
        told = b""
        while piece := client.recv(65_536):
            told += piece
    assert told.count(b"HTTP/1.1 200 OK") == 2


def _bytes_until_closed(stranger: socket.socket) -> int:
    count, until = 0, time.monotonic() + HONEST_SECONDS
    while time.monotonic() < until:
        try:
            piece = stranger.recv(65_536)
        except ConnectionError:
            return count
        if not piece:
            return count
        count += len(piece)
    raise AssertionError("it was not closed")
