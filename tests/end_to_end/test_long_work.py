"""Work that takes long, killed in the middle: what was done is done, the rest is done later, and agents never wait."""

from __future__ import annotations

import json
import signal
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.utils import timezone

from tests.end_to_end.background import background_of, due_now
from tests.end_to_end.live_site import LiveSite
from tests.end_to_end.load import CALL, load_on, until
from tests.own_site import database_url

OLD = 20_000
"""Calls older than what is kept; forty steps to delete them."""
FILL = f"""
from datetime import timedelta
from uuid import uuid4
from django.utils import timezone
from agents import ledger, server_clock
from agents.models import Workspace
from tests.factories import llm_call
server_clock.follow()
acme, at = Workspace.objects.get(slug="acme"), timezone.now() - timedelta(days=500)
for _ in range({OLD} // 500):
    run = uuid4()
    calls = [llm_call(run_id=run, started_at=at, ended_at=at) for _ in range(500)]
    ledger.record(acme, list(enumerate(calls)), client=None, received_at=timezone.now())
"""
COUNT = """
import json
from django.db.models import Sum
from agents.models import AgentRunLog, LLMCall, WorkspaceDay
print(json.dumps([LLMCall.objects.filter(day__lt={day!r}).count(), LLMCall.objects.filter(day__gte={day!r}).count(),
                  AgentRunLog.objects.filter(day__lt={day!r}).count(),
                  WorkspaceDay.objects.aggregate(calls=Sum("calls"))["calls"]]))
"""
DIE = """
import os, signal
from django.core.management import call_command
from django.db import connection
deleted = []
def die(execute, sql, params, many, context):
    result = execute(sql, params, many, context)
    deleted.extend([sql] if sql.startswith("DELETE") else [])
    if len(deleted) == 6:
        os.kill(os.getpid(), signal.SIGKILL)
    return result
with connection.execute_wrapper(die):
    call_command("retention", "--delete")
"""
"""The command itself, killed within its sixth step: after it deleted, before it commits."""


class Keeping400Days(LiveSite):
    def environment(self) -> dict[str, str]:
        return super().environment() | {"COSTSITE_RETENTION_DAYS": "400", "COSTSITE_TIME_ZONE": "UTC"}


@pytest.fixture
def site(budgeted_site: LiveSite, tmp_path: Path) -> LiveSite:
    return Keeping400Days(tmp_path / "site").copy(budgeted_site)


def test_retention_that_is_killed_goes_on_where_it_was_and_ingest_goes_on_meanwhile(site: LiveSite) -> None:
    day = f"{timezone.now() - timedelta(days=400):%Y-%m-%d}"

    def count() -> list[int]:
        return list(json.loads(site.manage("shell", "-v0", "-c", COUNT.format(day=day))))

    site.manage("shell", "-v0", "-c", FILL)
    site.start()
    try:
        with load_on(site.url, key=site.key) as load:
            died = site.try_to_manage("shell", "-v0", "-c", DIE)
            left = count()[0]
            taken = load.taken_by.total()
            said = site.manage("retention", "--delete")
            meanwhile = load.taken_by.total() - taken
    finally:
        site.stop()
    assert (died.returncode, left) == (-signal.SIGKILL, OLD - 5 * 500), died.stderr
    assert f"{left + OLD // 500:,} rows" in said, "what was left of the calls, and their runs"
    assert meanwhile > 0
    assert not load.said, "nobody was turned away"
    assert count() == [0, len(load.acknowledged), 0, OLD + len(load.acknowledged)]
    assert site.manage("rebuild_rollups", "--check").strip() == "Every sum agrees with the calls."


UNPRICED = """
from django.utils import timezone
from agents import ledger
from agents.models import Workspace
from tests.factories import llm_call
acme, at = Workspace.objects.get(slug="acme"), timezone.now()
calls = [llm_call(provider="house", request_model="house-model", started_at=at, ended_at=at) for _ in range(40)]
ledger.record(acme, list(enumerate(calls)), client=None, received_at=at)
"""
PRICE = """
from decimal import Decimal
from datetime import timedelta
from django.utils import timezone
from agents.models import ModelPrice
from agents.repricing import reprice_after_saving
reprice_after_saving(ModelPrice.objects.create(
    model="house-model", input_per_million=Decimal("0.15"), output_per_million=Decimal("0.6"),
    effective_from=timezone.now() - timedelta(days=40),
))
"""
AGAIN = """
from agents.models import ModelPrice
from agents.tasks import reprice_unpriced
reprice_unpriced(ModelPrice.objects.get().pk)
"""
"""As the queue does, which gives out again what a worker died over."""
PRICED = """
import json
from django.db.models import Sum
from agents.models import CostCorrection, LLMCall
from budgets.models import BudgetPeriod
print(json.dumps([LLMCall.objects.filter(cost_basis="unpriced").count(),
                  LLMCall.objects.aggregate(s=Sum("cost_microcents"))["s"],
                  BudgetPeriod.objects.aggregate(s=Sum("spent_microcents"))["s"],
                  CostCorrection.objects.count()]))
"""


@pytest.mark.postgresql("the worker is held up by the lock of one table")
def test_a_worker_that_is_killed_in_a_task_leaves_it_to_the_next_and_its_effect_comes_once(site: LiveSite) -> None:
    site.manage("shell", "-v0", "-c", UNPRICED)
    ledger = database_url(site.state_dir)

    def look() -> list[int]:
        return list(json.loads(site.manage("shell", "-v0", "-c", PRICED)))

    with psycopg.connect(ledger) as ours, background_of(site) as (background,):
        # Whoever reprices stops here, in the middle of its transaction: it moves the counters last.
        ours.execute("SELECT FROM budgets_budgetpolicy")
        ours.execute("LOCK TABLE budgets_budgetperiod IN ACCESS EXCLUSIVE MODE")
        site.manage("shell", "-v0", "-c", PRICE)
        with psycopg.connect(ledger, autocommit=True) as watching:
            waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'budgets_budgetperiod'::regclass"
            until(lambda: watching.execute(waits).fetchone() != (0,), "a worker in the middle of its task")
            background.kill()
            sessions = (
                "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
                " AND wait_event_type = 'Lock'"
            )
            watching.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE NOT granted AND pid <> pg_backend_pid()"
            )
            until(lambda: watching.execute(sessions).fetchone() == (0,), "the end of its session")
        ours.rollback()
        assert look()[0] == 40, "nothing of it stands"

        background.start()
        due_now(site)
        until(lambda: look()[0] == 0, "the task's effect")
        site.manage("shell", "-v0", "-c", AGAIN)
        assert look() == [0, 40 * CALL, 40 * CALL, 1]
    assert site.manage("rebuild_rollups", "--check").strip() == "Every sum agrees with the calls."
    assert site.manage("rebuild_budget_periods", "--check").strip() == "Every budget agrees with the ledger."
