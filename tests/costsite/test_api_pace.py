"""One client gone wild is slowed down, and nobody else is."""

from __future__ import annotations

from typing import Any

import pytest

from costsite.api import authentication
from costsite.api.pace import Pace
from tests.costsite.api_client import KeyHolder
from tests.factories import WorkspaceFactory


def test_a_burst_is_let_through_then_the_pace_holds() -> None:
    pace = Pace(60)  # one a second, ten at once
    assert [pace.wait_seconds(1, 0.0) for _ in range(12)] == [0] * 10 + [1, 1]
    assert [pace.wait_seconds(1, at) for at in (0.5, 1.0, 1.5, 2.0)] == [1, 0, 1, 0]
    assert pace.wait_seconds(2, 2.0) == 0, "another key has a bucket of its own"
    assert [pace.wait_seconds(1, 10_000.0) for _ in range(11)] == [0] * 10 + [1], "quiet hours save up ten, not more"


def test_a_slow_pace_says_how_long_to_wait() -> None:
    pace = Pace(2)
    assert [pace.wait_seconds(1, at) for at in (0.0, 0.0, 29.0, 30.0)] == [0, 30, 1, 0]


def test_no_pace_is_no_limit() -> None:
    pace = Pace(0)
    assert {pace.wait_seconds(1, 0.0) for _ in range(1_000)} == {0}


@pytest.mark.django_db
def test_a_key_over_its_pace_is_told_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "_pace", Pace(6))
    workspace = WorkspaceFactory()
    wild, calm = KeyHolder(workspace), KeyHolder(workspace)
    answers: list[Any] = [wild.get("agents") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].headers["Retry-After"] == "10"
    assert answers[1].json()["code"] == "too_many_requests"
    assert calm.get("agents").status_code == 200
