"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import pytest

from agents.models import Workspace
from tests.factories import WorkspaceFactory
from tests.no_skips_in_ci import pytest_sessionfinish

__all__ = ["pytest_sessionfinish", "workspace"]


@pytest.fixture
def workspace(db: None) -> Workspace:
    return WorkspaceFactory(slug="acme", name="Acme")
