"""The zone in force: one for the whole ledger, changed in one way, refused when the setting differs."""

from __future__ import annotations

import io
from datetime import date, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo, available_timezones

import pytest
from django.core.management import call_command
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from agents import clock
from agents.checks import a_year_can_be_compared, the_database_is_known, the_time_zone_is_the_one_in_force
from agents.models import AgentRunLog, LedgerState, LLMCall, TagMonth, UsageMonth, Workspace, WorkspaceDay
from agents.rebuild import differences, differences_of_months, mend
from agents.time_zone import change_time_zone
from tests.agents.conftest import wrong_sums
from tests.agents.test_ledger_properties import report
from tests.agents.test_record import refused, run_started
from tests.factories import NOON, llm_call

LATE = NOON.replace(hour=23, minute=30)
"""20 November in London, the 21st in Berlin."""
TURN = LATE.replace(month=10, day=31)
"""October in London, November in Berlin."""


@pytest.mark.django_db
def test_changing_the_zone_moves_calls_runs_and_sums(workspace: Workspace, settings: Settings) -> None:
    run_id = uuid4()
    report(workspace, [[run_started(run_id, started_at=LATE), llm_call(run_id=run_id, started_at=LATE, tags=["eu"])]])
    report(workspace, [[llm_call(started_at=LATE + timedelta(hours=1)), refused(run_id, refused_at=LATE)]])
    assert LLMCall.objects.get(run_id=run_id).day == date(2026, 11, 20)

    settings.TIME_ZONE = "Europe/Berlin"
    call_command("change_time_zone", stdout=(out := io.StringIO()))

    assert "From UTC to Europe/Berlin: 3 calls, runs and refusals moved." in out.getvalue()
    assert set(LLMCall.objects.values_list("day", flat=True)) == {date(2026, 11, 21)}
    assert set(AgentRunLog.objects.values_list("day", flat=True)) == {date(2026, 11, 21)}
    row = WorkspaceDay.objects.get()
    assert (row.day, row.calls, row.runs) == (date(2026, 11, 21), 2, 2)
    assert not wrong_sums(workspace)
    assert sum(change_time_zone("Europe/Berlin")) == 0, "a second time moves nothing"


@pytest.mark.django_db
def test_a_call_at_the_turn_of_a_month_moves_into_the_other_month_and_back(workspace: Workspace) -> None:
    october, november = date(2026, 10, 1), date(2026, 11, 1)
    noon = llm_call(started_at=TURN.replace(hour=12), tags=["eu"])
    report(workspace, [[noon, *(llm_call(started_at=TURN, tags=["eu"]) for _ in range(2))]])

    for zone, months in (
        ("UTC", {october: 3}),
        ("Europe/Berlin", {october: 1, november: 2}),
        ("Pacific/Kiritimati", {november: 3}),  # 14 hours ahead: noon is 2 o'clock in the morning
        ("UTC", {october: 3}),
    ):
        list(change_time_zone(zone))
        for table in (UsageMonth, TagMonth):
            assert dict(table._default_manager.values_list("month", "calls")) == months, (zone, table)
        assert not wrong_sums(workspace)


@pytest.mark.django_db
def test_an_interrupted_change_keeps_totals_and_is_finished_by_starting_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.time_zone.AT_ONCE", 3)
    report(workspace, [[llm_call(started_at=LATE) for _ in range(10)]])
    steps = change_time_zone("Europe/Berlin")
    assert next(steps) == 3
    steps.close()
    assert dict(WorkspaceDay.objects.values_list("day", "calls")) == {date(2026, 11, 20): 7, date(2026, 11, 21): 3}
    report(workspace, [[llm_call(started_at=LATE)]])
    assert LLMCall.objects.latest("pk").day == date(2026, 11, 21), "what comes meanwhile is right already"

    list(change_time_zone("Europe/Berlin"))
    assert dict(WorkspaceDay.objects.values_list("day", "calls")) == {date(2026, 11, 21): 11}
    assert not wrong_sums(workspace)


@pytest.mark.django_db
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Pacific/Kiritimati", "Etc/GMT+12"])
def test_a_rebuild_beside_a_change_or_after_one_that_was_interrupted_finds_nothing_to_mend(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setattr("agents.time_zone.AT_ONCE", 7)
    calls = [llm_call(started_at=TURN - timedelta(hours=hours)) for hours in range(30)]
    report(workspace, [calls, [refused(call.run_id, refused_at=call.started_at) for call in calls[:9]]])
    steps = change_time_zone(zone)
    moved = next(steps)
    for more in steps:  # the calls, then the runs, a few at a time
        assert not [*mend(differences(workspace)), *mend(differences_of_months(workspace))]
        moved += more
        if moved > 40:
            break
    steps.close()

    assert not [*mend(differences(workspace)), *mend(differences_of_months(workspace))]
    list(change_time_zone(zone))
    assert not wrong_sums(workspace)
    assert sum(WorkspaceDay.objects.values_list("runs", flat=True)) == 30


@pytest.mark.django_db
def test_the_first_kept_day_is_not_rebuilt_from_a_part_of_itself(workspace: Workspace) -> None:
    LedgerState.objects.create(pk=1, time_zone="UTC", retained_from=date(2026, 11, 20))
    list(change_time_zone("Europe/Berlin"))
    assert LedgerState.current().retained_from == date(2026, 11, 21)


@pytest.mark.django_db
def test_a_setting_that_differs_from_the_zone_in_force_is_refused(settings: Settings) -> None:
    assert the_time_zone_is_the_one_in_force(None) == []
    assert LedgerState.current().time_zone == "UTC"
    settings.TIME_ZONE = "Asia/Tokyo"
    (error,) = the_time_zone_is_the_one_in_force(None)
    assert error.id == "agents.E002"
    assert "manage.py change_time_zone" in (error.hint or "")


@pytest.mark.parametrize(("days", "errors"), [(0, 0), (399, 1), (400, 0)])
def test_a_retention_too_short_to_compare_years_is_refused(settings: Settings, days: int, errors: int) -> None:
    settings.COSTSITE_RETENTION_DAYS = days
    assert len(a_year_can_be_compared(None)) == errors


def test_the_database_of_the_tests_is_known() -> None:
    assert the_database_is_known(None) == []


@given(st.sampled_from(sorted(available_timezones())), st.datetimes(datetime(2020, 1, 1), datetime(2037, 1, 1)))
def test_a_day_found_by_its_quarter_is_the_local_day(name: str, naive: datetime) -> None:
    """Whatever was asked before within the same quarter of an hour."""
    zone = ZoneInfo(name)
    at = naive.replace(tzinfo=ZoneInfo("UTC"))
    days = clock.Days(zone)
    quarter_start = at - timedelta(seconds=at.timestamp() % 900)
    days.of(quarter_start)
    assert days.of(at) == at.astimezone(zone).date()
    start = days.start(days.of(at))
    assert start.astimezone(zone).date() == days.of(at)
    assert (start - timedelta(seconds=1)).astimezone(zone).date() < days.of(at)


@pytest.mark.parametrize("month", ["2026", "2026-13", "26-11", "2026-1", "2026-11-01", "november", "२०२६-११"])
def test_what_is_no_month_is_said_with_the_mend(month: str) -> None:
    with pytest.raises(ValueError, match="2026-11"):
        clock.month_bounds(month)


def test_a_month_ends_where_the_next_begins() -> None:
    assert clock.month_bounds("2026-12") == (date(2026, 12, 1), date(2027, 1, 1))
    assert clock.month_of(date(2026, 12, 31)) == "2026-12"
