"""The tick does what the database says is due, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.utils import timezone
from django_q.models import Schedule
from pytest_django import Settings

from agents import ledger, retention, server_clock
from agents.models import LLMCall, ModelPrice, Workspace, WorkspaceDay
from budgets.models import Notification, NotificationChannel
from costsite import tasks
from tests.busy_elsewhere import job_elsewhere
from tests.factories import WorkspaceFactory, llm_call

pytestmark = pytest.mark.django_db(databases="__all__")


def record_one(workspace: Workspace, days_ago: int = 0, model: str = "gpt-4o-mini") -> None:
    at = timezone.now() - timedelta(days=days_ago, minutes=10)
    call = llm_call(started_at=at, ended_at=at + timedelta(seconds=1), provider="house", request_model=model)
    ledger.record(workspace, [(0, call)], client=None, received_at=at + timedelta(seconds=2))


def test_a_model_that_got_its_price_while_no_task_ran_is_repriced(workspace: Workspace) -> None:
    record_one(workspace, model="house-model")
    assert tasks.tick()["repricing"] == "0 calls repriced"
    assert LLMCall.objects.get().cost_microcents is None

    ModelPrice.objects.create(
        model="house-model",
        input_per_million=Decimal(2),
        output_per_million=Decimal(10),
        effective_from=timezone.now() - timedelta(days=40),
    )

    assert tasks.tick()["repricing"] == "1 calls repriced"
    # 1,200 tokens at 2 USD and 300 at 10 USD a million: 0.0024 + 0.003 = 0.0054 USD, which is 540,000 microcents.
    assert LLMCall.objects.get().cost_microcents == 540_000
    assert tasks.tick()["repricing"] == "nothing due"


def test_calls_older_than_the_retention_go_and_their_sums_stay(workspace: Workspace, settings: Settings) -> None:
    for days_ago in (500, 401, 399, 0):
        record_one(workspace, days_ago)

    assert tasks.tick()["retention"] == "all calls are kept"
    assert LLMCall.objects.count() == 4

    settings.COSTSITE_RETENTION_DAYS = 400
    assert tasks.tick()["retention"].endswith("deleted")
    assert LLMCall.objects.count() == 2
    assert sum(WorkspaceDay.objects.values_list("calls", flat=True)) == 4
    assert tasks.tick()["retention"] == "nothing due"


def test_what_there_is_no_time_for_is_left_to_the_next_tick(workspace: Workspace, settings: Settings) -> None:
    settings.COSTSITE_RETENTION_DAYS = 400
    server_clock.follow()
    record_one(workspace, 401)

    assert retention.sweep(seconds=-1).endswith("more are left")
    retention.sweep()

    assert LLMCall.objects.count() == 0


def test_the_tick_lets_a_command_that_is_at_work_finish_and_says_so(
    workspace: Workspace, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings.COSTSITE_RETENTION_DAYS = 400
    server_clock.follow()
    record_one(workspace, 401)

    with job_elsewhere(retention.JOB, tmp_path):
        done = tasks.tick()

    assert done["retention"].startswith("retention runs already")
    assert (LLMCall.objects.count(), caplog.records) == (1, [])
    assert tasks.tick()["retention"].startswith("2 rows"), "the call and its run"


def test_what_budgets_left_undone_is_taken_up(workspace: Workspace) -> None:
    server_clock.follow()  # before the calls: a ledger that heard nothing for 40 days would doubt the clock
    record_one(workspace, days_ago=40)
    channel = NotificationChannel.objects.create(workspace=WorkspaceFactory(), kind="webhook", name="#costs")
    Notification.objects.create(
        channel=channel, cause="crossing", cause_key="crossing:1", title="t", body="b", next_try_at=timezone.now()
    )

    done = tasks.tick()

    assert done["crossings"] == "0 crossings announced"
    assert done["months"].startswith("2 statements made"), "of the workspace and its agent"
    assert done["notifications"] == "1 notifications queued"


def test_one_piece_of_work_that_fails_does_not_keep_the_others_from_theirs(
    workspace: Workspace, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.COSTSITE_RETENTION_DAYS = 7  # less than a year can be compared with: the horizon refuses

    done = tasks.tick()

    assert done["retention"] == "failed"
    assert done["repricing"] != "failed"
    assert "COSTSITE_RETENTION_DAYS is 7; set it to" in caplog.text


def test_the_schedule_is_made_once_and_mended_when_somebody_changed_it() -> None:
    tasks.schedule_tick()
    Schedule.objects.update(func="os.remove", args="('x',)", minutes=600)

    tasks.schedule_tick()

    schedule = Schedule.objects.get()
    assert (schedule.func, schedule.args, schedule.minutes, schedule.repeats) == ("costsite.tasks.tick", None, 1, -1)
