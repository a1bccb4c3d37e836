"""Lines of budgets on the developer's own desktop: shown once on a machine, and what cannot be shown is said."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from langchain_plugin import CostCallbackHandler
from langchain_plugin.desktop import NO_PLYER, Desktop
from langchain_plugin.desktop_courier import NO_DAEMON
from langchain_plugin.wire import LinePassed
from tests.langchain_plugin.models import ScriptedModel
from tests.langchain_plugin.stub_site import StubSite, leave, receipt
from tests.virtual_desktop import DUNST, in_session, needs_a_desktop, screen

__all__ = ["in_session", "screen"]

LINE = {
    "crossing_id": 7,
    "title": "support-bot: 80 % of the November budget",
    "body": "support-bot <b>has</b> used 80 % of its November budget (40.00¢ of 50.00¢).",
}
AGENT = """
import json, logging, sys, threading, time
from langchain_plugin import CostCallbackHandler
from tests.langchain_plugin.models import ScriptedModel
said = []
class Listening(logging.Handler):
    def emit(self, record): said.append(record.getMessage())
logging.getLogger("costsite").addHandler(Listening())
url, folder, flag = sys.argv[1:4]
costs = CostCallbackHandler(
    agent="support-bot", api_key="cs_0123456789_desktop", url=url, state_dir=folder, desktop_notifications=flag
)
ScriptedModel().invoke("Where is it?", {"callbacks": [costs]})
assert costs.flush(60)
for thread in threading.enumerate():
    if thread.name == "costsite-desktop":
        thread.join(60)
print(json.dumps(said))
"""


def with_line(batch: dict[str, Any]) -> Any:
    return receipt(batch, lines_passed=[LINE])


@needs_a_desktop
def test_a_line_is_shown_once_on_a_machine_whatever_its_processes_hear(
    site: StubSite, screen: str, in_session: Callable[..., list[Any]], tmp_path: Path
) -> None:
    site.answer = with_line
    run = '"$python" -c "$agent" "$1" "$2" true; '
    first, second, shown, history = in_session(
        DUNST + run * 2 + "dunstctl count displayed && dunstctl close-all && sleep 0.3"
        " && dunstctl history | tr -d '\\n\\t'; kill $daemon",
        site.url, str(tmp_path / "state"), screen=screen, agent=AGENT,
    )  # fmt: skip
    assert (first, second) == ([], [])
    assert shown == 1
    ((drawn,),) = history["data"]
    assert drawn["summary"]["data"] == LINE["title"]
    assert (
        drawn["body"]["data"]
        == "support-bot &lt;b&gt;has&lt;/b&gt; used 80 % of its November budget (40.00¢ of 50.00¢)."
    )


@needs_a_desktop
def test_a_line_that_another_process_passed_comes_with_the_lease(
    site: StubSite, screen: str, in_session: Callable[..., list[Any]], tmp_path: Path
) -> None:
    site.lease_answer = lambda asked: leave(asked, lines_passed=[LINE])
    _, shown = in_session(
        DUNST + '"$python" -c "$agent" "$1" "$2" true; dunstctl count displayed; kill $daemon',
        site.url, str(tmp_path / "state"), screen=screen, agent=AGENT,
    )  # fmt: skip
    assert shown == 1


@needs_a_desktop
def test_where_nobody_shows_it_the_log_says_the_line_and_why(
    site: StubSite, in_session: Callable[..., list[Any]], tmp_path: Path
) -> None:
    site.answer = with_line
    (said,) = in_session('"$python" -c "$agent" "$1" "$2" true', site.url, str(tmp_path / "state"), agent=AGENT)
    assert said[0] == LINE["body"]
    assert NO_DAEMON in said[1]
    assert "COSTSITE_DESKTOP_NOTIFICATIONS=false" in said[1]


@needs_a_desktop
def test_what_was_not_asked_for_is_not_shown(
    site: StubSite, screen: str, in_session: Callable[..., list[Any]], tmp_path: Path
) -> None:
    site.answer = with_line
    said, shown = in_session(
        DUNST + '"$python" -c "$agent" "$1" "$2" false; dunstctl count displayed; kill $daemon',
        site.url, str(tmp_path / "state"), screen=screen, agent=AGENT,
    )  # fmt: skip
    assert (said, shown) == ([], 0)


def test_without_plyer_the_log_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "plyer", None)
    desktop = Desktop(tmp_path)
    with caplog.at_level(logging.WARNING, "costsite"):
        for crossing_id in (7, 8, 7):
            desktop.tell([LinePassed(**LINE | {"crossing_id": crossing_id})])
    said = [record.getMessage() for record in caplog.records]
    assert said == [LINE["body"], said[1], LINE["body"]]
    assert NO_PLYER in said[1]


def test_what_a_server_says_is_one_line_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "plyer", None)
    with caplog.at_level(logging.WARNING, "costsite"):
        Desktop(tmp_path).tell([LinePassed(crossing_id=1, title="t", body="one\ntwo\x1b[31m" + "x" * 1_000)])
    said = caplog.records[0].getMessage()
    assert "\n" not in said
    assert "\x1b" not in said
    assert len(said) <= 300


def test_a_folder_that_cannot_be_written_shows_a_line_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "plyer", None)
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    desktop = Desktop(in_the_way)
    with caplog.at_level(logging.WARNING, "costsite"):
        for _ in range(3):
            desktop.tell([LinePassed(**LINE)])
    assert [record.getMessage() for record in caplog.records].count(str(LINE["body"])) == 1


def test_a_call_does_not_wait_for_the_desktop(site: StubSite, tmp_path: Path) -> None:
    """Nothing of it happens before the site has the call, and then on the sender's thread."""
    site.answer = with_line
    costs = CostCallbackHandler(
        agent="support-bot", api_key="cs_0123456789_waits", url=site.url, state_dir=tmp_path, send_after_seconds=60,
        desktop_notifications=True,
    )  # fmt: skip
    ScriptedModel().invoke("Where is it?", {"callbacks": [costs]})
    assert not list(tmp_path.rglob("lines_shown"))
    assert costs.flush(60)
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("lines_shown/7")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [mark.name for mark in tmp_path.rglob("lines_shown/*")] == ["7"]
