"""A program closes descriptors that it does not know, and its own sockets get the number of the sender's connection."""

from __future__ import annotations

import time
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.langchain_plugin.processes import run
from tests.langchain_plugin.stub_site import Answer, StubSite, receipt


@pytest.fixture
def site(site: StubSite) -> StubSite:
    """One that keeps connections, as real ones do."""
    site._server.RequestHandlerClass.protocol_version = "HTTP/1.1"  # type: ignore[attr-defined]
    return site


STRANGERS = """
import os, socket

def number_of_connection():
    return reporter._delivery._transport._connection._socket.fileno()

def strangers_at(number):
    pairs = [socket.socketpair() for _ in range(10)]
    assert number in [end.fileno() for pair in pairs for end in pair]
    return pairs

def assert_untouched(pairs):
    for pair in pairs:
        for end, other in pair, pair[::-1]:
            end.sendall(b"own")
            other.setblocking(False)
            assert other.recv(4_000) == b"own"  # and nothing before it
            other.setblocking(True)

reporter.append({"call_id": "1"})
assert reporter.flush(60)
number = number_of_connection()
assert number >= 0
"""


def run_with_strangers(code: str, folder: Path, url: str) -> None:
    done = run(dedent(STRANGERS) + dedent(code), folder, url, send_after_seconds="0.01")
    assert done.returncode == 0, done.stderr


def test_a_stranger_s_socket_under_its_number_gets_nothing_and_every_event_arrives(
    site: StubSite, tmp_path: Path
) -> None:
    run_with_strangers(
        """
        os.closerange(3, 4_096)
        pairs = strangers_at(number)
        reporter.append({"call_id": "2"})
        assert reporter.flush(60)
        assert_untouched(pairs)
        assert number_of_connection() not in [end.fileno() for pair in pairs for end in pair]
        """,
        tmp_path,
        site.url,
    )
    assert {event["call_id"] for event in site.events} == {"1", "2"}


def test_a_stranger_s_socket_under_its_number_stays_open_when_the_connection_is_closed(
    site: StubSite, tmp_path: Path
) -> None:
    run_with_strangers(
        """
        os.closerange(3, 4_096)
        pairs = strangers_at(number)
        reporter._delivery._transport.close()
        assert_untouched(pairs)
        """,
        tmp_path,
        site.url,
    )


def test_a_stranger_s_file_stays_open_that_got_the_number_while_the_site_was_asked(
    site: StubSite, tmp_path: Path
) -> None:
    asked, is_replaced = tmp_path / "asked", tmp_path / "replaced"

    def answer_when_replaced(batch: dict[str, Any]) -> Answer:
        asked.touch()
        while not is_replaced.exists():
            time.sleep(0.01)
        return receipt(batch)

    site.answers.extend([receipt, answer_when_replaced])
    run_with_strangers(
        f"""
        reporter.append({{"call_id": "2"}})
        while not os.path.exists({str(asked)!r}):
            time.sleep(0.01)
        os.closerange(3, 4_096)
        others = [os.open({str(tmp_path)!r} + f"/other-{{name}}", os.O_CREAT | os.O_RDWR) for name in range(20)]
        assert number in others
        files = [os.fstat(other).st_ino for other in others]
        open({str(is_replaced)!r}, "w").close()
        while number_of_connection() == number:
            time.sleep(0.01)
        assert [os.fstat(other).st_ino for other in others] == files
        reporter.append({{"call_id": "3"}})
        assert reporter.flush(60)
        """,
        tmp_path / "state",
        site.url,
    )
    assert {event["call_id"] for event in site.events} == {"1", "2", "3"}


def test_a_forked_child_closes_its_copy_at_once_and_the_parent_s_goes_on(site: StubSite, tmp_path: Path) -> None:
    run_with_strangers(
        """
        child = os.fork()
        if child == 0:
            try:
                os.fstat(number)
            except OSError:
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        kept = os.fstat(number).st_ino
        reporter.append({"call_id": "2"})
        assert reporter.flush(60)
        assert (number_of_connection(), os.fstat(number).st_ino) == (number, kept)
        """,
        tmp_path,
        site.url,
    )
    assert {event["call_id"] for event in site.events} == {"1", "2"}


def test_a_forked_child_leaves_a_stranger_s_socket_open_that_has_the_number(site: StubSite, tmp_path: Path) -> None:
    run_with_strangers(
        """
        os.closerange(3, 4_096)
        pairs = strangers_at(number)
        child = os.fork()
        if child == 0:
            import gc
            gc.collect()
            assert_untouched(pairs)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert_untouched(pairs)
        """,
        tmp_path,
        site.url,
    )
