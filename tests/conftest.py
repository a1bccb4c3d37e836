"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import pytest
from django.conf import settings

from agents.models import Workspace
from tests.factories import WorkspaceFactory
from tests.no_skips_in_ci import pytest_sessionfinish

__all__ = ["pytest_sessionfinish", "workspace"]


@pytest.fixture
def workspace(db: None) -> Workspace:
    return WorkspaceFactory(slug="acme", name="Acme")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave what needs PostgreSQL to tests/test_postgresql.py, which starts a server for it."""
    if settings.DATABASES["default"]["ENGINE"].endswith("postgresql"):
        return
    elsewhere = [item for item in items if item.get_closest_marker("postgresql")]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if not item.get_closest_marker("postgresql")]
