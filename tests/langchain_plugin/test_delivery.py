"""What becomes of a batch, one attempt at a time: a delivery without its thread, before a site over real HTTP."""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from langchain_plugin import rejected
from langchain_plugin.adoption import Adoption
from langchain_plugin.config import Config
from langchain_plugin.delivery import Delivery
from langchain_plugin.errors import NoRoom, ServerFailed
from langchain_plugin.fingerprints import Fingerprints
from langchain_plugin.json_lines import to_line
from langchain_plugin.losses import Losses, losses_line
from langchain_plugin.news import News
from langchain_plugin.spool import Spool
from langchain_plugin.transport import Transport
from tests.langchain_plugin.conftest import KEY
from tests.langchain_plugin.stub_site import Answer, StubSite, error, receipt

TIMEOUT_SECONDS = 60.0
TAKES_AGAIN = "takes reports again; what waited is being sent"


class Sending:
    """A delivery and what it is made of."""

    def __init__(self, config: Config) -> None:
        self.folder = config.spool_folder
        self.losses = Losses()
        self.spool = Spool(self.folder, self.losses, max_bytes=config.spool_max_bytes, wake=lambda: True)
        self.adoption = Adoption(self.folder, self.losses)
        self.delivery = Delivery(
            config,
            self.spool,
            self.adoption,
            News(None),
            Fingerprints(self.losses),
            self.losses,
            Transport(config),
            on_confirmed=lambda call_ids: None,
        )

    def append(self, *call_ids: str) -> None:
        for call_id in call_ids:
            self.spool.append(to_line({"type": "llm_call", "call_id": call_id}), 1)

    def adopt_losses(self, **dropped: int) -> UUID:
        """Of a process that died; its id."""
        client_id = uuid4()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        line = to_line(losses_line(client_id, {"dropped": dropped}))
        (self.folder / f"{client_id}.jsonl").write_bytes(line)
        self.adoption.look(except_for=self.spool.own_files())
        return client_id

    def attempt(self) -> float:
        """One; the seconds to wait after it, a little more than they are."""
        began = time.monotonic()
        self.delivery.send_next(timeout=TIMEOUT_SECONDS)
        return self.delivery.patience.retry_monotonic - began

    def kept_apart(self) -> list[str]:
        """The call ids in `rejected.jsonl`."""
        lines = (self.folder / "rejected.jsonl").read_text().splitlines()
        return [json.loads(line)["event"]["call_id"] for line in lines if line]


class Disk:
    """`room` is for how many more rejected events; None: for all."""

    room: int | None = None


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    append = rejected._append

    def append_while_there_is_room(path: Path, line: bytes, max_bytes: int) -> bool:
        if disk.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if disk.room is not None:
            disk.room -= 1
        return append(path, line, max_bytes)

    monkeypatch.setattr(rejected, "_append", append_while_there_is_room)
    return disk


@pytest.fixture
def sending(site: StubSite, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Sending:
    caplog.set_level(logging.INFO, "costsite")
    return Sending(Config.resolve(api_key=KEY, url=site.url, state_dir=tmp_path, environ={}))


class Ledger:
    """A site's answers: what it has is a duplicate; calls whose id begins with "bad" it rejects."""

    def __init__(self) -> None:
        self.call_ids: list[str] = []

    def __call__(self, batch: dict[str, Any]) -> Answer:
        fates: dict[str, list[Any]] = {"accepted": [], "duplicates": [], "rejected": []}
        for index, event in enumerate(batch["events"]):
            call_id = event["call_id"]
            if call_id.startswith("bad"):
                fates["rejected"].append({"index": index, "code": "too_old", "message": "Set the clock."})
            elif call_id in self.call_ids:
                fates["duplicates"].append(index)
            else:
                self.call_ids.append(call_id)
                fates["accepted"].append(index)
        return receipt(batch, **fates)


def said(caplog: pytest.LogCaptureFixture, part: str) -> int:
    return sum(part in record.message for record in caplog.records if record.name == "costsite")


def require_growing(waits: list[float]) -> None:
    """Each at least half of twice as long as the last may be: half a second, one, two and so on."""
    assert all(wait >= 0.25 * 2**count for count, wait in enumerate(waits)), waits


# ── no room for what the site rejects ────────────────────────────────────────────────────────────────────────────────


def test_while_there_is_no_room_for_what_is_rejected_the_waits_grow_and_nothing_is_lost_or_counted(
    sending: Sending, site: StubSite, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    site.answer = ledger = Ledger()
    disk.room = 0
    sending.append("1", "bad", "2")

    require_growing([sending.attempt() for _ in range(5)])

    assert isinstance(sending.delivery.patience.trouble, NoRoom)
    assert (sending.spool.pending, sending.delivery.sent, sending.losses.by_reason()) == (3, 0, {})
    assert (said(caplog, "free space"), said(caplog, TAKES_AGAIN), len(caplog.records)) == (1, 0, 1)

    disk.room = None
    sending.attempt()

    assert sending.delivery.patience.trouble is None
    assert (sending.spool.pending, sending.delivery.sent, sending.losses.by_reason()) == (0, 2, {"rejected": 1})
    assert (ledger.call_ids, sending.kept_apart()) == (["1", "2"], ["bad"])
    assert (said(caplog, TAKES_AGAIN), said(caplog, "rejected an event"), len(caplog.records)) == (1, 1, 3)


def test_the_same_holds_for_an_event_that_the_site_cannot_read(
    sending: Sending, site: StubSite, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    site.answer = lambda batch: error(400, "unreadable", "Not JSON.")(batch) if batch["events"] else receipt(batch)
    disk.room = 0
    sending.append("bad")

    require_growing([sending.attempt() for _ in range(5)])

    assert (sending.spool.pending, sending.losses.by_reason()) == (1, {})
    assert (said(caplog, "free space"), said(caplog, TAKES_AGAIN)) == (1, 0)

    disk.room = None
    sending.attempt()

    assert (sending.spool.pending, sending.losses.by_reason(), sending.kept_apart()) == (0, {"rejected": 1}, ["bad"])
    assert said(caplog, TAKES_AGAIN) == 1


def test_what_is_rejected_is_kept_apart_once_though_the_room_ends_in_the_middle_of_a_batch(
    sending: Sending, site: StubSite, disk: Disk
) -> None:
    site.answer = Ledger()
    sending.append("bad 1", "bad 2", "bad 3")
    for disk.room in (1, 0, 1, 0):
        sending.attempt()
    assert (sending.spool.pending, sending.losses.by_reason()) == (3, {"rejected": 2})

    disk.room = None
    sending.attempt()

    assert sending.kept_apart() == ["bad 1", "bad 2", "bad 3"]
    assert (sending.spool.pending, sending.losses.by_reason()) == (0, {"rejected": 3})
    sending.append("bad 1")  # it was sent again, by who had mended the reason
    sending.attempt()
    assert sending.kept_apart() == ["bad 1", "bad 2", "bad 3", "bad 1"]


def test_a_batch_for_which_there_is_no_room_is_sent_again_no_larger_than_it_was(
    sending: Sending, site: StubSite, disk: Disk
) -> None:
    ledger = Ledger()
    site.answer = lambda batch: error(413)(batch) if len(batch["events"]) > 2 else ledger(batch)
    disk.room = 0
    sending.append("bad 1", "2", "3", "4")
    for _ in range(4):
        sending.attempt()
    assert [len(batch["events"]) for batch in site.batches] == [4, 2, 2, 2]


# ── losses told ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_losses_that_the_site_takes_do_not_end_the_trouble_with_the_events_behind_them(
    sending: Sending, site: StubSite, caplog: pytest.LogCaptureFixture
) -> None:
    site.answer = lambda batch: error(503)(batch) if batch["events"] else receipt(batch)
    sending.adopt_losses(bug=2)
    sending.append("1")

    require_growing([sending.attempt() for _ in range(5)])

    assert isinstance(sending.delivery.patience.trouble, ServerFailed)
    assert (said(caplog, "until then events wait"), len(caplog.records)) == (1, 1)

    site.answer = receipt
    sending.attempt()

    assert (sending.spool.pending, sending.adoption.pending, sending.delivery.sent) == (0, 0, 1)
    assert (said(caplog, TAKES_AGAIN), len(caplog.records)) == (1, 2)


@pytest.mark.parametrize("with_events", [True, False])
def test_a_site_that_takes_no_batch_at_all_costs_no_count_of_a_dead_process(
    with_events: bool, sending: Sending, site: StubSite, caplog: pytest.LogCaptureFixture
) -> None:
    site.answer = error(400, "unknown_field", "Update the site.")
    dead = sending.adopt_losses(bug=2)
    if with_events:
        sending.append("1")

    require_growing([sending.attempt() for _ in range(5)])

    assert (said(caplog, "Update the site"), len(caplog.records)) == (1, 1)

    site.batches.clear()
    site.answer = receipt
    while sending.delivery.patience.trouble is not None:
        sending.attempt()

    told = [batch["health"] for batch in site.batches if UUID(batch["client_id"]) == dead]
    assert told == [{"dropped": {"bug": 2}}]
    assert (sending.adoption.pending, said(caplog, TAKES_AGAIN)) == (0, 1)


def test_a_count_that_the_site_does_not_understand_keeps_no_event_waiting(sending: Sending, site: StubSite) -> None:
    dead = sending.adopt_losses(a_reason_of_a_newer_plugin=1)
    site.answer = lambda batch: error(400)(batch) if UUID(batch["client_id"]) == dead else receipt(batch)
    sending.append("1")
    sending.attempt()
    assert (sending.spool.pending, sending.adoption.pending) == (0, 0)
    assert sending.delivery.patience.trouble is None
