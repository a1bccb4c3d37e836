"""Agents that spend whole cents: gpt-4o asks 2.50 USD for a million input tokens, so 4,000 of them are a cent."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents import ledger
from agents.models import Agent, LedgerState, Membership, Workspace
from agents.recorded import Recorded
from budgets.enforcement import BudgetEnforcementService, Permit
from budgets.policies import By
from tests.factories import AgentFactory, MembershipFactory, llm_call

TOKENS_PER_CENT = 4_000
CENT = 1_000_000
"""In microcents."""
TESTER = By(command="test")

Spend = Callable[..., Recorded]


@pytest.fixture
def support_bot(workspace: Workspace) -> Agent:
    return AgentFactory(workspace=workspace, slug="support-bot")


@pytest.fixture
def zone(db: None) -> LedgerState:
    state, _ = LedgerState.objects.update_or_create(pk=1, defaults={"time_zone": "UTC"})
    return state


@pytest.fixture
def ada(workspace: Workspace) -> User:
    """Owns the workspace."""
    return MembershipFactory(workspace=workspace, role=Membership.Role.OWNER, user__username="ada").user


def text(page: Any) -> str:
    """What a page, or its HTML, says, in one line."""
    html = page if isinstance(page, str) else page.content.decode()
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)))


def queries_of(client: Client, address: str) -> int:
    """How many queries a page takes."""
    with CaptureQueriesContext(connection) as asked:
        assert client.get(address).status_code == 200
    return len(asked)


def lease_of(agent: Agent) -> UUID:
    """Of a process of its own. A budget of the agent holds it."""
    permit = BudgetEnforcementService().lease(agent, uuid4(), least=CENT)
    assert isinstance(permit, Permit)
    assert permit.lease is not None
    return permit.lease.lease_id


def spend(
    agent: Agent, cents: float, *, at: datetime | None = None, received_at: datetime | None = None, **facts: Any
) -> Recorded:
    """Record one call of `agent` that costs so many cents, now or `at`."""
    at = at or datetime.now(UTC)
    event = llm_call(
        agent=agent.slug, request_model="gpt-4o", input_tokens=round(cents * TOKENS_PER_CENT), output_tokens=0,
        started_at=at, ended_at=at, **facts,
    )  # fmt: skip
    recorded = ledger.record(agent.workspace, [(0, event)], client=None, received_at=received_at or at)
    assert not recorded.rejected
    return recorded
