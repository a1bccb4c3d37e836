"""Migrations that fill tables, on a site that has rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from django.apps.registry import Apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from agents.models import AgentDay, LLMCall, ModelDay, TagMonth, UsageMonth
from agents.models.sums import SUM_COLUMNS
from agents.rebuild import differences_of_months
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


DAYS_BY_MONTH = {
    "2023-12-01": ("2023-12-31",),
    "2024-01-01": ("2024-01-01",),
    "2024-02-01": ("2024-02-01", "2024-02-28", "2024-02-29"),
    "2024-03-01": ("2024-03-01", "2024-03-31"),
    "2026-11-01": ("2026-11-20",),
}


@pytest.mark.usefixtures("_at_last")
@pytest.mark.parametrize(
    ("days", "table", "rows_of_a_day"),
    [
        (
            "UsageDay",
            UsageMonth,
            [{"provider": provider, "model": model, "status": status, "effort": effort}
             for provider, model, status in USED for effort in ("", "high")],
        ),
        ("TagDay", TagMonth, [{"tag": tag} for tag in ("", "eu", "vip")]),
    ],
    ids=["usage", "tags"],
)  # fmt: skip
def test_months_are_filled_from_days_whose_calls_are_gone(
    days: str, table: type[UsageMonth | TagMonth], rows_of_a_day: list[dict[str, str]]
) -> None:
    support_bot = AgentFactory(slug="support-bot")
    agents = [support_bot, AgentFactory(slug="researcher", workspace=support_bot.workspace), AgentFactory()]
    daily: Any = migrate("0010_names_in_one_line").get_model("agents", days).objects
    expected: dict[Any, Counter[str]] = {}
    number = 0
    for agent in agents:
        for month, of_month in DAYS_BY_MONTH.items():
            for day in of_month:
                for facts in rows_of_a_day:
                    number += 1
                    sums = {column: number * place for place, column in enumerate(SUM_COLUMNS, start=1)}
                    daily.create(
                        workspace_id=agent.workspace_id, agent_id=agent.pk, day=date.fromisoformat(day), **facts, **sums
                    )
                    key = (agent.workspace_id, month, agent.pk, *facts.values())
                    expected.setdefault(key, Counter()).update(sums)

    migrate("0011_months")

    columns = list(rows_of_a_day[0])
    filled = {
        (row.workspace_id, str(row.month), row.agent_id, *(getattr(row, column) for column in columns)): {
            column: getattr(row, column) for column in SUM_COLUMNS
        }
        for row in table._default_manager.all()
    }
    assert table._default_manager.count() == len(filled) == len(agents) * len(DAYS_BY_MONTH) * len(rows_of_a_day)
    assert filled == {key: dict(sums) for key, sums in expected.items()}
    assert not LLMCall.objects.exists(), "retention has let go of them"
    for workspace in {agent.workspace for agent in agents}:
        assert list(differences_of_months(workspace)) == []
