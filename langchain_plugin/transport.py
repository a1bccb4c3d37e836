"""HTTP to the site, and what each answer means. The only module that imports httpx, and only when it is first used:
the import takes as long as a hundred model calls may be delayed.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from langchain_plugin._version import __version__
from langchain_plugin.config import Config
from langchain_plugin.errors import BatchRefused, CheckFailed, ServerFailed, ServerUnreachable, WrongKey, WrongUrl
from langchain_plugin.fork_guard import no_fork

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
"""A site under load may take its time; giving up early would only send the same batch again."""
MAX_RETRY_AFTER_SECONDS = 300.0
MAX_ANSWER_BYTES = 8_000_000


_asking = threading.local()


class _NotOurs(logging.Filter):
    """httpx tells the log of each request at INFO: a line or two a second that no agent's developer asked for."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(_asking, "now", False)


logging.getLogger("httpx").addFilter(_NotOurs())


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

    def after_fork(self) -> None:
        """The parent's connection stays the parent's."""
        self._client = None

    def post_events(self, body: bytes, *, timeout: float = READ_SECONDS) -> bytes:
        """Send a gzipped batch; the content of a 200.

        Raises:
            CheckFailed: One of its kinds. The site may have taken the batch all the same.

        """
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        return self._ask("POST", "/api/v1/events", body, headers, timeout)

    def key(self) -> KeyInfo:
        """Who the key is, from the site.

        Raises:
            CheckFailed: One of its kinds.

        """
        asked_at = time.time()
        content = self._ask("GET", "/api/v1/key", None, {}, READ_SECONDS)
        answered_at = time.time()
        try:
            told: dict[str, Any] = json.loads(content)
            server_time = datetime.fromisoformat(told["server_time"])
            if server_time.tzinfo is None:
                server_time = server_time.replace(tzinfo=UTC)
            return KeyInfo(
                workspace_slug=told["workspace"]["slug"],
                workspace_name=told["workspace"]["name"],
                agent=told["agent"],
                scopes=tuple(told["scopes"]),
                server_time=server_time,
                clock_difference_seconds=(asked_at + answered_at) / 2 - server_time.timestamp(),
            )
        except (ValueError, KeyError, TypeError):
            raise not_a_site(self._config, "its answer was not JSON of the expected shape") from None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout: float) -> bytes:
        with no_fork():
            import httpx

            if self._client is None:
                self._client = httpx.Client(  # httpx imports half of itself here
                    transport=self._http,
                    follow_redirects=False,
                    headers={
                        "Authorization": f"Bearer {self._config.api_key}",
                        "User-Agent": f"costsite/{__version__}",
                    },
                )
        limits = httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))
        content = bytearray()
        _asking.now = True
        try:
            with self._client.stream(
                method, self._config.url + path, content=body, headers=headers, timeout=limits
            ) as response:
                for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        raise not_a_site(self._config, "its answer did not end")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise ServerUnreachable(
                f"Costsite at {self._config.url} does not answer ({_in_short(error)}): "
                "start the site, or set COSTSITE_URL to its address."
            ) from error
        finally:
            _asking.now = False
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
        return not_a_site(config, f"{status}, it points to {headers.get('location', 'another address')[:200]}")
    return not_a_site(config, f"{status} for /api/v1" + (f", {message}" if message else ""))


def not_a_site(config: Config, why: str) -> WrongUrl:
    return WrongUrl(
        f"What answers at {config.url} is not a Costsite site ({why}): set COSTSITE_URL to the site's address."
    )


def error_of(content: bytes) -> tuple[str, str]:
    """Code and message of the API's error body; empty where it is something else."""
    from langchain_plugin import wire

    try:
        body = wire.ErrorBody.model_validate_json(content)
    except ValueError:
        return "", ""
    return body.code, body.message


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
    return text.removeprefix("[Errno 111] ").removeprefix("[Errno 61] ")[:200]
