"""Every test runs on SQLite and, in a run of its own, on PostgreSQL, but for those that say why not.

`make test-sqlite` runs the tests, and `make test-postgresql` runs them again, with a server that tests/postgresql.py
starts. Nobody need think of it for a new test: what is left out of a run carries a marker, or lies where nothing has a
database.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection

from tests import own_site

WITHOUT_DATABASE = ("architecture", "langchain_plugin", "wire")
"""Folders of what runs in others' processes, and of the shape of the code. What asks for `db` there runs on both."""


def pytest_configure() -> None:
    if (connection.vendor == "postgresql") != bool(own_site.SERVER):
        raise pytest.UsageError("Unset DATABASE_URL: `make test-postgresql` runs the tests on a server of their own.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    here = [item for item in items if runs(item, on_postgresql=bool(own_site.SERVER))]
    config.hook.pytest_deselected(items=[item for item in items if item not in here])
    items[:] = here


def runs(item: pytest.Item, *, on_postgresql: bool) -> bool:
    if marked(item, "postgresql" if not on_postgresql else "sqlite"):
        return False
    return not on_postgresql or has_database(item)


def marked(item: pytest.Item, database: str) -> bool:
    """Whether it is about that database alone."""
    mark = item.get_closest_marker(database)
    if mark is not None and not mark.args:
        raise pytest.UsageError(f"{item.nodeid}: say why, as in @pytest.mark.{database}('its database is a file')")
    return mark is not None


def has_database(item: pytest.Item) -> bool:
    if "db" in item.fixturenames or item.get_closest_marker("django_db"):  # type: ignore[attr-defined]
        return True
    return item.path.relative_to(Path(__file__).parent).parts[0] not in WITHOUT_DATABASE
