"""GET /readyz says whether events can be taken, to whoever asks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from agents import server_clock
from agents.models import LedgerState

SetClock = Callable[[datetime], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    return lambda now: monkeypatch.setattr(timezone, "now", lambda: now)


@pytest.mark.django_db(databases="__all__")
def test_a_site_that_is_well_is_ready_with_nothing_to_say(client: Client) -> None:
    server_clock.follow()
    assert (response := client.get("/readyz")).status_code == 200
    assert response.json() == {"ready": True, "said": []}


@pytest.mark.django_db(databases="__all__")
def test_a_doubted_clock_is_said_and_keeps_nobody_out(client: Client, set_clock: SetClock) -> None:
    server_clock.follow()
    set_clock(timezone.now() + timedelta(days=730))
    assert (response := client.get("/readyz")).status_code == 200
    assert "Set the clock" in response.json()["said"][0]


@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize("now", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2027, 6, 1, tzinfo=UTC)])
def test_a_clock_that_cannot_be_right_is_not_ready(client: Client, set_clock: SetClock, now: datetime) -> None:
    LedgerState.objects.create(pk=1, time_zone="UTC", retained_from="2027-06-02")
    set_clock(now)
    assert (response := client.get("/readyz")).status_code == 503
    assert response.json()["ready"] is False
    assert "Set the clock of the server" in response.json()["said"][0]


@pytest.mark.django_db(databases="__all__")
def test_a_database_that_is_away_is_not_ready_and_tells_strangers_no_more(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("could not connect to secret-host")

    monkeypatch.setattr(LedgerState.objects, "filter", away)
    assert (response := client.get("/readyz")).status_code == 503
    assert response.json()["said"] == ["The database cannot be used; the site's log says why."]
