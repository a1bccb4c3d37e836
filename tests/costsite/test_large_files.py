"""Files of many rows take two threads at most, and every place is given back."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections
from django.http import StreamingHttpResponse
from django.test import Client

from agents.models import AgentRunLog
from costsite import large_files
from costsite.api import runs as runs_topic
from costsite.large_files import AT_A_TIME, few_at_a_time
from tests.costsite.api_client import KeyHolder, error_of
from tests.factories import MembershipFactory, llm_call


@pytest.fixture
def writing(acme: KeyHolder) -> Iterator[list[Any]]:
    """Answers that take all places until they are read or closed."""
    acme.report(llm_call())
    answers = [acme.get("runs", format="csv") for _ in range(AT_A_TIME)]
    yield answers
    for answer in answers:
        close(answer)


def close(answer: Any) -> None:
    """As the server does, who closes no connection of a test's."""
    request_finished.disconnect(close_old_connections)
    answer.close()
    request_finished.connect(close_old_connections)


def status(acme: KeyHolder) -> int:
    """Of one more file."""
    answer = acme.get("runs", format="csv")
    close(answer)
    return int(answer.status_code)


@pytest.fixture
def viewer(acme: KeyHolder) -> Client:
    client = Client()
    client.force_login(MembershipFactory(workspace=acme.row.workspace).user)
    return client


def test_no_model_is_made_of_a_run(acme: KeyHolder, viewer: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes most of the time of a file."""
    call = llm_call(tags=["=1", "web"], thread_id="one", is_root=True)
    acme.report(call)

    def no_model(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr(AgentRunLog, "from_db", no_model)
    page: Any = viewer.get("/runs/export.csv")
    for text in (acme.csv("runs"), page.getvalue().decode()):
        _, line = text.splitlines()
        assert line.startswith(f"{call.run_id},")
        assert "2026-11-20T12:00:00+00:00" in line
    assert ",one,'=1 web," in acme.csv("runs"), "text is defused as elsewhere"


def test_who_asks_for_one_too_many_is_told_when_to_come_again(acme: KeyHolder, writing: list[Any]) -> None:
    answer = acme.get("runs", format="csv")

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
    assert error_of(answer).code == "files_busy"
    assert "ask for this one again in 5 s" in error_of(answer).message
    assert [one.status_code for one in writing] == [200, 200]


def test_a_person_is_told_on_a_page(viewer: Client, writing: list[Any]) -> None:
    answer = viewer.get("/runs/export.csv")

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")
    assert "ask for this one again in 5 s" in answer.content.decode()


def test_all_else_is_answered_meanwhile(acme: KeyHolder, viewer: Client, writing: list[Any]) -> None:
    assert len(acme.read("runs")["runs"]) == 1
    assert acme.csv("agents").splitlines()[1].startswith("support-bot,")
    assert viewer.get("/?csv=spend-per-day").status_code == 200
    assert viewer.get("/runs/").status_code == 200


def test_a_file_that_is_read_to_its_end_gives_its_place_back(acme: KeyHolder, writing: list[Any]) -> None:
    lines = b"".join(writing[0].streaming_content).splitlines()

    assert len(lines) == 2
    assert acme.csv("runs").encode().splitlines() == lines
    close(writing[0])  # the place is not given back twice
    third = acme.get("runs", format="csv")
    assert (third.status_code, status(acme)) == (200, 429)


def test_a_file_whose_reader_went_away_gives_its_place_back(acme: KeyHolder, writing: list[Any]) -> None:
    assert status(acme) == 429
    close(writing[0])
    assert status(acme) == 200


def test_a_file_that_fails_gives_its_place_back(acme: KeyHolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    for name in ("_position_after", "_chunk"):  # before the first line, and after
        with monkeypatch.context() as patch:
            patch.setattr(runs_topic, name, broken)
            for _ in range(AT_A_TIME + 1):
                answer = acme.get("runs", format="csv")
                if answer.status_code == 200:
                    with pytest.raises(ZeroDivisionError):
                        list(answer.streaming_content)
    assert status(acme) == 200


def test_an_answer_that_nobody_closes_gives_its_place_back_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    given_back: list[int] = []

    class Places:
        def acquire(self, *, blocking: bool) -> bool:
            return not blocking

        def release(self) -> None:
            given_back.append(1)

    monkeypatch.setattr(large_files, "_places", Places())
    answer = few_at_a_time(lambda: StreamingHttpResponse(["a", "b"]))()
    assert given_back == []

    del answer
    gc.collect()

    assert given_back == [1]
