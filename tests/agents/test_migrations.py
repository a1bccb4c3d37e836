"""Migrations that fill tables, on a site that has rows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from django.apps.registry import Apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from agents.models import LLMCall, TagMonth, UsageMonth
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


def some_days(apps: Apps) -> tuple[list[Any], list[Any]]:
    """Rows by usage and by tag and agent: two days of three agents, two of them of one workspace, without a call."""
    support_bot = AgentFactory(slug="support-bot")
    usage: Any = apps.get_model("agents", "UsageDay").objects
    tags: Any = apps.get_model("agents", "TagDay").objects
    used, tagged = [], []
    number = 0
    for agent in (support_bot, AgentFactory(slug="researcher", workspace=support_bot.workspace), AgentFactory()):
        for day in (NOON.date(), NOON.date() - timedelta(days=500)):
            here = {"workspace_id": agent.workspace_id, "agent_id": agent.pk, "day": day}
            for provider, model, status in USED:
                for effort in ("", "high"):
                    number += 1
                    facts = {"provider": provider, "model": model, "status": status, "effort": effort}
                    used.append(usage.create(**here, **facts, **sums_number(number)))
            for tag in ("", "eu", "vip"):
                number += 1
                tagged.append(tags.create(**here, tag=tag, **sums_number(number)))
    return used, tagged


def sums_number(number: int) -> dict[str, int]:
    """Another number in every column, and others for every row."""
    return {column: number * place for place, column in enumerate(SUM_COLUMNS, start=1)}


def summed(rows: Iterable[Any], key: tuple[str, ...]) -> dict[Any, Counter[str]]:
    sums: dict[Any, Counter[str]] = defaultdict(Counter)
    for row in rows:
        sums[tuple(getattr(row, column) for column in key)].update(sums_of(row))
    return sums


def sums_of(row: Any) -> dict[str, int]:
    return {column: getattr(row, column) for column in SUM_COLUMNS}


def filled(apps: Apps, table: str, key: tuple[str, ...]) -> dict[Any, Counter[str]]:
    """What stands in a table, by a key that names each row."""
    rows = list(apps.get_model("agents", table)._default_manager.all())
    found = summed(rows, key)
    assert len(found) == len(rows)
    return found


MODEL_KEY = ("workspace_id", "day", "provider", "model")
"""Until 0012 came."""


@pytest.mark.usefixtures("_at_last")
@pytest.mark.parametrize(
    ("before", "after", "table", "key"),
    [
        ("0007_tag_day_by_tag", "0008_agent_day", "AgentDay", ("workspace_id", "day", "agent_id")),
        ("0008_agent_day", "0009_model_day", "ModelDay", MODEL_KEY),
    ],
    ids=["agents", "models"],
)
def test_days_are_filled_from_usage_whose_calls_are_gone(
    before: str, after: str, table: str, key: tuple[str, ...]
) -> None:
    used, _ = some_days(migrate(before))

    assert filled(migrate(after), table, key) == summed(used, key)
    assert not LLMCall.objects.exists(), "retention has let go of them"


MODEL_STATUS_KEY = (*MODEL_KEY, "status")
WORKSPACE_TAG_KEY = ("workspace_id", "day", "tag")


@pytest.mark.usefixtures("_at_last")
def test_days_by_status_and_by_tag_are_filled_from_days_whose_calls_are_gone() -> None:
    used, tagged = some_days(migrate("0008_agent_day"))
    migrate("0011_months")  # on the way, days by model are filled as 0009 does it

    apps = migrate("0012_sums_without_agents")

    of_models = filled(apps, "ModelDay", MODEL_STATUS_KEY)
    assert of_models == summed(used, MODEL_STATUS_KEY)
    assert len(of_models) == 2 * 2 * len(USED), "of two workspaces, two days and each status"
    of_tags = filled(apps, "WorkspaceTagDay", WORKSPACE_TAG_KEY)
    assert of_tags == summed(tagged, WORKSPACE_TAG_KEY)
    assert len(of_tags) == 2 * 2 * 3
    assert not LLMCall.objects.exists(), "retention has let go of them"


@pytest.mark.usefixtures("_at_last")
def test_days_by_status_can_be_migrated_back_and_forth() -> None:
    used, tagged = some_days(migrate("0008_agent_day"))
    before = migrate("0011_months")
    whole, built = filled(before, "ModelDay", MODEL_KEY), constraints("agents_modelday")
    migrate("0012_sums_without_agents")
    by_status = constraints("agents_modelday")

    back = migrate("0011_months")

    assert filled(back, "ModelDay", MODEL_KEY) == whole == summed(used, MODEL_KEY)
    assert constraints("agents_modelday") == built
    assert "agents_workspacetagday" not in connection.introspection.table_names()

    forth = migrate("0012_sums_without_agents")

    assert filled(forth, "ModelDay", MODEL_STATUS_KEY) == summed(used, MODEL_STATUS_KEY)
    assert filled(forth, "WorkspaceTagDay", WORKSPACE_TAG_KEY) == summed(tagged, WORKSPACE_TAG_KEY)
    assert constraints("agents_modelday") == by_status
    assert by_status["one_model_day_per_key"] == list(MODEL_STATUS_KEY)


def constraints(table: str) -> dict[str, list[str]]:
    """The columns of a table's constraints and indexes, by their names."""
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, table)
    return {name: constraint["columns"] for name, constraint in found.items()}


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
                    sums = sums_number(number)
                    daily.create(
                        workspace_id=agent.workspace_id, agent_id=agent.pk, day=date.fromisoformat(day), **facts, **sums
                    )
                    key = (agent.workspace_id, month, agent.pk, *facts.values())
                    expected.setdefault(key, Counter()).update(sums)

    migrate("0011_months")

    columns = list(rows_of_a_day[0])
    stands = {
        (row.workspace_id, str(row.month), row.agent_id, *(getattr(row, column) for column in columns)): sums_of(row)
        for row in table._default_manager.all()
    }
    assert table._default_manager.count() == len(stands) == len(agents) * len(DAYS_BY_MONTH) * len(rows_of_a_day)
    assert stands == {key: dict(sums) for key, sums in expected.items()}
    assert not LLMCall.objects.exists(), "retention has let go of them"
    for workspace in {agent.workspace for agent in agents}:
        assert list(differences_of_months(workspace)) == []
