"""Migrations that fill tables, on a site that has rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.apps.registry import Apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from agents.models import AgentDay, LLMCall
from agents.models.sums import SUM_COLUMNS
from tests.factories import NOON, AgentFactory

pytestmark = pytest.mark.django_db(transaction=True)


def migrate(name: str) -> Apps:
    """The app's tables as of that migration, and its models."""
    executor = MigrationExecutor(connection)
    state: Any = executor.migrate([("agents", name)])
    return state.apps


@pytest.fixture
def _at_last() -> Iterator[None]:
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


@pytest.mark.usefixtures("_at_last")
def test_days_of_agents_are_filled_from_usage_whose_calls_are_gone() -> None:
    agents = [AgentFactory(slug="support-bot"), AgentFactory(slug="researcher")]
    usage: Any = migrate("0007_tag_day_by_tag").get_model("agents", "UsageDay").objects
    expected: dict[Any, Counter[str]] = {}
    number = 0
    for agent in agents:
        for day in (NOON.date(), NOON.date() - timedelta(days=500)):
            expected[day, agent.pk, agent.workspace_id] = of_day = Counter[str]()
            for model, status in (("gpt-4o", "ok"), ("gpt-4o", "error"), ("gpt-4o-mini", "ok")):
                number += 1
                sums = {column: number * place for place, column in enumerate(SUM_COLUMNS, start=1)}
                of_day.update(sums)
                usage.create(
                    workspace_id=agent.workspace_id, agent_id=agent.pk, day=day, provider="openai", model=model,
                    status=status, **sums,
                )  # fmt: skip

    migrate("0008_agent_day")

    filled = {
        (row.day, row.agent_id, row.workspace_id): {column: getattr(row, column) for column in SUM_COLUMNS}
        for row in AgentDay.objects.all()
    }
    assert filled == {key: dict(sums) for key, sums in expected.items()}
    assert not LLMCall.objects.exists(), "retention has let go of them"
