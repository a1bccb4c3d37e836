"""What carries a message out, as real processes against real servers."""

from __future__ import annotations

import email
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from email.header import decode_header, make_header
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from budgets.channel_urls import UNREACHABLE
from budgets.couriers.answer import Answer, Fate
from budgets.couriers.desktop import NO_BACKEND, NO_BUS
from budgets.couriers.process import run
from tests.budgets.receivers import Webhook, mail_server, webhook

PROJECT = Path(__file__).resolve().parents[2]
ID = "0198c0de-0000-7000-8000-000000000001"
ORDER = {
    "id": ID,
    "title": "support-bot is blocked",
    "body": 'It <b>is</b> & stays so, "today".',
    "urgent": True,
    "facts": {"event": "budget_threshold_crossed", "agent": "support-bot", "workspace": None, "refuses_new_runs": True},
}


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook() as state:
        yield state


def deliver(url: str, *, private: bool = True, seconds: float = 20, **changes: Any) -> Answer:
    return run("services", ORDER | {"url": url, "private": private} | changes, seconds=seconds)


# ── webhooks ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_webhook_gets_the_words_the_facts_and_the_id(hook: Webhook) -> None:
    assert deliver(hook.url()) == Answer(Fate.SENT, "", "JSON")
    (taken,) = hook.taken
    assert taken.headers["Idempotency-Key"] == ID
    said = taken.json
    assert (said["id"], said["title"], said["message"]) == (ID, ORDER["title"], ORDER["body"])
    assert {name: said[name] for name in ORDER["facts"]} == ORDER["facts"]


def test_a_plain_address_gets_json_and_keeps_its_query(hook: Webhook) -> None:
    assert deliver(hook.url("hook?token=a%2Fb&x=", scheme="http")).fate == Fate.SENT
    (taken,) = hook.taken
    assert taken.path == "/hook?token=a%2Fb&x="
    assert taken.json["id"] == ID


@pytest.mark.parametrize(
    ("scheme", "written"), [("form", b"refuses_new_runs=true"), ("xml", b"<refuses_new_runs>true</refuses_new_runs>")]
)
def test_forms_and_xml_get_the_facts_as_text(hook: Webhook, scheme: str, written: bytes) -> None:
    assert deliver(hook.url(scheme=scheme)).fate == Fate.SENT
    (taken,) = hook.taken
    assert written in taken.body
    assert ID.encode() in taken.body


def test_a_refusal_says_its_status_and_nothing_of_the_address(hook: Webhook) -> None:
    hook.status = 503
    answer = deliver(hook.url("secret"))
    assert answer == Answer(Fate.FAILED, "The service answered 503 (Service Unavailable).", "JSON")


def test_a_redirect_leads_nowhere_whatever_the_address_asks(hook: Webhook) -> None:
    hook.status, hook.location = 307, hook.url("elsewhere", scheme="http")
    assert deliver(hook.url("hook?redirect=yes")).reason == "The service answered 307 (Temporary Redirect)."
    assert [taken.path for taken in hook.taken] == ["/hook"]


def test_nobody_there_is_a_failure_that_may_pass() -> None:
    assert deliver("json://127.0.0.1:1/secret") == Answer(Fate.FAILED, UNREACHABLE, "JSON")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_own_network_is_out_of_reach_by_whatever_name(hook: Webhook, host: str) -> None:
    answer = deliver(f"json://{host}:{hook.port}/", private=False)
    assert (answer.fate, answer.reason) == (Fate.FAILED, UNREACHABLE)
    assert hook.taken == []


@pytest.mark.parametrize("scheme", ["json", "ntfy", "mailto"])
def test_nobody_learns_which_names_the_own_network_has(scheme: str) -> None:
    login, query = ("u:p@", "?to=a@example.com") if scheme == "mailto" else ("", "")
    known, unknown = (
        deliver(f"{scheme}://{login}{host}:9/topic{query}", private=False) for host in ("localhost", "no-such.invalid")
    )
    assert known == unknown
    assert known.reason == UNREACHABLE


@pytest.mark.parametrize(
    "url", ["slack://half", "json://", "dbus://", "file:///etc/passwd", "kodi://127.0.0.1", "nonsense"]
)
def test_an_address_that_is_not_complete_or_not_on_the_list_is_refused(url: str) -> None:
    answer = run("services", {"url": url, "private": True, "check": True}, seconds=20)
    assert answer.fate == Fate.REFUSED
    assert "docs/notifications.md" in answer.reason


def test_a_chat_services_own_webhook_address_is_known() -> None:
    address = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
    assert run("services", {"url": address, "private": False, "check": True}, seconds=20) == Answer(
        Fate.SENT, "", "Slack"
    )


def test_a_receiver_that_hangs_is_left_in_time_and_its_courier_with_it(hook: Webhook) -> None:
    hook.seconds = 60
    began = time.monotonic()
    # The address asks for more patience than it gets.
    answer = deliver(hook.url("hook?rto=100"), seconds=8)
    assert answer == Answer(Fate.FAILED, "There was no answer within 8 seconds.")
    assert time.monotonic() - began < hook.seconds
    assert len(hook.taken) == 1
    assert couriers() == []


def test_neither_the_list_of_processes_nor_a_couriers_environment_shows_a_secret(
    hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COSTSITE_SECRET_KEY", "the-sites-secret")
    monkeypatch.setenv("DATABASE_URL", "postgres://the-sites-secret")
    hook.seconds = 5
    sending = Thread(target=deliver, args=[hook.url("the-channels-secret")])
    sending.start()
    try:
        while not hook.taken and sending.is_alive():
            time.sleep(0.02)
        (courier,) = couriers()
        seen = b"".join((Path("/proc") / courier / name).read_bytes() for name in ("cmdline", "environ"))
    finally:
        sending.join()
    assert b"budgets.couriers.services" in seen
    assert b"secret" not in seen


def couriers() -> list[str]:
    """Process ids of couriers that this process started and that still run."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == os.getpid() and b"budgets.couriers" in (folder / "cmdline").read_bytes():
                found.append(folder.name)
        except (OSError, IndexError):
            continue
    return found


# ── mail ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_mail_reaches_a_mail_server_with_its_id() -> None:
    with mail_server() as (port, messages):
        answer = deliver(f"mailto://127.0.0.1:{port}?from=costs@example.com&to=owner@example.com&mode=insecure")
    assert answer.fate == Fate.SENT, answer
    message = email.message_from_string(messages[0])
    assert str(make_header(decode_header(message["Subject"]))) == ORDER["title"]
    assert (message["To"], message["X-Costsite-Notification"]) == ("owner@example.com", ID)


# ── the guard ────────────────────────────────────────────────────────────────────────────────────────────────────────

ATTEMPTS = """
import os, socket, subprocess, sys
from budgets.couriers.guard import Guard

def stopped(act):
    try:
        act()
    except PermissionError:
        return True
    except OSError:
        pass
    return False

own_file = os.path.join(sys.argv[1], "secret_key")
sys.addaudithook(Guard(private=False))
acts = {
    "reads the site's files": lambda: open(own_file),
    "reads the system's files": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "writes": lambda: open(os.path.join(os.path.dirname(os.__file__), "new"), "w"),
    "starts a process": lambda: subprocess.run(["true"]),
    "talks to a local socket": lambda: socket.socket(socket.AF_UNIX).connect("/run/docker.sock"),
    "sends a datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
    "connects to itself": lambda: socket.create_connection(("localhost", 9), timeout=1),
    "connects to a cloud's credentials": lambda: socket.create_connection(("169.254.169.254", 80), timeout=1),
    "connects by name": lambda: socket.socket().connect(("localhost", 9)),
    "reads the standard library": lambda: open(os.__file__).close(),
}
print([name for name, act in acts.items() if not stopped(act)])
"""


def test_a_library_that_sends_reaches_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("secret")
    ran = subprocess.run(
        [sys.executable, "-c", ATTEMPTS, tmp_path], capture_output=True, text=True, cwd=PROJECT, check=True
    )
    assert ran.stdout.strip() == "['reads the standard library']"


# ── the desktop ──────────────────────────────────────────────────────────────────────────────────────────────────────


def show() -> Answer:
    return run("desktop", {"title": "Budget", "body": "support-bot is blocked"}, seconds=15)


@pytest.fixture
def no_session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A process outside any desktop session; a folder that is its whole PATH."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    for name in ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return programs


def test_a_machine_without_a_backend_is_told_what_to_install(no_session: Path) -> None:
    assert show() == Answer(Fate.REFUSED, NO_BACKEND)


def test_a_backend_without_a_session_is_not_taken_for_delivery(no_session: Path) -> None:
    (no_session / "notify-send").write_text("#!/bin/sh\nexit 0\n")
    (no_session / "notify-send").chmod(0o755)
    assert show() == Answer(Fate.REFUSED, NO_BUS)
