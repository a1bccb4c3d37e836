"""A server whose clock is wrong for a while deletes nothing, refuses nothing for good, and says so."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from agents import ledger, retention, server_clock
from agents.clock import RELEASED, server_is_wrong, trusted_next
from agents.models import LedgerState, LLMCall, Workspace
from costsite import tasks
from tests.agents.conftest import wrong_sums
from tests.factories import NOON, llm_call

SetClock = Callable[[timedelta], None]
TODAY = date(2026, 11, 26)


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """Put the server's clock off by so much from now on."""
    true_now = timezone.now

    def off_by(difference: timedelta) -> None:
        monkeypatch.setattr(timezone, "now", lambda: true_now() + difference)

    return off_by


@pytest.fixture
def ledger_of_a_year(workspace: Workspace, settings: Settings) -> Workspace:
    """A call on each tenth day of the last 390; the site is used daily and keeps 400 days."""
    settings.COSTSITE_RETENTION_DAYS = 400
    now = timezone.now()
    calls = [llm_call(started_at=now - timedelta(days=days, hours=1)) for days in range(0, 400, 10)]
    ledger.record(workspace, list(enumerate(calls)), client=None, received_at=now)
    server_clock.follow()
    return workspace


@pytest.mark.django_db(databases="__all__")
def test_a_clock_two_years_ahead_for_one_tick_deletes_nothing_and_turns_nothing_away(
    ledger_of_a_year: Workspace, set_clock: SetClock, caplog: pytest.LogCaptureFixture
) -> None:
    set_clock(timedelta(days=730))
    done = tasks.tick()
    set_clock(timedelta(0))
    tasks.tick()

    assert LLMCall.objects.count() == 40
    assert LedgerState.current().retained_from is None
    assert "no old calls are deleted. Set the clock" in done["retention"]
    assert done["clock"] == done["months"] == done["retention"]
    assert "Set the clock" in caplog.text
    now = timezone.now()
    late = llm_call(started_at=now - timedelta(days=30))
    recorded = ledger.record(ledger_of_a_year, [(0, late)], client=None, received_at=now)
    assert (recorded.accepted, recorded.rejected) == ([0], [])
    assert not wrong_sums(ledger_of_a_year)


@pytest.mark.django_db(databases="__all__")
def test_a_clock_that_stays_wrong_for_two_weeks_deletes_nothing(
    ledger_of_a_year: Workspace, set_clock: SetClock
) -> None:
    for day in range(14):
        for minutes in (0, 1):
            set_clock(timedelta(days=730 + day, minutes=minutes))
            tasks.tick()

    assert LLMCall.objects.count() == 40
    set_clock(timedelta(0))
    state = LedgerState.current()
    assert state.trusted_day is not None
    assert state.trusted_day <= state.today() + timedelta(days=15 * 3)


@pytest.mark.django_db(databases="__all__")
def test_a_site_that_was_off_for_a_fortnight_deletes_again_within_days_and_at_once_when_told_to(
    workspace: Workspace, settings: Settings, set_clock: SetClock
) -> None:
    settings.COSTSITE_RETENTION_DAYS = 400
    now = timezone.now()
    calls = [llm_call(started_at=now - timedelta(days=days)) for days in (390, 399, 0)]
    ledger.record(workspace, list(enumerate(calls)), client=None, received_at=now)
    server_clock.follow()

    set_clock(timedelta(days=14))
    with pytest.raises(CommandError, match=r"Set the clock; if it is right .* --until \d{4}-\d\d-\d\d"):
        call_command("retention", "--delete")
    assert "no old calls are deleted" in retention.sweep()
    assert LLMCall.objects.count() == 3
    named = (now - timedelta(days=395)).date()
    call_command("retention", "--delete", "--until", f"{named}", stdout=io.StringIO())
    assert LLMCall.objects.count() == 2, "up to the day a person named"

    for day in range(15, 25):
        set_clock(timedelta(days=day))
        tasks.tick()
    assert LLMCall.objects.count() == 1, "the rest once the ledger has caught up"


@pytest.mark.django_db
def test_nobody_can_name_a_day_that_the_setting_keeps(ledger_of_a_year: Workspace) -> None:
    recent = timezone.now().date() - timedelta(days=100)
    with pytest.raises(CommandError, match="COSTSITE_RETENTION_DAYS keeps all from"):
        call_command("retention", "--delete", "--until", f"{recent}")
    with pytest.raises(CommandError, match="is no day; write it as"):
        call_command("retention", "--delete", "--until", "yesterday")


@pytest.mark.django_db
def test_a_ledger_that_was_never_told_the_day_takes_that_of_its_newest_receipt(
    workspace: Workspace, set_clock: SetClock
) -> None:
    now = timezone.now()
    ledger.record(workspace, [(0, llm_call(started_at=now))], client=None, received_at=now)
    set_clock(timedelta(days=730))
    assert "Set the clock" in server_clock.follow()


@pytest.mark.django_db
def test_the_clock_is_written_down_once_a_day(workspace: Workspace, django_assert_num_queries: Any) -> None:
    server_clock.follow()
    with django_assert_num_queries(1):
        server_clock.follow()


@pytest.mark.django_db
def test_a_batch_is_not_judged_by_a_clock_that_is_behind_all_that_is_kept(workspace: Workspace) -> None:
    LedgerState.objects.create(pk=1, time_zone="UTC", retained_from=NOON.date())
    behind = NOON - timedelta(days=40)
    with pytest.raises(server_clock.ServerClockError, match="Set the clock of the server"):
        ledger.record(workspace, [(0, llm_call(started_at=behind))], client=None, received_at=behind)
    assert not LLMCall.objects.exists()


@pytest.mark.parametrize(
    ("clock", "moved_on", "expected"),
    [
        (TODAY, TODAY, TODAY),
        (TODAY + timedelta(days=1), TODAY, TODAY + timedelta(days=1)),
        (TODAY + timedelta(days=730), TODAY, TODAY + timedelta(days=3)),
        (TODAY - timedelta(days=730), TODAY, TODAY - timedelta(days=3)),
        (TODAY + timedelta(days=730), TODAY + timedelta(days=730), TODAY),
    ],
    ids=["the same day", "the next day", "far ahead", "far behind", "seen before"],
)
def test_the_trusted_day_follows_the_clock_by_few_days_a_day(clock: date, moved_on: date, expected: date) -> None:
    assert trusted_next(TODAY, moved_on, clock) == expected


@pytest.mark.parametrize(
    ("server", "client", "trusted", "wrong"),
    [
        (730, 0, 0, True),
        (-400, 0, 0, True),
        (0, -5, 0, False),
        (0, 900, 0, False),
        (14, 13, 0, False),
        (730, 0, None, False),
    ],
    ids=[
        "two years ahead",
        "a year behind",
        "client is behind",
        "client is ahead",
        "off for a fortnight",
        "no tick yet",
    ],
)
def test_of_three_clocks_two_decide(server: int, client: int, trusted: int | None, wrong: bool) -> None:
    noon = datetime(2028, 11, 26, 12, tzinfo=UTC)
    day = None if trusted is None else noon.date() + timedelta(days=trusted)
    assert server_is_wrong(noon + timedelta(days=server), noon + timedelta(days=client), day) == wrong


def test_a_clock_from_before_the_software_is_always_wrong() -> None:
    assert server_is_wrong(RELEASED - timedelta(seconds=1), RELEASED, None)
