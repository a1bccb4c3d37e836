from __future__ import annotations

import gzip
import json
import logging
import re
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from langchain_plugin import wire_leases
from langchain_plugin.budget_exceeded import BudgetExceeded
from langchain_plugin.config import Config
from langchain_plugin.errors import (
    BatchRefused,
    CheckFailed,
    LeaseRefused,
    NoKey,
    ServerFailed,
    ServerUnreachable,
    WrongKey,
    WrongUrl,
)
from langchain_plugin.reporter import Reporter
from langchain_plugin.server_words import clean_words
from langchain_plugin.transport import MAX_RETRY_AFTER_SECONDS, Transport, meaning_of, retry_after_seconds
from tests.langchain_plugin.conftest import KEY
from tests.langchain_plugin.stub_site import Answer, StubSite, key_facts


def config_for(url: str, **settings: Any) -> Config:
    return Config.resolve(**{"url": url, "api_key": KEY} | settings, environ={})


# ── check ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_check_tells_whose_the_key_is_and_how_far_the_clocks_are_apart(site: StubSite) -> None:
    site.key_answer = key_facts(server_time=(datetime.now(UTC) - timedelta(seconds=90)).isoformat())
    told = Reporter(config_for(site.url)).check()
    assert (told.workspace_slug, told.workspace_name, told.agent) == ("acme", "Acme", None)
    assert told.scopes == ("events:write", "read")
    assert told.clock_difference_seconds == pytest.approx(90, abs=5)
    assert site.headers[0]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("answer", "kind", "mend"),
    [
        (Answer(401), WrongKey, "set COSTSITE_API_KEY to a live key"),
        (Answer(403), WrongKey, "cs_0123456789…"),
        (Answer(404), WrongUrl, "set COSTSITE_URL"),
        (Answer(200), WrongUrl, "set COSTSITE_URL"),
        (key_facts(workspace=None), WrongUrl, "not JSON of the expected shape"),
        (key_facts(server_time="now"), WrongUrl, "not JSON of the expected shape"),
        (Answer(302, headers={"Location": "https://costs.example/login"}), WrongUrl, "https://costs.example/login"),
        (Answer(500), ServerFailed, "its log says why"),
    ],
)
def test_a_check_raises_what_is_wrong_with_the_mend(
    answer: Answer, kind: type[CheckFailed], mend: str, site: StubSite
) -> None:
    site.key_answer = answer
    with pytest.raises(kind) as raised:
        Reporter(config_for(site.url)).check()
    assert mend in str(raised.value)
    assert site.url in str(raised.value)
    assert "secret-part" not in str(raised.value)


def test_a_check_of_a_site_that_is_down_says_so(site: StubSite) -> None:
    site.close()
    with pytest.raises(ServerUnreachable, match=r"does not answer .*: start the site, or set COSTSITE_URL"):
        Reporter(config_for(site.url)).check()


def test_a_check_of_a_name_that_does_not_exist_says_so() -> None:
    with pytest.raises(ServerUnreachable, match=r"http://no-such-host\.invalid does not answer"):
        Reporter(config_for("http://no-such-host.invalid")).check()


def test_a_check_without_a_key_asks_nobody(site: StubSite) -> None:
    with pytest.raises(NoKey, match="set COSTSITE_API_KEY"):
        Reporter(Config.resolve(url=site.url, environ={})).check()
    assert site.headers == []


# ── what an answer means ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("status", "kind", "needs_a_person"),
    [
        (400, BatchRefused, True), (413, BatchRefused, True), (422, BatchRefused, True),
        (401, WrongKey, True), (403, WrongKey, True),
        (204, WrongUrl, True), (301, WrongUrl, True), (404, WrongUrl, True), (405, WrongUrl, True),
        (408, ServerFailed, False), (425, ServerFailed, False), (429, ServerFailed, False),
        (500, ServerFailed, False), (502, ServerFailed, False), (503, ServerFailed, False), (504, ServerFailed, False),
        (529, ServerFailed, False),
    ],
)  # fmt: skip
def test_every_status_has_a_meaning(status: int, kind: type[CheckFailed], needs_a_person: bool) -> None:
    meant = meaning_of(config_for("http://site"), status, {}, b"")
    assert type(meant) is kind
    assert meant.needs_a_person is needs_a_person


def test_the_sites_own_sentence_is_passed_on() -> None:
    body = json.dumps({"code": "wrong_scope", "message": "Give the key the scope events:write."}).encode()
    assert "Give the key the scope events:write." in str(meaning_of(config_for("http://site"), 403, {}, body))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("", None),
        ("soon", None),
        ("nan", None),
        ("0", 0),
        ("-5", 0),
        ("7", 7),
        ("1.5", 1.5),
        ("86400", MAX_RETRY_AFTER_SECONDS),
        ("inf", MAX_RETRY_AFTER_SECONDS),
        (format_datetime(datetime(2026, 11, 24, 12, 0, 40, tzinfo=UTC), usegmt=True), 40),
        (format_datetime(datetime(2026, 11, 24, 11, 0, 0, tzinfo=UTC), usegmt=True), 0),
        (format_datetime(datetime(2027, 11, 24, 11, 0, 0, tzinfo=UTC), usegmt=True), MAX_RETRY_AFTER_SECONDS),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date_within_bounds(value: str, seconds: float | None) -> None:
    now = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC).timestamp()
    assert retry_after_seconds(value, now) == seconds


def test_an_answer_without_end_is_cut_off(site: StubSite) -> None:
    site.answer = lambda batch: Answer(200, b" " * 9_000_000)
    with pytest.raises(WrongUrl, match="its answer did not end"):
        Transport(config_for(site.url)).post_events(gzip.compress(b'{"batch_id": "x", "events": []}'))


def test_a_compressed_answer_is_never_inflated(site: StubSite) -> None:
    million_zeros = gzip.compress(gzip.compress(bytes(1_000_000)))
    site.key_answer = Answer(200, million_zeros, {"Content-Encoding": "gzip, gzip"})
    with pytest.raises(WrongUrl, match="its answer was compressed, and nobody asked for that"):
        Reporter(config_for(site.url)).check()
    assert site.headers[0]["Accept-Encoding"] == "identity"
    site.key_answer = Answer(503, million_zeros, {"Content-Encoding": "gzip, gzip"})
    with pytest.raises(ServerFailed, match="fails \\(503\\): its log says why"):
        Reporter(config_for(site.url)).check()


@pytest.mark.parametrize(
    "beginning",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", id="in its body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Name: ", id="in its headers"),
    ],
)
def test_a_server_that_dribbles_is_given_up_after_the_time_for_all_of_it(beginning: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def dribble() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(65_536)
                connection.sendall(beginning)
                for _ in range(2_000):
                    connection.sendall(b"x")
                    time.sleep(0.05)

        threading.Thread(target=dribble, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(ServerUnreachable, match="not to the end within 1 s"):
            Transport(config_for(f"http://127.0.0.1:{server.getsockname()[1]}")).post_events(b"", timeout=1.0)
        assert 0.9 < time.monotonic() - began < 60


def test_a_kept_connection_has_a_deadline_for_each_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer_once_then_dribble() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                connection.recv(65_536)
                for _ in range(2_000):
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    time.sleep(0.05)

        threading.Thread(target=answer_once_then_dribble, daemon=True).start()
        transport = Transport(config_for(f"http://127.0.0.1:{server.getsockname()[1]}"))
        assert transport.post_events(b"", timeout=60.0) == b"{}"
        began = time.monotonic()
        with pytest.raises(ServerUnreachable, match="not to the end within 1 s"):
            transport.post_events(b"", timeout=1.0)
        assert 0.9 < time.monotonic() - began < 60


def test_no_word_of_a_server_breaks_a_line_or_drives_a_terminal(site: StubSite) -> None:
    hostile = "Fine.\nERROR root: forged \x1b[31m\x9b31m\u2028\u202e" + "x" * 3_000
    body = json.dumps({"code": hostile, "message": hostile}).encode()
    for status in (400, 403, 404, 500):
        told = str(meaning_of(config_for("http://site"), status, {}, body))
        assert told.isprintable()
        assert "Fine. ERROR root: forged" in told
        assert len(told) < 700
    moved = str(meaning_of(config_for("http://site"), 302, {"location": "http://x/\x1b[2J" + "y" * 1_000}, b""))
    assert moved.isprintable()
    assert len(moved) < 500
    site.key_answer = key_facts(workspace={"slug": hostile, "name": hostile}, agent=hostile, scopes=[hostile] * 50)
    told_of_key = Reporter(config_for(site.url)).check()
    words = [told_of_key.workspace_slug, told_of_key.workspace_name, told_of_key.agent or "", *told_of_key.scopes]
    assert all(word.isprintable() and len(word) <= 300 for word in words)
    assert len(words) <= 3 + 20


def test_no_word_of_a_refusal_does_either() -> None:
    hostile = "support-bot\nERROR root: forged \x1b[2J\x9b31m\u2028\u202e" + "x" * 3_000
    said = ("scope", "subject", "mode", "blocked_until_text")
    amounts = {"limit_microcents": None, "spent_microcents": None, "left_microcents": 1, "held_microcents": None}
    refusal = {"policy_id": 1, "asked_microcents": 1} | amounts | dict.fromkeys(said, hostile)
    for kind in ("exhausted", "held", f"exhausted{hostile}"):
        facts = refusal | {"kind": kind}
        body = json.dumps({"code": "exhausted", "message": hostile, "details": [facts]}).encode()
        refused = meaning_of(config_for("http://site"), 402, {}, body)
        assert isinstance(refused, LeaseRefused)
        lease = json.dumps({"agent": "support-bot", "valid_for_seconds": 120, "no_new_runs": facts})
        no_new_runs = wire_leases.LeaseAnswer.model_validate_json(lease).no_new_runs
        assert no_new_runs is not None
        stops = [BudgetExceeded("support-bot", one) for one in (refused.facts, no_new_runs)]
        for error in (refused, *stops):
            assert str(error).isprintable()
            assert re.search("support-bot.ERROR root: forged", str(error))
            assert len(str(error)) < 1_000
        for stop in stops:
            words = (stop.kind, stop.scope, stop.subject, stop.facts.mode, stop.facts.blocked_until_text)
            assert all(word.isprintable() for word in words)


def test_a_refusal_names_its_subject_as_people_wrote_it() -> None:
    for name in ("می\u200cخواهم", "👩\u200d💻 team"):
        facts = {
            "kind": "exhausted", "scope": "agent", "subject": name, "policy_id": 1, "mode": "hard",
            "limit_microcents": 1, "spent_microcents": 1, "left_microcents": 0, "held_microcents": 0,
            "asked_microcents": 0,
        }  # fmt: skip
        assert wire_leases.RefusalFacts.model_validate(facts).subject == name


@pytest.mark.parametrize(
    ("given", "clean"),
    [
        ("Set the clock.", "Set the clock."),
        ("  two\r\nlines\tand a tab ", "two  lines and a tab"),
        ("\x1b[31mred\x00", "\ufffd[31mred\ufffd"),
        ("über 5 €, 数", "über 5 €, 数"),
        ("x" * 300, "x" * 300),
        ("x" * 301, "x" * 299 + "…"),
        (17, "17"),
    ],
)
def test_words_are_cleaned_to_one_bounded_line(given: object, clean: str) -> None:
    assert clean_words(given) == clean


def test_requests_of_others_are_still_told_to_the_log_by_httpx(
    site: StubSite, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    import httpx

    caplog.set_level(logging.INFO)
    site.key_answer = key_facts()
    Reporter(config_for(site.url, state_dir=tmp_path)).check()
    assert [record for record in caplog.records if record.name == "httpx"] == []
    httpx.get(site.url)
    assert len([record for record in caplog.records if record.name == "httpx"]) == 1
