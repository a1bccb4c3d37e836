"""Processes that report calls of the same leases at the same time."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime
from uuid import UUID

import pytest
from django.db import connection

from agents import ledger
from agents.models import Workspace
from budgets.counters import differences
from budgets.models import SpendLease
from budgets.policies import set_budget
from tests.budgets.conftest import CENT, TESTER, TOKENS_PER_CENT, lease_of
from tests.factories import AgentFactory, llm_call

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.postgresql("threads that write to one SQLite in memory lock each other's tables"),
]

BATCHES = 40
WRITERS = 3


def test_batches_that_name_the_same_leases_do_not_wait_for_each_other_in_a_circle(workspace: Workspace) -> None:
    agents = [AgentFactory(workspace=workspace, slug=f"agent-{number}") for number in range(12)]
    for agent in agents:
        set_budget(agent, by=TESTER, limit_cents=5_000)
    leases = {agent.slug: lease_of(agent) for agent in agents}
    failed: list[BaseException] = []

    def report() -> None:
        try:
            for _ in range(BATCHES):
                record(workspace, dict(random.sample(list(leases.items()), len(leases))))
        except BaseException as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=report) for _ in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    assert set(SpendLease.objects.values_list("used_microcents", flat=True)) == {WRITERS * BATCHES * CENT}
    assert list(differences()) == []


def record(workspace: Workspace, leases: dict[str, UUID]) -> None:
    """A call of a cent for each lease, in this order."""
    now = datetime.now(UTC)
    events = [
        llm_call(
            agent=slug, lease_id=lease_id, request_model="gpt-4o", input_tokens=TOKENS_PER_CENT, output_tokens=0,
            started_at=now, ended_at=now,
        )
        for slug, lease_id in leases.items()
    ]  # fmt: skip
    ledger.record(workspace, list(enumerate(events)), client=None, received_at=now)
