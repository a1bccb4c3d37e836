"""Notifications on a real desktop, as the background service shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from budgets.couriers.desktop import NO_DAEMON
from tests.virtual_desktop import DUNST, in_session, needs_a_desktop, screen

__all__ = ["in_session", "screen"]

pytestmark = needs_a_desktop

SHOW = """
import json, sys
from budgets.couriers.process import run
answer = run("desktop", {"title": sys.argv[1], "body": sys.argv[2]}, seconds=20)
print(json.dumps([answer.fate.value, answer.reason]))
"""


def test_what_is_shown_counts_as_sent_and_names_are_drawn_as_they_are(
    screen: str, in_session: Callable[..., list[Any]]
) -> None:
    title, body = "support-bot is blocked", "<i>bot</i> & co has used 100 % of its November budget."
    fate, shown, history = in_session(
        DUNST + '"$python" -c "$show" "$1" "$2"; dunstctl count displayed'
        " && dunstctl close-all && sleep 0.3 && dunstctl history | tr -d '\\n\\t'; kill $daemon",
        title, body, screen=screen, show=SHOW,
    )  # fmt: skip
    assert fate == ["sent", ""]
    assert shown == 1
    ((drawn,),) = history["data"]
    assert (drawn["summary"]["data"], drawn["appname"]["data"]) == (title, "Costsite")
    # As it came: a daemon that knows markup draws this as the tags themselves, and obeys what is not escaped.
    assert drawn["body"]["data"] == "&lt;i&gt;bot&lt;/i&gt; &amp; co has used 100 % of its November budget."


def test_a_text_that_looks_like_an_option_is_shown(screen: str, in_session: Callable[..., list[Any]]) -> None:
    fate, shown = in_session(
        DUNST + '"$python" -c "$show" "$1" "$2"; dunstctl count displayed; kill $daemon',
        "--help", "-u critical", screen=screen, show=SHOW,
    )  # fmt: skip
    assert (fate, shown) == (["sent", ""], 1)


def test_a_bus_on_which_nobody_shows_notifications_is_not_delivery(in_session: Callable[..., list[Any]]) -> None:
    (fate,) = in_session('"$python" -c "$show" a b', show=SHOW)
    assert fate == ["refused", NO_DAEMON]


def test_a_daemon_that_hangs_holds_nobody_up(screen: str, in_session: Callable[..., list[Any]]) -> None:
    (fate,) = in_session(
        DUNST + 'kill -STOP $daemon; "$python" -c "$show" a b; kill -KILL $daemon', screen=screen, show=SHOW
    )
    assert fate == ["refused", NO_DAEMON]
