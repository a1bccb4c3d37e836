"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import pytest

from agents.models import Workspace
from tests.factories import WorkspaceFactory


@pytest.fixture
def workspace(db: None) -> Workspace:
    return WorkspaceFactory(slug="acme", name="Acme")
