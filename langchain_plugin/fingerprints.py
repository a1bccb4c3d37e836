"""Keyed hashes of prompts and tool arguments, so that a site can see repetition without seeing text.

Made on a thread of its own: 400 kB of context take about a millisecond. First an unkeyed hash, at once, so that
the text can go; then, when the event is sent, a hash of that with the workspace's key, which the first Receipt
brings. Neither the unkeyed hash nor the text is ever written or sent.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from queue import SimpleQueue
from typing import Any, NamedTuple

from langchain_plugin.losses import Losses

MAX_WAITING = 1_024
"""Prompts whose text is held until it is hashed."""
MAX_KEPT = 10_000
"""Digests held until their event is sent; about 3 MB."""
DIGEST_BYTES = 16
GATHER_SECONDS = 0.1
"""Between waking and hashing. A thread that woke for each call would take the interpreter's lock from the caller just
as it writes its event, each time; one that wakes now and then hardly meets it."""


class Digests(NamedTuple):
    """Unkeyed, of one call."""

    prompt: bytes | None
    arguments: tuple[tuple[str, bytes], ...]
    """Name of the tool, digest of its arguments."""


class Keyed(NamedTuple):
    """As it travels, in hex."""

    prompt: str | None
    arguments: tuple[tuple[str, str], ...]


class Fingerprints:
    """The hashes of calls that were not sent yet, by call id."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._forget()

    def _forget(self) -> None:
        # A SimpleQueue may be put to from a destructor or a signal handler, below itself.
        self._queue: SimpleQueue[tuple[str, Any, Sequence[tuple[str, Any]]] | threading.Event] = SimpleQueue()
        self._digests: dict[str, Digests] = {}
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def after_fork(self) -> None:
        self._forget()

    def put(self, call_id: str, messages: Any, tool_calls: Sequence[tuple[str, Any]]) -> None:
        """Hash these soon. Costs the caller's thread about a microsecond."""
        if self._queue.qsize() >= MAX_WAITING:
            self._losses.count("fingerprint")
            return
        if self._thread is None and not self._start():
            self._losses.count("fingerprint")
            return
        self._queue.put((call_id, messages, tool_calls))

    def settle(self, timeout: float) -> None:
        """Wait until what was put so far is hashed."""
        if self._thread is not None:  # an empty queue would not say that the last one is done
            done = threading.Event()
            self._queue.put(done)
            done.wait(timeout)

    def keyed(self, call_id: str, hash_key: str) -> Keyed | None:
        """The hashes of a call, if there are any."""
        digests = self._digests.get(call_id)
        if digests is None or not hash_key:
            return None
        key = _key(hash_key)

        def with_key(digest: bytes) -> str:
            return blake2b(digest, key=key, digest_size=DIGEST_BYTES).hexdigest()

        return Keyed(
            None if digests.prompt is None else with_key(digests.prompt),
            tuple((name, with_key(digest)) for name, digest in digests.arguments),
        )

    def forget(self, call_ids: Iterable[str]) -> None:
        for call_id in call_ids:
            self._digests.pop(call_id, None)

    def call_ids(self) -> list[str]:
        return list(self._digests)

    def __len__(self) -> int:
        return len(self._digests)

    def _start(self) -> bool:
        # Never waited for: this may be a destructor, below the very start that has the lock.
        if not self._starting.acquire(blocking=False):
            return True  # another starts it, for what this one puts too
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="costsite-fingerprints", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError:
            return False  # no thread can be started any more: the process ends
        finally:
            self._starting.release()
        return True

    def _run(self) -> None:
        queue = self._queue
        while True:
            if queue.empty():
                item = queue.get()
                time.sleep(GATHER_SECONDS)
            else:
                item = queue.get()
            if isinstance(item, threading.Event):
                item.set()
                continue
            call_id, messages, tool_calls = item
            del item
            try:
                digests = Digests(
                    digest_of_messages(messages),
                    tuple((name, digest_of_arguments(arguments)) for name, arguments in tool_calls),
                )
                if len(self._digests) >= MAX_KEPT:
                    self._digests.pop(next(iter(self._digests)), None)
                    self._losses.count("fingerprint")
                self._digests[call_id] = digests
            except Exception:  # a message of an unknown shape costs its hash, not the thread
                self._losses.count("fingerprint")
            del messages, tool_calls  # or the last prompt would be held until the next


@lru_cache(maxsize=4)
def _key(hash_key: str) -> bytes:
    return blake2b(hash_key.encode(), digest_size=32).digest()


def digest_of_messages(messages: Any) -> bytes | None:
    """Hashes role, content and tool calls of each message, in order; ids and metadata differ from call to call.

    `messages` is what LangChain hands a callback: a list of messages, or a list with one such list.
    """
    if not messages:
        return None
    if isinstance(messages, str):
        messages = [messages]
    if isinstance(messages[0], list | tuple):
        messages = [message for part in messages for message in part]
    digest = blake2b(digest_size=32)
    for message in messages:
        if isinstance(message, str):
            role, content, calls = "text", message, ""
        else:
            role, content = message.type, message.content
            # Not getattr: a pydantic model takes a microsecond to say that it lacks an attribute, and most lack this.
            tool_calls = vars(message).get("tool_calls")
            if not isinstance(content, str):
                content = canonical_json(content)
            calls = canonical_json([(call.get("name"), call.get("args")) for call in tool_calls]) if tool_calls else ""
        # The lengths, so that two parts never read as one.
        part = f"{len(role)} {len(content)} {len(calls)} {role}{content}{calls}"
        digest.update(part.encode("utf-8", "surrogatepass"))
    return digest.digest()


def digest_of_arguments(arguments: Any) -> bytes:
    """The same for the same arguments in another order, and for the same JSON as text or parsed."""
    if isinstance(arguments, str):
        with suppress(ValueError):
            arguments = json.loads(arguments)
    return blake2b(canonical_json(arguments).encode("utf-8", "surrogatepass"), digest_size=32).digest()


def canonical_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
