"""The API behind a real server process: what Django's test client cannot do to a connection."""

from __future__ import annotations

import gzip
import json
import socket
import time
from pathlib import Path

from langchain_plugin import wire
from tests.costsite.api_client import batch
from tests.end_to_end.live_site import LiveSite
from tests.factories import llm_call


class Connection:
    """One connection whose bytes the test writes itself."""

    def __init__(self, site: LiveSite, head: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", site.port), timeout=60)
        self.send(
            f"POST /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {site.key}\r\n"
            f"Connection: close\r\n{head}\r\n\r\n".encode()
        )

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def send_chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def received(self) -> bytes:
        """All that the server sends until it hangs up."""
        received = b""
        while piece := self.socket.recv(65_536):
            received += piece
        self.socket.close()
        return received

    def answer(self) -> tuple[int, bytes]:
        """Status and body, when the server is done with it."""
        head, _, body = self.received().partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            body = body.partition(b"\r\n")[2].rpartition(b"\r\n0\r\n")[0]
        return int(head.split()[1]), body


def good_batch() -> bytes:
    return json.dumps(batch(llm_call())).encode()


def error(answer: tuple[int, bytes]) -> tuple[int, str]:
    status, body = answer
    return status, wire.ErrorBody.model_validate_json(body, extra="forbid").code


def accepted(answer: tuple[int, bytes]) -> list[int]:
    status, body = answer
    assert status == 200, body
    return wire.Receipt.model_validate_json(body).accepted


def test_a_chunked_body_is_read_whole(site: LiveSite) -> None:
    connection = Connection(site, "Transfer-Encoding: chunked")
    body = good_batch()
    for start in range(0, len(body), 50):
        connection.send_chunk(body[start : start + 50])
    connection.send_chunk(b"")

    assert accepted(connection.answer()) == [0]


def test_an_endless_chunked_body_is_cut_off(site: LiveSite) -> None:
    connection = Connection(site, "Transfer-Encoding: chunked")
    sent = 0
    try:
        while sent < 100 * wire.MAX_BATCH_BYTES:
            connection.send_chunk(b" " * 65_536)
            sent += 65_536
    except (BrokenPipeError, ConnectionResetError):
        pass  # the server hung up, as it should

    assert sent < 20 * wire.MAX_BATCH_BYTES


def test_a_body_over_the_limit_is_told_how_to_be_smaller(site: LiveSite) -> None:
    connection = Connection(site, f"Content-Length: {wire.MAX_BATCH_BYTES + 1}")
    connection.send(b" " * (wire.MAX_BATCH_BYTES + 1))

    assert error(connection.answer()) == (413, "batch_too_large")


def test_a_body_that_breaks_off_records_nothing(site: LiveSite) -> None:
    body = json.dumps(batch(llm_call(agent="breaks-off"))).encode()
    broken = Connection(site, f"Content-Length: {len(body) + 1}")
    broken.send(body)
    broken.end()

    assert broken.received() == b""
    assert site.recorded("breaks-off").calls == 0


def test_a_bomb_does_not_grow_the_server(site: LiveSite) -> None:
    bomb = gzip.compress(b" " * (300 * 1024 * 1024))
    before = peak_memory(site)

    connection = Connection(site, f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}")
    connection.send(bomb)

    assert error(connection.answer()) == (413, "batch_too_large")
    assert peak_memory(site) - before < 30 * 1024 * 1024


def test_a_body_that_dribbles_in_keeps_nobody_waiting(site: LiveSite) -> None:
    body = good_batch()
    slow = Connection(site, f"Content-Length: {len(body)}")
    slow.send(body[:20])
    time.sleep(0.2)

    quick = Connection(site, f"Content-Length: {len(body)}")
    quick.send(good_batch())
    assert accepted(quick.answer()) == [0], "while the slow one has more to say"

    slow.send(body[20:])
    assert accepted(slow.answer()) == [0]


def peak_memory(site: LiveSite) -> int:
    """The largest of the site's processes at its largest, in bytes."""
    assert site._process is not None
    group = str(site._process.pid)
    peaks = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
            if fields[2] == group:
                status = (process / "status").read_text()
                peaks.append(int(status.partition("VmHWM:")[2].split()[0]) * 1024)
        except OSError:
            continue  # it ended meanwhile
    return max(peaks)
