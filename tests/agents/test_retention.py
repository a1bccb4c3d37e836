"""Old days go for good, in small steps; their sums stay."""

from __future__ import annotations

import io
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from agents import ledger
from agents.models import (
    AgentRunLog,
    LedgerState,
    LLMCall,
    ReportedRefusal,
    TagMonth,
    UsageMonth,
    Workspace,
    WorkspaceDay,
)
from agents.retention import let_go
from tests.agents.conftest import wrong_sums
from tests.agents.test_record import refused
from tests.factories import llm_call

pytestmark = pytest.mark.django_db


@pytest.fixture
def two_years(workspace: Workspace, settings: Settings) -> Workspace:
    """A run of 500 days ago, one of yesterday, and one that began 401 days ago and still makes calls."""
    settings.COSTSITE_RETENTION_DAYS = 400
    now = timezone.now()
    old, long_run = uuid4(), uuid4()
    events = [
        llm_call(run_id=old, started_at=now - timedelta(days=500)),
        refused(old, refused_at=now - timedelta(days=500)),
        llm_call(started_at=now - timedelta(days=1)),
        llm_call(run_id=long_run, started_at=now - timedelta(days=401)),
        llm_call(run_id=long_run, started_at=now - timedelta(days=399)),
    ]
    ledger.record(workspace, list(enumerate(events)), client=None, received_at=now)
    return workspace


def retention(*arguments: str) -> str:
    call_command("retention", *arguments, stdout=(out := io.StringIO()))
    return out.getvalue()


def test_without_delete_it_only_says_what_would_go(two_years: Workspace) -> None:
    assert retention().startswith("2 calls from before")
    assert LLMCall.objects.count() == 4
    assert LedgerState.current().retained_from is None


def test_old_days_go_and_their_sums_stay(two_years: Workspace) -> None:
    retention("--delete")

    horizon = LedgerState.current().retained_from
    assert horizon is not None
    assert LLMCall.objects.count() == 2
    assert not LLMCall.objects.filter(day__lt=horizon).exists()
    assert not ReportedRefusal.objects.exists()
    assert AgentRunLog.objects.count() == 2, "a run stays as long as a call of it does"
    for table in (WorkspaceDay, UsageMonth, TagMonth):
        assert sum(table._default_manager.values_list("calls", flat=True)) == 4, table
    assert not wrong_sums(two_years), "what is gone is no difference"
    assert retention().startswith("0 calls")


def test_what_comes_after_its_day_is_gone_is_too_old(two_years: Workspace) -> None:
    now = timezone.now()
    list(let_go((now - timedelta(days=30)).date()))
    late = llm_call(started_at=now - timedelta(days=31))
    recorded = ledger.record(two_years, [(0, late)], client=None, received_at=now)
    assert [rejection.code for rejection in recorded.rejected] == ["too_old"]


def test_the_horizon_never_moves_back(two_years: Workspace) -> None:
    horizon = (timezone.now() - timedelta(days=30)).date()
    list(let_go(horizon))
    list(let_go(horizon - timedelta(days=100)))
    assert LedgerState.current().retained_from == horizon


def test_less_than_a_year_to_compare_with_is_refused(two_years: Workspace, settings: Settings) -> None:
    settings.COSTSITE_RETENTION_DAYS = 399
    with pytest.raises(CommandError, match="400 or more"):
        retention("--delete")
    settings.COSTSITE_RETENTION_DAYS = 0
    assert "all calls are kept" in retention("--delete")
