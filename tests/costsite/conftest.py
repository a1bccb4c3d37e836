"""Who asks the API in its tests."""

from __future__ import annotations

import pytest

from agents.models import Workspace
from tests.costsite.api_client import KeyHolder


@pytest.fixture
def acme(workspace: Workspace) -> KeyHolder:
    """Holds a key for all of Acme that may report and read."""
    return KeyHolder(workspace)
