"""A proxy that stands between a client and a site, and fails as real ones do, in a given order."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """Answered here; the site never sees the request."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"<html><body>It works!</body></html>"


@dataclass(frozen=True)
class Late:
    """Passed on after so many seconds."""

    seconds: float


@dataclass(frozen=True)
class TakenThenBroken:
    """Passed on; then the connection breaks, and the client cannot know."""


@dataclass(frozen=True)
class Asked:
    """What a client sent: all of it, inflated."""

    path: str
    headers: str
    body: bytes


@dataclass(frozen=True)
class Answered:
    """What the site said to it."""

    path: str
    status: int
    retry_after: str
    at: float
    """Monotonic."""


EVENTS = "/api/v1/events"

Fault = Answer | Late | TakenThenBroken


class FaultyProxy:
    """On a port of its own. `faults` are used up by one batch of events each; what else comes, and what finds none, is
    passed on.

    `posted_at` holds the monotonic time of each batch that came in, `asked` every request, and `answered` what the site
    answered to those that were passed on.
    """

    def __init__(self, site_port: int) -> None:
        self.faults: deque[Fault] = deque()
        self.posted_at: list[float] = []
        self.asked: list[Asked] = []
        self.answered: list[Answered] = []
        self.site_port = site_port
        self._server: ThreadingHTTPServer | None = None
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port: int = listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def open(self) -> None:
        self._server = _Server(("127.0.0.1", self.port), _handler_for(self))
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """From now on connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed breaks its connection; that is what these tests do."""


def _handler_for(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._note(b"")
            self._pass_on(b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self._note(body)
            if self.path != EVENTS:
                self._pass_on(body)
                return
            proxy.posted_at.append(time.monotonic())
            fault = proxy.faults.popleft() if proxy.faults else None
            if isinstance(fault, Answer):
                self._answer(fault.status, {"Content-Type": "text/html", **fault.headers}, fault.body)
                return
            if isinstance(fault, Late):
                time.sleep(fault.seconds)
            self._pass_on(body, is_broken=isinstance(fault, TakenThenBroken))

        def _note(self, body: bytes) -> None:
            packed = self.headers.get("Content-Encoding") == "gzip"
            proxy.asked.append(Asked(self.path, str(self.headers), gzip.decompress(body) if packed else body))

        def _pass_on(self, body: bytes, *, is_broken: bool = False) -> None:
            connection = HTTPConnection("127.0.0.1", proxy.site_port, timeout=30)
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")
            }
            try:
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, HTTPException):
                self._answer(502, {"Content-Type": "text/html"}, b"<html><body>Bad Gateway</body></html>")
                return
            finally:
                connection.close()
            again = answer.headers["Retry-After"] or ""
            proxy.answered.append(Answered(self.path, answer.status, again, time.monotonic()))
            if is_broken:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            passed = {"Content-Type": answer.headers["Content-Type"] or ""} | ({"Retry-After": again} if again else {})
            self._answer(answer.status, passed, content)

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler
