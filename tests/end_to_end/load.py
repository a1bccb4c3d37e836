"""Clients that post batches as the plugin does: each until the site has said that it took it. Every answer is noted."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from types import TracebackType
from typing import Any, NamedTuple, Self
from uuid import uuid4

import httpx

from langchain_plugin import wire, wire_leases
from tests.factories import llm_call

CALLS = 10
"""In a batch; five to a run."""
CALL = 1_200 * 15 + 300 * 60
"""Microcents of the factory's call."""
PAUSE_SECONDS = 0.1
SECONDS = 180.0
"""For what takes a few where nothing else runs."""


class Said(NamedTuple):
    """An answer that was not the one wanted."""

    status: int
    code: str
    retry_after: str | None


@dataclass
class Load:
    """`clients` threads, each a reporting process of its own; all report for the same agents, so that they meet.

    A batch that one site does not take goes to the next, as behind a proxy that knows which are up. A lease is asked
    for before each batch, whose calls name it.
    """

    urls: tuple[str, ...]
    key: str
    clients: int = 4
    agents: Sequence[str] = ("reader", "writer")
    acknowledged: set[str] = field(default_factory=set)
    """Ids of the calls that a Receipt named."""
    taken_by: Counter[str] = field(default_factory=Counter)
    """Batches, by the site's address."""
    said: Counter[Said] = field(default_factory=Counter)
    unreachable: int = 0
    leases: int = 0
    """That were granted."""

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._problems: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._report, args=(number,), name=f"load-{number}")
            for number in range(self.clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        """Ends once every batch that was begun has been taken; at once where the test has failed anyway."""
        self._over.set()
        if error is not None:
            self._problems.append(error)  # whoever still tries gives up
        for thread in self._threads:
            thread.join()
        if error is None and self._problems:
            raise self._problems[0]

    def goes_on(self, batches: int, at: str = "") -> None:
        """Wait for so many further batches to be taken, by the site at that address or by any."""
        wanted = self._batches(at) + batches
        until(lambda: self._problems or self._batches(at) >= wanted, f"{batches} batches taken ({self.said})")
        if self._problems:
            raise self._problems[0]

    def statuses(self) -> set[int]:
        return {said.status for said in self.said}

    def _batches(self, at: str) -> int:
        return self.taken_by[at] if at else self.taken_by.total()

    def _report(self, number: int) -> None:
        try:
            client_id = uuid4()
            sites = cycle(self.urls[number % len(self.urls) :] + self.urls[: number % len(self.urls)])
            with httpx.Client(headers={"Authorization": f"Bearer {self.key}"}, timeout=60) as http:
                while not self._over.is_set():
                    agent = self.agents[number % len(self.agents)]
                    url = next(sites)
                    lease = self._lease(http, url, agent, str(client_id))
                    self._send(http, url, sites, batch_of(agent, lease), str(client_id))
        except BaseException as error:
            self._problems.append(error)

    def _lease(self, http: httpx.Client, url: str, agent: str, client_id: str) -> str | None:
        asked = {"agent": agent, "client_id": client_id, "least_microcents": CALLS * CALL}
        answer = self._post(http, f"{url}/api/v1/leases", asked)
        if answer is None or answer.status_code != 200:
            return None
        lease = wire_leases.LeaseAnswer.model_validate_json(answer.content).lease_id
        with self._guard:
            self.leases += lease is not None
        return str(lease) if lease is not None else None

    def _send(
        self, http: httpx.Client, url: str, sites: Iterator[str], events: list[dict[str, Any]], client_id: str
    ) -> None:
        batch = {"batch_id": str(uuid4()), "client_id": client_id, "events": events}
        while not self._problems:
            answer = self._post(http, f"{url}/api/v1/events", batch | {"sent_at": datetime.now(UTC).isoformat()})
            if answer is not None and answer.status_code == 200:
                receipt = wire.Receipt.model_validate_json(answer.content)
                assert str(receipt.batch_id) == batch["batch_id"]
                assert receipt.names_every_event(len(events)), receipt
                assert receipt.rejected == []
                with self._guard:
                    self.acknowledged.update(event["call_id"] for event in events)
                    self.taken_by[url] += 1
                return
            time.sleep(PAUSE_SECONDS)
            url = next(sites)

    def _post(self, http: httpx.Client, url: str, body: dict[str, Any]) -> httpx.Response | None:
        """None when no answer came."""
        try:
            answer = http.post(url, json=body)
        except httpx.TransportError:
            with self._guard:
                self.unreachable += 1
            return None
        if answer.status_code != 200:
            with self._guard:
                self.said[said_by(answer)] += 1
        return answer


def said_by(answer: httpx.Response) -> Said:
    is_json = answer.headers.get("Content-Type", "") == "application/json"
    code = answer.json()["code"] if is_json else answer.text[:200]
    return Said(answer.status_code, code, answer.headers.get("Retry-After"))


def batch_of(agent: str, lease: str | None = None, *, calls: int = CALLS, **changes: Any) -> list[dict[str, Any]]:
    """Events of calls that begin now, in two runs."""
    now = datetime.now(UTC)
    runs = [uuid4(), uuid4()]
    facts = {"agent": agent, "started_at": now, "ended_at": now, "lease_id": lease} | changes
    return [
        llm_call(run_id=runs[number % 2], call_index=number // 2, **facts).model_dump(mode="json")
        for number in range(calls)
    ]


def until(holds: Any, what: str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen in {seconds:.0f} s"
        time.sleep(0.05)


@contextmanager
def load_on(*urls: str, key: str, clients: int = 4) -> Iterator[Load]:
    with Load(urls, key, clients) as load:
        yield load
