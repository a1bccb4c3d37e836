"""A site that answers as it is told, over real HTTP, and keeps what it was sent."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

HASH_KEY = "00112233445566778899aabbccddeeff"


class Answer(NamedTuple):
    status: int
    body: bytes = b"<html>It works!</html>"
    headers: dict[str, str] = {}


Answering = Callable[[dict[str, Any]], Answer]


def receipt(batch: dict[str, Any], **changes: Any) -> Answer:
    """All accepted, but for `changes`."""
    told = {
        "batch_id": batch["batch_id"],
        "accepted": list(range(len(batch["events"]))),
        "duplicates": [],
        "rejected": [],
        "hash_key": HASH_KEY,
    }
    return Answer(200, json.dumps(told | changes).encode(), {"Content-Type": "application/json"})


def error(status: int, code: str = "some_code", message: str = "Do this instead.", **headers: str) -> Answering:
    """The API's error body."""
    body = json.dumps({"code": code, "message": message, "details": []}).encode()
    return lambda batch: Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def page(status: int, **headers: str) -> Answering:
    """A page of something that is no site."""
    return lambda batch: Answer(status, headers=headers)


def leave(asked: dict[str, Any], **changes: Any) -> Answer:
    """Leave to go on without bound, but for `changes`."""
    told = {"agent": asked.get("agent", "?"), "valid_for_seconds": 120} | changes
    return Answer(200, json.dumps(told).encode(), {"Content-Type": "application/json"})


def key_facts(**changes: Any) -> Answer:
    """Whose a key is, but for `changes`."""
    facts = {
        "workspace": {"slug": "acme", "name": "Acme"},
        "agent": None,
        "scopes": ["events:write", "read"],
        "server_time": datetime.now(UTC).isoformat(),
        "a field of a later version": True,
    }
    return Answer(200, json.dumps(facts | changes).encode())


def refusal(kind: str, **facts: Any) -> Answering:
    """A 402, as the site words it."""
    told = {
        "kind": kind, "scope": "agent", "subject": "support-bot", "policy_id": 7, "mode": "hard",
        "limit_microcents": 50_000_000, "spent_microcents": 47_900_000, "left_microcents": 2_100_000,
        "held_microcents": 0, "asked_microcents": 3_400_000,
    } | facts  # fmt: skip
    body = json.dumps({"code": kind, "message": "No.", "details": [told]}).encode()
    return lambda asked: Answer(402, body, {"Content-Type": "application/json"})


class StubSite:
    """`answers` are used up by a batch each, then `answer` answers all. `lease_answer` answers leases, `key_answer`
    GET.
    """

    def __init__(self) -> None:
        self.answers: deque[Answering] = deque()
        self.answer: Answering = receipt
        self.key_answer: Answer = Answer(404)
        self.lease_answer: Answering = leave
        self.lease_requests: list[tuple[str, dict[str, Any]]] = []
        """Path and body."""
        self.batches: list[dict[str, Any]] = []
        """Every batch that came in, refused ones included."""
        self.sizes: list[int] = []
        """How long each batch was, in bytes, inflated."""
        self.posted_at: list[float] = []
        self.headers: list[dict[str, str]] = []
        self._server = _Server(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def events(self) -> list[dict[str, Any]]:
        """All that came in, in the order of the batches."""
        return [event for batch in self.batches for event in batch["events"]]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A process that ends, or has waited long enough, breaks its connection; that is what some tests do."""


def _handler_for(site: StubSite) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.headers.append(dict(self.headers.items()))
            self._send(site.key_answer)

        def do_POST(self) -> None:
            if self.path.startswith("/api/v1/leases"):
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                site.lease_requests.append((self.path, asked))
                self._send(site.lease_answer(asked))
                return
            body = gzip.decompress(self.rfile.read(int(self.headers["Content-Length"])))
            site.posted_at.append(time.monotonic())
            site.headers.append(dict(self.headers.items()))
            site.sizes.append(len(body))
            batch = json.loads(body)
            site.batches.append(batch)
            self._send((site.answers.popleft() if site.answers else site.answer)(batch))

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    return Handler
