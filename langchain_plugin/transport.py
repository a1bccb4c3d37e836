"""HTTP to the site, and what each answer means. The only module that imports httpx, and only when it is first used:
the import takes as long as a hundred model calls may be delayed.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_plugin._version import __version__
from langchain_plugin.answer_deadline import AnswerDeadline
from langchain_plugin.config import Config
from langchain_plugin.errors import (
    BatchRefused,
    CheckFailed,
    LeaseRefused,
    ServerFailed,
    ServerUnreachable,
    WrongKey,
    WrongUrl,
)
from langchain_plugin.fork_guard import no_fork
from langchain_plugin.server_words import clean_words

if TYPE_CHECKING:
    import httpx

    from langchain_plugin import wire_leases

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
"""The longest silence of a site before it counts as gone: under load it may take its time, and giving up early would
only send the same batch again."""
ANSWER_SECONDS = 60.0
"""From the first byte sent to the last one received."""
MAX_RETRY_AFTER_SECONDS = 300.0
MAX_ANSWER_BYTES = 8_000_000
MAX_SCOPES = 20
_ERROR_NUMBER = re.compile(r"^\[Errno -?\d+\] ")
"""What begins the text of a system error: 111 here and 61 there, and no help to whoever reads the sentence."""

_asking = threading.local()


class _NotOurs(logging.Filter):
    """httpx tells the log of each request at INFO: a line or two a second that no agent's developer asked for."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(_asking, "now", False)


logging.getLogger("httpx").addFilter(_NotOurs())


class HeldConnection:
    """A connection whose socket is known to be its own still, as `HeldFile` is of a file: a program that closes what it
    does not know, and uses the number again, would be sent the API key in the middle of its own connection.

    Args:
        stream: httpx's network stream.

    """

    def __init__(self, stream: Any) -> None:
        made = stream.get_extra_info("socket")
        self._socket = made if isinstance(made, socket.socket) else None
        self._state = _state_of(self._socket)
        self.is_lost = False

    def look(self) -> None:
        """See whether the number is its socket's still. If not, the socket object forgets it, and whatever is asked of
        it from here on fails, or does nothing where it is closed.
        """
        if self._socket is None or self._state is None or self._socket.fileno() < 0:
            return
        if _state_of(self._socket) != self._state:
            self._socket.detach()
            self.is_lost = True

    def get_extra_info(self, info: str) -> Any:
        """The "socket", as httpx's stream has it; None where the number is another's by now."""
        self.look()
        return None if info != "socket" or self.is_lost else self._socket

    def close_in_child(self) -> None:
        """Close a forked child's copy. At once: left to the garbage collector, it may be closed when the number has
        become another's. Not a byte is sent, and the parent's stays open.
        """
        self.look()
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()


def _state_of(connection: socket.socket | None) -> tuple[int, int] | None:
    """What no other open socket of this system has; None where it has no such thing, or is closed."""
    if connection is None or sys.platform == "win32":  # there a socket has no descriptor
        return None
    try:
        state = os.fstat(connection.fileno())
    except OSError:
        return None
    return state.st_ino, state.st_dev


@dataclass(frozen=True)
class KeyInfo:
    """What a site says of a key."""

    workspace_slug: str
    workspace_name: str
    agent: str | None
    """The one agent the key may report for; None: any."""
    scopes: tuple[str, ...]
    server_time: datetime
    clock_difference_seconds: float
    """How far this machine's clock is ahead of the site's."""


class Transport:
    """One connection to one site, for one thread.

    Args:
        http: Answers instead of the network; for tests.

    """

    def __init__(self, config: Config, http: httpx.BaseTransport | None = None) -> None:
        self._config = config
        self._http = http
        self._client: httpx.Client | None = None
        self._connection: HeldConnection | None = None
        """The one that was kept from the last exchange, or that this one is made on."""

    def after_fork(self) -> None:
        """The parent's connection stays the parent's."""
        if self._connection is not None:
            self._connection.close_in_child()
        self._client = self._connection = None

    def post_events(self, body: bytes, *, timeout: float = ANSWER_SECONDS) -> bytes:
        """Send a gzipped batch; the content of a 200.

        Args:
            body: A `wire.EventBatch` as JSON, gzipped.
            timeout: Seconds for all of it.

        Raises:
            CheckFailed: One of its kinds. The site may have taken the batch all the same.

        """
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        return self._ask("POST", "/api/v1/events", body, headers, timeout)

    def lease(self, body: bytes, *, timeout: float) -> bytes:
        """Ask for a lease; the content of a 200.

        Args:
            body: A `wire_leases.LeaseRequest` as JSON.
            timeout: Seconds for all of it.

        Raises:
            LeaseRefused: A budget grants none.
            CheckFailed: Another of its kinds: the site could not be asked.

        """
        return self._ask("POST", "/api/v1/leases", body, {"Content-Type": "application/json"}, timeout)

    def release(self, lease_id: str, body: bytes, timeout: float) -> None:
        """Give a lease back.

        Raises:
            CheckFailed: It may not have been heard; the lease ends by itself.

        """
        path = f"/api/v1/leases/{lease_id}/release"
        self._ask("POST", path, body, {"Content-Type": "application/json"}, timeout)

    def key(self) -> KeyInfo:
        """Who the key is, from the site.

        Raises:
            CheckFailed: One of its kinds.

        """
        asked_at = time.time()
        content = self._ask("GET", "/api/v1/key", None, {}, ANSWER_SECONDS)
        answered_at = time.time()
        try:
            told: dict[str, Any] = json.loads(content)
            server_time = datetime.fromisoformat(told["server_time"])
            if server_time.tzinfo is None:
                server_time = server_time.replace(tzinfo=UTC)
            return KeyInfo(
                workspace_slug=clean_words(told["workspace"]["slug"]),
                workspace_name=clean_words(told["workspace"]["name"]),
                agent=None if told["agent"] is None else clean_words(told["agent"]),
                scopes=tuple(clean_words(scope, 60) for scope in told["scopes"][:MAX_SCOPES]),
                server_time=server_time,
                clock_difference_seconds=(asked_at + answered_at) / 2 - server_time.timestamp(),
            )
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            raise not_a_site(self._config, "its answer was not JSON of the expected shape") from None

    def close(self) -> None:
        if self._client is not None:
            if self._connection is not None:
                self._connection.look()
            self._client.close()
            self._client = self._connection = None

    def _note(self, deadline: AnswerDeadline, event: str, info: dict[str, Any]) -> None:
        """Told by httpx of each connection that it makes, and of each step, before it sends or closes among them."""
        made = info.get("return_value")
        if hasattr(made, "get_extra_info"):
            self._connection = HeldConnection(made)
            info = {"return_value": self._connection}
        elif self._connection is not None:
            self._connection.look()
        deadline.note(event, info)

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout: float) -> bytes:
        if self._connection is not None:
            self._connection.look()
            if self._connection.is_lost:
                self._client = self._connection = None
        with no_fork():
            import httpx

            if self._client is None:
                self._client = httpx.Client(  # httpx imports half of itself here
                    transport=self._http,
                    follow_redirects=False,
                    headers={
                        "Authorization": f"Bearer {self._config.api_key}",
                        "User-Agent": f"costsite/{__version__}",
                        # A few kB of gzip in gzip inflate to gigabytes: an answer is taken only as it is.
                        "Accept-Encoding": "identity",
                    },
                )
        limits = httpx.Timeout(min(timeout, READ_SECONDS), connect=min(timeout, CONNECT_SECONDS))
        content = bytearray()
        deadline = AnswerDeadline(timeout)
        deadline.begin(self._connection)
        _asking.now = True
        try:
            with self._client.stream(
                method,
                self._config.url + path,
                content=body,
                headers=headers,
                timeout=limits,
                extensions={"trace": partial(self._note, deadline)},
            ) as response:
                is_plain = response.headers.get("Content-Encoding", "identity").strip().lower() == "identity"
                # What is encoded is not read at all; of an error the status says enough.
                for chunk in response.iter_raw() if is_plain else ():
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        raise not_a_site(self._config, "its answer did not end")
                    if deadline.has_passed:
                        raise TimeoutError
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            why = f"not to the end within {timeout:.0f} s" if deadline.has_passed else _in_short(error)
            raise ServerUnreachable(
                f"Costsite at {self._config.url} does not answer ({why}): "
                "start the site, or set COSTSITE_URL to its address."
            ) from error
        finally:
            deadline.end()
            _asking.now = False
            # A server's cookies are of no use here, and each would be kept and sent back.
            self._client.cookies.clear()
        if response.status_code == 204:
            return b""
        if response.status_code == 200 and not is_plain:
            raise not_a_site(self._config, "its answer was compressed, and nobody asked for that")
        if response.status_code != 200:
            raise meaning_of(self._config, response.status_code, dict(response.headers), bytes(content))
        return bytes(content)


def meaning_of(config: Config, status: int, headers: dict[str, str], content: bytes) -> CheckFailed:
    """An answer other than 200 as an error. `headers` have lower-case names."""
    wait = retry_after_seconds(headers.get("retry-after", ""), time.time())
    code, message = error_of(content)
    if status in (401, 403):
        source = config.sources.get("api_key", "default")
        variable = source if source.startswith("COSTSITE_") else "COSTSITE_API_KEY"
        return WrongKey(
            f"Costsite at {config.url} does not accept the API key {config.key_prefix}… ({status}): "
            + (message or f"set {variable} to a live key, as `manage.py create_api_key` prints it."),
            retry_after_seconds=wait,
        )
    if status == 402 and (facts := refusal_in(content)) is not None:
        return LeaseRefused(facts)
    if status in (400, 413, 422):
        code = code or {413: "too_large"}.get(status, "unreadable")
        return BatchRefused(
            f"Costsite at {config.url} does not take what costsite {__version__} sends ({status} {code}): "
            + (message or "bring the site and the package to versions that fit."),
            code=code,
        )
    if status in (408, 425, 429) or status >= 500:
        asks = "asks to be left alone for a while" if status == 429 else "fails"
        return ServerFailed(
            f"Costsite at {config.url} {asks} ({status}): {message or 'its log says why.'}", retry_after_seconds=wait
        )
    if 300 <= status < 400:
        return not_a_site(
            config, f"{status}, it points to {clean_words(headers.get('location', 'another address'), 200)}"
        )
    return not_a_site(config, f"{status} for /api/v1" + (f", {message}" if message else ""))


def not_a_site(config: Config, why: str) -> WrongUrl:
    return WrongUrl(
        f"What answers at {config.url} is not a Costsite site ({why}): set COSTSITE_URL to the site's address."
    )


def error_of(content: bytes) -> tuple[str, str]:
    """Code and message of the API's error body, cleaned; empty where it is something else."""
    from langchain_plugin import wire

    try:
        body = wire.ErrorBody.model_validate_json(content)
    except ValueError:
        return "", ""
    return clean_words(body.code, 60), clean_words(body.message)


def refusal_in(content: bytes) -> wire_leases.RefusalFacts | None:
    """What a 402 says of the budget that refuses; None where it is something else."""
    from langchain_plugin import wire, wire_leases

    try:
        return wire_leases.RefusalFacts.model_validate(wire.ErrorBody.model_validate_json(content).details[0])
    except (ValueError, IndexError):
        return None


def retry_after_seconds(value: str, now: float) -> float | None:
    """A Retry-After header, seconds or a date, as seconds from `now`, within bounds; None when it says nothing."""
    value = value.strip()
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS) if seconds == seconds else None


def _in_short(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return clean_words(_ERROR_NUMBER.sub("", text), 200)
