"""Two agents that are one, for the tests of merging and of what moves."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from agents import ledger
from agents.models import Agent, AgentMerge, Workspace
from agents.moving import move
from agents.rebuild import Difference, differences, differences_of_months
from tests.factories import NOON, AgentFactory

RECEIVED = NOON + timedelta(hours=1)


@pytest.fixture
def bots(workspace: Workspace) -> tuple[Agent, Agent]:
    """suport-bot, and support-bot that it should be."""
    return AgentFactory(workspace=workspace, slug="suport-bot"), AgentFactory(workspace=workspace, slug="support-bot")


def record(workspace: Workspace, *events: Any, key_agent: Agent | None = None) -> ledger.Recorded:
    return ledger.record(workspace, list(enumerate(events)), client=None, received_at=RECEIVED, key_agent=key_agent)


def wrong_sums(workspace: Workspace) -> list[Difference]:
    """All that `rebuild_rollups` finds."""
    return [*differences(workspace), *differences_of_months(workspace)]


def whose(table: Any) -> set[str]:
    """The slugs of the agents that a table's rows name."""
    return set(table._default_manager.values_list("agent__slug", flat=True))


def finish(merge: AgentMerge) -> AgentMerge:
    for _ in move(merge):
        pass
    merge.refresh_from_db()
    assert merge.finished_at is not None
    return merge
