"""Who asks the API in its tests, and a site that runs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agents.models import Workspace
from tests.costsite.api_client import KeyHolder
from tests.end_to_end.live_site import LiveSite


@pytest.fixture
def acme(workspace: Workspace) -> KeyHolder:
    """Holds a key for all of Acme that may report and read."""
    return KeyHolder(workspace)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    """A server process with a database of its own, for a file of tests."""
    site = LiveSite(tmp_path_factory.mktemp("site")).prepare()
    site.start()
    yield site
    site.kill()
