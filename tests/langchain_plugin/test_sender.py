"""What leaves the spool, when, and what is said of it: a real reporter against a site that answers as it is told."""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from langchain_plugin import CostCallbackHandler, wire
from langchain_plugin.config import Config
from langchain_plugin.fingerprints import Fingerprints
from langchain_plugin.losses import Losses
from langchain_plugin.reporter import Reporter
from tests.langchain_plugin.conftest import KEY, MakeReporter
from tests.langchain_plugin.stub_site import Answer, StubSite, error, page, receipt


@pytest.fixture
def reporter(make_reporter: MakeReporter) -> Reporter:
    return make_reporter()


def llm_call(**changes: Any) -> dict[str, Any]:
    now = time.time()
    facts = {
        "type": "llm_call",
        "call_id": str(uuid4()),
        "run_id": str(uuid4()),
        "agent": "support-bot",
        "provider": "openai",
        "request_model": "gpt-4o-mini",
        "started_at": now - 2,
        "ended_at": now,
        "input_tokens": 1200,
        "output_tokens": 300,
    }
    return facts | changes


def ids(events: list[dict[str, Any]]) -> list[str]:
    return [event["call_id"] for event in events]


def on_disk(folder: Path) -> str:
    return "".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "costsite" and record.levelname == "WARNING"]


def told(caplog: pytest.LogCaptureFixture, part: str) -> bool:
    """A warning has this in it, now or soon."""
    deadline = time.monotonic() + 60
    while not any(part in text for text in warnings(caplog)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return any(part in text for text in warnings(caplog))


def lines_of(path: Path) -> list[str]:
    """Each begins by ending what may have been cut off before it, so there are empty ones between."""
    return [text for text in path.read_text().splitlines() if text]


def test_a_sender_that_another_thread_started_meanwhile_is_not_started_again(reporter: Reporter) -> None:
    sender = reporter._sender
    lock = sender._starting

    class LockThatAnotherHadFirst:
        release = lock.release

        def acquire(self, *, blocking: bool) -> bool:
            sender._starting = lock
            assert sender.start()
            started.append(sender._thread)
            return lock.acquire(blocking=blocking)

    started: list[threading.Thread | None] = []
    sender._starting = LockThatAnotherHadFirst()  # type: ignore[assignment]
    assert sender.start()
    assert [sender._thread] == started


def test_who_does_not_get_the_turn_to_send_sends_nothing(reporter: Reporter, site: StubSite) -> None:
    folder = reporter.config.spool_folder
    folder.mkdir(parents=True)
    (folder / f"{uuid4()}.jsonl").write_text(json.dumps(llm_call()) + "\n")
    with reporter._sender._turn:
        assert not reporter.drain(0.01)
    assert site.batches == []
    assert reporter.drain(60)
    assert len(site.events) == 1


def test_a_flush_that_gives_up_soon_takes_no_hurry_from_one_that_does_not(
    make_reporter: MakeReporter, site: StubSite
) -> None:
    reporter = make_reporter(send_after_seconds=60)
    was_asked, may_answer = threading.Event(), threading.Event()

    def answer_when_told(batch: dict[str, Any]) -> Answer:
        was_asked.set()
        may_answer.wait(60)
        return receipt(batch)

    site.answers.append(answer_when_told)
    reporter.append(*[llm_call() for _ in range(wire.CLIENT_EVENTS_PER_BATCH + 10)])
    with ThreadPoolExecutor() as pool:
        patient = pool.submit(reporter.flush, 30)
        assert was_asked.wait(60)
        assert not reporter.flush(0.01)
        may_answer.set()
        assert patient.result()
    assert len(site.batches) == 2


# ── a batch ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_batch_is_what_the_wire_says(reporter: Reporter, site: StubSite) -> None:
    reporter.count_loss("bug", 3)
    calls = [llm_call() for _ in range(3)]
    reporter.append(*calls)
    assert reporter.flush(60)
    (sent,) = site.batches
    batch = wire.EventBatch.model_validate_json(json.dumps(sent))
    assert [str(event.call_id) for event in batch.events if isinstance(event, wire.LLMCall)] == ids(calls)
    assert abs(batch.sent_at.timestamp() - time.time()) < 30
    assert batch.health.dropped == {"bug": 3}
    assert (batch.health.spool_events, batch.health.spool_bytes) == (0, 0)
    assert batch.health.pid > 0
    assert {"costsite", "python", "langchain-core"} <= batch.health.versions.keys()
    assert site.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert site.headers[0]["Content-Encoding"] == "gzip"


def test_a_batch_says_what_is_left_to_send_once_it_is_taken(reporter: Reporter, site: StubSite) -> None:
    calls = [llm_call() for _ in range(1_100)]
    size = len(json.dumps(calls[0], separators=(",", ":"))) + 1
    reporter.append(*calls)
    assert reporter.flush(60)

    sent, left = 0, []
    for batch in site.batches:
        sent += len(batch["events"])
        left.append((batch["health"]["spool_events"], batch["health"]["spool_bytes"]))
        assert left[-1][0] == 1_100 - sent
        assert left[-1][1] == pytest.approx(size * (1_100 - sent), rel=0.05)
    assert len(left) > 2
    assert left[-1] == (0, 0)


def test_events_gather_before_they_are_sent_and_250_do_not_wait(make_reporter: MakeReporter, site: StubSite) -> None:
    reporter = make_reporter(send_after_seconds=1.0)
    began = time.monotonic()
    for _ in range(10):
        reporter.append(llm_call())
    while not site.batches:
        time.sleep(0.005)
    assert site.posted_at[0] - began >= 0.9
    assert len(site.batches[0]["events"]) == 10

    reporter = make_reporter(send_after_seconds=60)
    began = time.monotonic()
    for _ in range(250):
        reporter.append(llm_call())
    while len(site.batches) < 2:
        time.sleep(0.005)
    assert site.posted_at[1] - began < 50


def test_no_batch_is_larger_than_a_client_may_send(reporter: Reporter, site: StubSite) -> None:
    calls = [llm_call() for _ in range(1200)]
    calls += [llm_call(step="s" * 150_000) for _ in range(12)]
    for call in calls:
        reporter.append(call)
    assert reporter.flush(60)
    assert max(len(batch["events"]) for batch in site.batches) <= wire.CLIENT_EVENTS_PER_BATCH
    assert max(site.sizes) <= wire.CLIENT_BATCH_BYTES
    assert ids(site.events) == ids(calls), "in order, each once"


def test_an_idle_reporter_does_nothing(make_reporter: MakeReporter, site: StubSite) -> None:
    reporter = make_reporter(adopt_every_seconds=30)
    reporter.append(llm_call())
    assert reporter.flush(60)
    (thread,) = (thread for thread in threading.enumerate() if thread is reporter._sender._thread)
    time.sleep(0.2)

    def switches() -> int:
        status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
        return sum(int(count) for count in re.findall(r"ctxt_switches:\s+(\d+)", status))

    before = switches()
    time.sleep(1)
    assert switches() == before
    assert len(site.batches) == 1


# ── when an event leaves ─────────────────────────────────────────────────────────────────────────────────────────


def without(index: int) -> Callable[[dict[str, Any]], Answer]:
    return lambda batch: receipt(batch, accepted=[i for i in range(len(batch["events"])) if i != index])


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(page(200), id="a page with 200"),
        pytest.param(lambda batch: Answer(200, b""), id="nothing with 200"),
        pytest.param(lambda batch: Answer(200, b'{"status": "ok"}'), id="other JSON with 200"),
        pytest.param(lambda batch: receipt(batch, batch_id=str(uuid4())), id="a receipt for another batch"),
        pytest.param(without(1), id="a receipt that leaves one out"),
        pytest.param(lambda batch: receipt(batch, duplicates=[0]), id="a receipt with two fates for one"),
        pytest.param(page(204), id="204"),
        pytest.param(page(302, Location="/login"), id="a redirect"),
        pytest.param(error(401), id="401"),
        pytest.param(error(403), id="403"),
        pytest.param(error(404), id="404"),
        pytest.param(error(405), id="405"),
        pytest.param(error(408), id="408"),
        pytest.param(error(415), id="415"),
        pytest.param(error(429, Retry_After="0"), id="429"),
        pytest.param(error(500), id="500"),
        pytest.param(error(503, Retry_After="0"), id="503"),
    ],
)
def test_nothing_leaves_the_spool_without_a_receipt_that_names_it(
    answer: Callable[[dict[str, Any]], Answer], reporter: Reporter, site: StubSite, tmp_path: Path
) -> None:
    waiting_when_answered: list[int] = []

    def look_then_answer(batch: dict[str, Any]) -> Answer:
        waiting_when_answered.append(reporter.pending)
        return answer(batch)

    site.answers.extend([look_then_answer, look_then_answer])
    calls = [llm_call() for _ in range(3)]
    reporter.append(*calls)
    deadline = time.monotonic() + 60
    while len(site.batches) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    text = on_disk(tmp_path)
    assert all(call["call_id"] in text for call in calls)
    assert reporter.flush(60)
    assert waiting_when_answered == [3, 3], "the second attempt had all of them again"
    assert ids(site.batches[-1]["events"]) == ids(calls)
    assert reporter.losses == {}


def test_an_event_that_is_a_duplicate_leaves_too(reporter: Reporter, site: StubSite) -> None:
    site.answers.append(lambda batch: receipt(batch, accepted=[0], duplicates=[1]))
    reporter.append(llm_call(), llm_call())
    assert reporter.flush(60)
    assert len(site.batches) == 1


def test_a_rejected_event_is_kept_apart_with_the_sites_reason(
    reporter: Reporter, site: StubSite, caplog: pytest.LogCaptureFixture
) -> None:
    rejection = {"index": 1, "code": "bad_tokens", "message": "input_tokens must not be negative."}
    site.answers.append(lambda batch: receipt(batch, accepted=[0, 2], rejected=[rejection]))
    calls = [llm_call() for _ in range(3)]
    reporter.append(*calls)
    assert reporter.flush(60)
    assert reporter.losses == {"rejected": 1}
    path = reporter.config.spool_folder / "rejected.jsonl"
    (kept,) = (json.loads(text) for text in lines_of(path))
    assert (kept["code"], kept["message"]) == ("bad_tokens", "input_tokens must not be negative.")
    assert kept["event"] == calls[1]
    assert path.stat().st_mode & 0o777 == 0o600
    assert [text for text in warnings(caplog) if "input_tokens must not be negative" in text]


def test_a_flush_tells_that_nothing_waits_and_the_losses_what_was_not_taken(site: StubSite, tmp_path: Path) -> None:
    site.answer = lambda batch: receipt(
        batch, accepted=[], rejected=[{"index": 0, "code": "too_old", "message": "Set the clock."}]
    )
    handler = CostCallbackHandler(api_key=KEY, url=site.url, state_dir=tmp_path, send_after_seconds=0.05)
    handler.reporter.append(llm_call())
    assert handler.flush(60)
    assert handler.losses == {"rejected": 1}


def test_one_event_that_makes_the_site_refuse_a_batch_blocks_no_other(reporter: Reporter, site: StubSite) -> None:
    calls = [llm_call() for _ in range(100)]
    bad = calls[37]["call_id"]

    def refuse_the_bad(batch: dict[str, Any]) -> Answer:
        return error(400, "unreadable", "Not JSON.")(batch) if bad in ids(batch["events"]) else receipt(batch)

    site.answer = refuse_the_bad
    reporter.append(*calls)
    assert reporter.flush(60)
    accepted = [event for batch in site.batches if bad not in ids(batch["events"]) for event in batch["events"]]
    assert ids(accepted) == [call["call_id"] for call in calls if call["call_id"] != bad]
    assert reporter.losses == {"rejected": 1}
    (kept,) = lines_of(reporter.config.spool_folder / "rejected.jsonl")
    assert json.loads(kept)["event"]["call_id"] == bad


def test_a_batch_that_is_too_large_for_a_proxy_is_halved_until_it_passes(reporter: Reporter, site: StubSite) -> None:
    site.answer = lambda batch: error(413)(batch) if len(batch["events"]) > 10 else receipt(batch)
    calls = [llm_call() for _ in range(100)]
    reporter.append(*calls)
    assert reporter.flush(60)
    accepted = [event for batch in site.batches if len(batch["events"]) <= 10 for event in batch["events"]]
    assert ids(accepted) == ids(calls)
    assert reporter.losses == {}


def test_a_site_that_refuses_even_an_empty_batch_costs_no_event(
    reporter: Reporter, site: StubSite, caplog: pytest.LogCaptureFixture
) -> None:
    site.answer = error(400, "unknown_field", "Update the site.")
    reporter.append(llm_call(), llm_call(), llm_call())
    assert told(caplog, "Update the site")
    assert not reporter.flush(0.5)
    assert (reporter.pending, reporter.losses) == (3, {})
    site.answer = receipt
    assert reporter.flush(60)
    assert reporter.losses == {}


def test_a_torn_line_of_a_dead_process_is_counted_and_the_rest_is_sent(
    make_reporter: MakeReporter, site: StubSite
) -> None:
    reporter = make_reporter()
    whole = [llm_call(), llm_call()]
    lines = [json.dumps(whole[0]), '{"type": "llm_c', "\x00\x00\x00", "[1]", "", json.dumps(whole[1]), '{"cut": ']
    folder = reporter.config.spool_folder
    folder.mkdir(parents=True)
    (folder / "0192b5a0-0000-7000-8000-000000000001.jsonl").write_text("\n".join(lines))
    fresh = llm_call()
    reporter.append(fresh)
    deadline = time.monotonic() + 60
    while len(site.events) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sorted(ids(site.events)) == sorted(ids([*whole, fresh]))
    assert reporter.flush(60)
    assert reporter.losses == {"torn_line": 4}
    assert [path.name for path in folder.glob("0192*")] == []


# ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("answer", "mend"),
    [
        pytest.param(page(401), "set COSTSITE_API_KEY to a live key", id="wrong key"),
        pytest.param(error(403, message="Give the key the scope events:write."), "events:write", id="scope"),
        pytest.param(page(404), "set COSTSITE_URL to the site's address", id="wrong path"),
        pytest.param(page(200), "is not a Costsite site", id="a page"),
        pytest.param(page(301, Location="https://costs.example/"), "https://costs.example/", id="redirect"),
        pytest.param(page(500), "its log says why", id="500"),
        pytest.param(error(503, message="The database is locked."), "The database is locked", id="503"),
    ],
)
def test_trouble_is_told_once_with_its_mend_and_its_end_once(
    answer: Callable[[dict[str, Any]], Answer],
    mend: str,
    reporter: Reporter,
    site: StubSite,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    site.answers.extend([answer] * 2)
    secret = llm_call(step="only in the event")
    reporter.append(secret)
    assert reporter.flush(60)
    (said,) = warnings(caplog)
    assert mend in said
    assert str(reporter.config.spool_folder) in said
    told = [record for record in caplog.records if record.name == "costsite" and record.levelname == "INFO"]
    assert [record.message for record in told] == [
        f"Costsite at {site.url} takes reports again; what waited is being sent."
    ]
    assert "secret-part" not in caplog.text
    assert "only in the event" not in caplog.text
    assert not [record for record in caplog.records if record.name == "httpx"], "httpx would tell of each request"


def test_a_site_that_is_down_is_told_of_once(
    make_reporter: MakeReporter, caplog: pytest.LogCaptureFixture, unused_url: str
) -> None:
    reporter = make_reporter(url=unused_url)
    reporter.append(llm_call())
    assert told(caplog, "does not answer")
    assert not reporter.flush(1)
    (said,) = warnings(caplog)
    assert f"Costsite at {unused_url} does not answer" in said
    assert "start the site, or set COSTSITE_URL" in said
    reporter._spool.sources()[0].settle(10**9, 1)


@pytest.fixture
def unused_url() -> str:
    stub = StubSite()
    stub.close()
    return stub.url


def test_a_folder_that_cannot_be_written_is_told_of_once_and_its_events_are_sent(
    site: StubSite, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    config = Config.resolve(
        api_key=KEY, url=site.url, state_dir=tmp_path / "file" / "state", send_after_seconds=0.05, environ={}
    )
    reporter = Reporter(config)
    for _ in range(3):
        reporter.append(llm_call())
        assert reporter.flush(60)
    assert len(site.events) == 3
    (said,) = warnings(caplog)
    assert "set COSTSITE_STATE_DIR to a local folder that can be written" in said


def test_a_notice_of_the_site_is_passed_on_once(
    reporter: Reporter, site: StubSite, caplog: pytest.LogCaptureFixture
) -> None:
    notice = {"code": "clock_differs", "message": "This host's clock is 90 s behind. Set the clock."}
    site.answer = lambda batch: receipt(batch, notices=[notice])
    for _ in range(2):
        reporter.append(llm_call())
        assert reporter.flush(60)
    assert warnings(caplog) == ["Costsite: This host's clock is 90 s behind. Set the clock."]


def test_a_folder_that_anybody_writes_to_is_not_used_and_its_mend_is_told_once(
    make_reporter: MakeReporter, site: StubSite, caplog: pytest.LogCaptureFixture
) -> None:
    reporter = make_reporter()
    folder = reporter.config.spool_folder
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    for _ in range(2):
        reporter.append(llm_call())
        assert reporter.flush(60)
    assert len(site.events) == 2
    assert list(folder.iterdir()) == []
    (said,) = warnings(caplog)
    assert f"does not use {folder} (anybody may write to it)" in said
    assert f"run `chmod o-w '{folder}'`" in said


def test_a_server_can_neither_forge_nor_flood_the_log(
    reporter: Reporter, site: StubSite, caplog: pytest.LogCaptureFixture
) -> None:
    hostile = "\nERROR root: forged \x1b[31m" + "x" * 300_000

    def answer(batch: dict[str, Any]) -> Answer:
        if not batch["events"]:
            return receipt(batch)
        notices = [{"code": f"{uuid4()}", "message": hostile} for _ in range(8)]
        rejected = [{"index": 0, "code": f"{uuid4()}{hostile}", "message": hostile}]
        return receipt(batch, accepted=[], rejected=rejected, notices=notices)

    site.answer = answer
    for _ in range(15):
        reporter.append(llm_call())
        assert reporter.flush(60)
    said = warnings(caplog)
    assert len(said) == 10 + 10
    assert all(sentence.isprintable() and len(sentence) < 600 for sentence in said)
    kept = lines_of(reporter.config.spool_folder / "rejected.jsonl")
    assert len(kept) == 15
    assert max(map(len, kept)) < 2_000
    assert all(json.loads(line)["message"].isprintable() for line in kept)


def test_retry_after_is_obeyed_even_by_a_flush(reporter: Reporter, site: StubSite) -> None:
    site.answers.append(error(503, Retry_After="5"))
    reporter.append(llm_call())
    while not site.batches:
        time.sleep(0.005)
    assert not reporter.flush(0.5)
    assert len(site.batches) == 1
    assert reporter.flush(60)
    assert site.posted_at[1] - site.posted_at[0] >= 5


# ── hashes ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_hashes_are_keyed_by_the_workspace_and_text_goes_nowhere(
    reporter: Reporter, site: StubSite, tmp_path: Path
) -> None:
    call = llm_call(tool_calls=[["search", ""]])
    reporter.append(call)
    reporter.fingerprint(call["call_id"], ["a private question"], [("search", {"query": "private", "n": 1})])
    assert reporter.flush(60)
    learning, batch = site.batches
    assert learning["events"] == [], "the key was asked for first"
    (sent,) = batch["events"]
    assert wire.LLMCall.model_validate_json(json.dumps(sent)).tool_calls[0].name == "search"

    again = Fingerprints(Losses())
    again.put("x", ["a private question"], [("search", {"n": 1, "query": "private"})])
    again.settle(5)
    keyed = again.keyed("x", reporter.news.hash_key)
    assert keyed is not None
    assert (sent["prompt_hash"], sent["tool_calls"]) == (keyed.prompt, [["search", keyed.arguments[0][1]]])
    assert "private" not in json.dumps(site.batches)
    assert "private" not in on_disk(tmp_path)


def test_a_process_that_knows_the_key_already_asks_for_nothing_first(
    make_reporter: MakeReporter, site: StubSite
) -> None:
    first = make_reporter()
    call = llm_call()
    first.append(call)
    first.fingerprint(call["call_id"], ["question"], [])
    assert first.flush(60)
    second = make_reporter()
    call = llm_call()
    second.append(call)
    second.fingerprint(call["call_id"], ["question"], [])
    assert second.flush(60)
    assert [len(batch["events"]) for batch in site.batches] == [0, 1, 1]
    assert site.events[0]["prompt_hash"] == site.events[1]["prompt_hash"]


def test_hashes_survive_a_failed_attempt_and_are_forgotten_after_the_receipt(
    reporter: Reporter, site: StubSite
) -> None:
    site.answers.extend([receipt, error(500)])
    call = llm_call()
    reporter.append(call)
    reporter.fingerprint(call["call_id"], ["question"], [])
    assert reporter.flush(60)
    assert site.events[0]["prompt_hash"] == site.events[1]["prompt_hash"]
    assert len(reporter._fingerprints) == 0
