"""An end to an exchange that a server could draw out for ever, a byte at a time.

httpx has limits for each wait, none for the whole. A server that sends a byte of its headers now and then, or one
"100 Continue" after another, keeps within them all. So the connection is shut down from outside when the time is
over; whoever reads from it then finds its end.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Any


class AnswerDeadline:
    """Bounds one exchange, from here on. Give `note` to httpx as the request's "trace" extension."""

    def __init__(self, seconds: float) -> None:
        self._ends_monotonic = time.monotonic() + seconds
        self._watch: threading.Timer | None = threading.Timer(max(0.0, seconds), self._shut_down)
        self._watch.daemon = True
        self._lock = threading.Lock()
        self._is_over = False
        self._stream: Any = None

    def begin(self, stream: Any) -> None:
        """Watch.

        Args:
            stream: The connection that was kept from the last exchange, if there is one.

        """
        self._stream = stream
        try:
            if self._watch is not None:
                self._watch.start()
        except RuntimeError:
            # At the interpreter's end no thread can be started. The chunks of a body are still timed.
            self._watch = None

    def end(self) -> Any:
        """Watch no longer; the connection as `begin` takes it."""
        with self._lock:
            self._is_over = True
        if self._watch is not None:
            self._watch.cancel()
        return self._stream

    @property
    def has_passed(self) -> bool:
        return time.monotonic() >= self._ends_monotonic

    def note(self, event: str, info: dict[str, Any]) -> None:
        """Remember each connection that is made; the last one is the one in use."""
        made = info.get("return_value")
        if hasattr(made, "get_extra_info"):
            self._stream = made
            if self.has_passed:
                self._shut_down()

    def _shut_down(self) -> None:
        with self._lock:
            connection = None if self._is_over or self._stream is None else self._stream.get_extra_info("socket")
            if isinstance(connection, socket.socket):
                with suppress(OSError):
                    # Past the TLS object, which another thread is reading from.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
