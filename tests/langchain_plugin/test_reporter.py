from __future__ import annotations

import logging
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from langchain_plugin.config import Config
from langchain_plugin.reporter import MAX_EVENT_BYTES, Reporter
from tests.langchain_plugin.processes import DEAD_URL, config_for, run, spooled
from tests.langchain_plugin.stub_site import StubSite, page

# ── one for a process ────────────────────────────────────────────────────────────────────────────────────────────


def test_handlers_of_one_site_and_key_share_a_reporter(tmp_path: Path) -> None:
    one = Reporter.shared(config_for(tmp_path, agent="a"))
    assert Reporter.shared(config_for(tmp_path, agent="b", retry_max_seconds=5)) is one
    assert Reporter.shared(config_for(tmp_path, api_key="cs_1111111111_x")) is not one
    assert Reporter.shared(config_for(tmp_path, url="http://127.0.0.1:10")) is not one


def test_nothing_heavy_is_imported_and_nothing_started_until_the_first_event(tmp_path: Path) -> None:
    found = run(
        """
        import threading
        from pathlib import Path
        def state():
            return ["httpx" in sys.modules, "pydantic" in sys.modules, threading.active_count() > 1]
        print(state(), reporter.news.unit_prices is not None, list(Path(reporter.config.state_dir).iterdir()))
        reporter.append({"type": "llm_call", "call_id": "1"})
        deadline = time.monotonic() + 60
        while "httpx" not in sys.modules and time.monotonic() < deadline:
            time.sleep(0.01)
        print(state())
        """,
        tmp_path,
    )
    assert found.stdout.splitlines() == ["[False, False, False] True []", "[True, True, True]"], found.stderr


# ── without a key, or switched off ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("site", "level"),
    [
        pytest.param({}, logging.INFO, id="no site is named"),
        pytest.param({"environ": {"COSTSITE_URL": DEAD_URL}}, logging.WARNING, id="by the environment"),
        pytest.param({"url": DEAD_URL}, logging.WARNING, id="by an argument"),
    ],
)
def test_without_a_key_it_says_so_once_and_writes_and_sends_nothing(
    site: dict[str, Any], level: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for agent in ("a", "b"):
        reporter = Reporter.shared(Config.resolve(**{"environ": {}} | site, state_dir=tmp_path, agent=agent))
        reporter.append({"type": "llm_call"})
        reporter.fingerprint("1", ["x"], [])
        assert not reporter.sends
        assert reporter.flush(0)
    assert [(record.levelno, record.message) for record in caplog.records if record.name == "costsite"] == [
        (
            level,
            "Costsite has no API key: runs are counted in `last_run` and reported nowhere; "
            "set COSTSITE_API_KEY to report them.",
        )
    ]
    assert list(tmp_path.iterdir()) == []


def test_switched_off_it_is_silent_and_inert(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    reporter = Reporter.shared(config_for(tmp_path, disabled=True))
    reporter.append({"type": "llm_call"})
    assert not reporter.sends
    assert list(tmp_path.iterdir()) == []
    assert caplog.records == []


# ── append ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Odd:
    def __str__(self) -> str:
        return "odd"


class Broken:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def circular() -> dict[str, Any]:
    event: dict[str, Any] = {}
    event["self"] = event
    return event


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("a lone \ud800 surrogate", "a lone \ud800 surrogate"),
        ("a NUL \x00 and a line\nbreak", "a NUL \x00 and a line\nbreak"),
        (2**70, 2**70),
        (Odd(), "odd"),
        ({1: "a key that is no text"}, {"1": "a key that is no text"}),
        (("a", ""), ["a", ""]),
    ],
)
def test_whatever_json_can_hold_in_any_way_is_kept(value: Any, kept: Any, tmp_path: Path) -> None:
    Reporter(config_for(tmp_path)).append({"type": "llm_call", "odd": value})
    assert spooled(tmp_path) == [{"type": "llm_call", "odd": kept}]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"odd": Broken()}, "not_json"),
        (circular(), "not_json"),
        ({"step": "s" * MAX_EVENT_BYTES}, "too_large"),
    ],
)
def test_what_cannot_be_kept_is_counted_and_costs_no_other_event(event: Any, reason: str, tmp_path: Path) -> None:
    reporter = Reporter(config_for(tmp_path))
    reporter.append({"n": 1}, event, {"n": 2})
    assert spooled(tmp_path) == [{"n": 1}, {"n": 2}]
    assert reporter.losses == {reason: 1}


def test_losses_are_counted_by_reason_and_none_is_no_loss(tmp_path: Path) -> None:
    reporter = Reporter(config_for(tmp_path))
    reporter.count_loss("bug")
    reporter.count_loss("bug", 2)
    reporter.count_loss("expired", 0)
    assert reporter.losses == {"bug": 3}


# ── flush and exit ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_flush_of_nothing_is_done_at_once_and_one_that_cannot_end_ends_in_time(tmp_path: Path) -> None:
    reporter = Reporter(config_for(tmp_path))
    assert reporter.flush(0)
    reporter.append({"type": "llm_call"})
    began = time.monotonic()
    assert not reporter.flush(0.3)
    assert 0.3 <= time.monotonic() - began < 30


def test_an_exit_sends_what_waits_and_leaves_nothing_behind(site: StubSite, tmp_path: Path) -> None:
    done = run("reporter.append({'call_id': '1'})", tmp_path, site.url, exit_flush_seconds="60")
    assert (done.returncode, done.stderr) == (0, "")
    assert [event["call_id"] for event in site.events] == ["1"]
    assert spooled(tmp_path) == []
    assert list(tmp_path.rglob("0*-*.jsonl")) == []


EXIT_STEPS = ["before_exit", "flush", "save_memory", "keep_named", "release_all", "close_if_empty"]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("failing", EXIT_STEPS)
def test_at_exit_one_step_that_fails_keeps_no_other_from_its_turn(
    failing: str, error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reporter = Reporter(config_for(tmp_path))
    reporter.append({"type": "llm_call"})
    taken: list[str] = []

    def step(name: str) -> Any:
        def take(*_: Any, **__: Any) -> int:
            if threading.current_thread() is not threading.main_thread():
                return 0  # the sender takes some of these for itself
            taken.append(name)
            if name == failing:
                raise error
            return 0

        return take

    owners = {"before_exit": reporter, "flush": reporter._sender, "release_all": reporter.leases}
    with monkeypatch.context() as patched:
        for name in EXIT_STEPS:
            patched.setattr(owners.get(name, reporter._spool), name, step(name))
        with pytest.raises(KeyboardInterrupt) if error is KeyboardInterrupt else nullcontext():
            reporter._at_exit()

    assert taken == EXIT_STEPS
    assert reporter.losses == ({} if error is KeyboardInterrupt else {"bug": 1})


def test_an_exit_after_trouble_is_not_held_up(tmp_path: Path) -> None:
    done = run(
        """
        reporter.append({"call_id": "1"})
        deadline = time.monotonic() + 60
        while reporter._sender.trouble is None and time.monotonic() < deadline:
            time.sleep(0.01)
        began = time.monotonic()
        reporter._at_exit()
        print(time.monotonic() - began)
        """,
        tmp_path,
        exit_flush_seconds="60",
    )
    assert float(done.stdout) < 20
    assert [event["call_id"] for event in spooled(tmp_path)] == ["1"]
    assert "Traceback" not in done.stderr


def test_an_exit_waits_for_a_slow_site_no_longer_than_it_may(site: StubSite, tmp_path: Path) -> None:
    hang = threading.Event()

    def slow(batch: dict[str, Any]) -> Any:
        hang.wait(100)
        return page(500)(batch)

    site.answer = slow
    done = run(
        """
        reporter.append({"call_id": "1"})
        deadline = time.monotonic() + 60
        while "httpx" not in sys.modules and time.monotonic() < deadline:
            time.sleep(0.01)
        print(time.time())
        """,
        tmp_path,
        site.url,
        exit_flush_seconds="0.5",
    )
    assert time.time() - float(done.stdout) < 50
    hang.set()
    assert done.stderr == ""
    assert [event["call_id"] for event in spooled(tmp_path)] == ["1"]


def test_events_of_exit_handlers_that_run_later_are_not_lost(site: StubSite, tmp_path: Path) -> None:
    done = run(
        """
        import atexit
        atexit.unregister(reporter._at_exit)
        atexit.register(lambda: reporter.append({"call_id": "late"}))
        atexit.register(reporter._at_exit)
        reporter.append({"call_id": "early"})
        """,
        tmp_path,
        site.url,
        exit_flush_seconds="60",
    )
    assert (done.returncode, done.stderr) == (0, "")
    sent = [event["call_id"] for event in site.events]
    waiting = [event["call_id"] for event in spooled(tmp_path)]
    assert "early" in sent
    assert "late" in [*sent, *waiting]


def test_where_no_thread_can_be_started_a_flush_sends_on_its_own(site: StubSite, tmp_path: Path) -> None:
    # From Python 3.12 on no thread starts once the interpreter ends; here the process has none left to start.
    done = run(
        """
        import threading
        def refuse(self):
            raise RuntimeError("can't create new thread at interpreter shutdown")
        threading.Thread.start = refuse
        for number in range(3):
            reporter.append({"call_id": str(number)})
        """,
        tmp_path,
        site.url,
        exit_flush_seconds="60",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [event["call_id"] for event in site.events] == ["0", "1", "2"]
