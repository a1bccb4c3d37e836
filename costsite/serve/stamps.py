"""Connections of the web service, and when their requests came.

A request is stamped as its first bytes are read, before it waits for a thread that waits for a database. Times of calls
are moved by the difference between a client's clock and the server's. Taken after the waits, every wait would look like
a client's clock that is behind.
"""

from __future__ import annotations

import time
from typing import Any, Final

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import WSGITask
from waitress.utilities import RequestHeaderFieldsTooLarge

from costsite.arrival import ARRIVED_AT, ARRIVED_MONOTONIC

REQUESTS_AT_ONCE: Final = 2
"""Of one connection: one that is answered, and one that waits for that."""


class _Stamped(HTTPRequestParser):  # type: ignore[misc]  # waitress has no types
    completed: bool

    def __init__(self, adj: Any) -> None:
        super().__init__(adj)
        self.arrived_at = time.time()
        self.arrived_monotonic = time.monotonic()

    def received(self, data: bytes) -> int:
        """Waitress keeps the line that begins a chunk, and what follows the last one, in memory and as long as a body
        may be; and with each byte that comes it copies and searches them again.
        """
        taken = int(super().received(data))
        if self.chunked and self.body_rcv is not None and not self.completed:
            kept = len(self.body_rcv.control_line) + len(self.body_rcv.trailer)
            if kept > self.adj.max_request_header_size:
                self.error = RequestHeaderFieldsTooLarge("what is around the chunks is too large")
                self.completed = True
        return taken


class _Told(WSGITask):  # type: ignore[misc]
    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[ARRIVED_AT] = self.request.arrived_at
        environ[ARRIVED_MONOTONIC] = self.request.arrived_monotonic
        return environ

    def finish(self) -> None:
        """Waitress would end an answer of unknown length by an empty chunk, also one that has no body."""
        if self.request.command != "HEAD":
            super().finish()
        elif not self.wrote_header:
            self.write(b"")


class StampedChannel(HTTPChannel):  # type: ignore[misc]
    parser_class = _Stamped
    task_class = _Told

    def received(self, data: bytes) -> bool:
        """End a connection that sends request after request without a look at the answers, which no browser, plugin or
        proxy does. A thousand fit what is read at once; their answers, unread, would keep a thread, their files open,
        and with eight such connections the site.
        """
        went_on = bool(super().received(data))
        with self.requests_lock:
            if len(self.requests) > REQUESTS_AT_ONCE:
                del self.requests[1:]
                self.will_close = True
        return went_on
