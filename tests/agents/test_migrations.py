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

from agents.models import AgentDay, LLMCall, ModelDay
from agents.models.sums import SUM_COLUMNS
from tests.factories import NOON, AgentFactory

pytestmark = pytest.mark.django_db(transaction=True)

USED = (
    ("openai", "gpt-4o", "ok"),
    ("openai", "gpt-4o", "error"),
    ("openai", "gpt-4o-mini", "ok"),
    ("azure", "gpt-4o", "ok"),
)
"""Provider, model and status."""


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
@pytest.mark.parametrize(
    ("before", "after", "table", "key"),
    [
        ("0007_tag_day_by_tag", "0008_agent_day", AgentDay, ("workspace_id", "day", "agent_id")),
        ("0008_agent_day", "0009_model_day", ModelDay, ("workspace_id", "day", "provider", "model")),
    ],
    ids=["agents", "models"],
)
def test_days_are_filled_from_usage_whose_calls_are_gone(
    before: str, after: str, table: type[AgentDay | ModelDay], key: tuple[str, ...]
) -> None:
    support_bot = AgentFactory(slug="support-bot")
    agents = [support_bot, AgentFactory(slug="researcher", workspace=support_bot.workspace), AgentFactory()]
    usage: Any = migrate(before).get_model("agents", "UsageDay").objects
    expected: dict[Any, Counter[str]] = {}
    number = 0
    for agent in agents:
        for day in (NOON.date(), NOON.date() - timedelta(days=500)):
            for provider, model, status in USED:
                number += 1
                sums = {column: number * place for place, column in enumerate(SUM_COLUMNS, start=1)}
                row = usage.create(
                    workspace_id=agent.workspace_id, agent_id=agent.pk, day=day, provider=provider, model=model,
                    status=status, **sums,
                )  # fmt: skip
                expected.setdefault(tuple(getattr(row, column) for column in key), Counter()).update(sums)

    migrate(after)

    filled = {
        tuple(getattr(row, column) for column in key): {column: getattr(row, column) for column in SUM_COLUMNS}
        for row in table._default_manager.all()
    }
    assert table._default_manager.count() == len(filled)
    assert filled == {key: dict(sums) for key, sums in expected.items()}
    assert not LLMCall.objects.exists(), "retention has let go of them"
