"""A real site, and a proxy in front of it that fails as it is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.end_to_end.browsing import CHROMIUM
from tests.end_to_end.faulty_proxy import FaultyProxy
from tests.end_to_end.live_site import LiveSite


@pytest.fixture(scope="session")
def one_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSite]:
    site = LiveSite(tmp_path_factory.mktemp("site")).prepare()
    yield site
    site.stop()


@pytest.fixture(scope="session")
def budgeted_site(tmp_path_factory: pytest.TempPathFactory) -> LiveSite:
    """Never started: for copies. Its workspace has a budget that is never in the way."""
    site = LiveSite(tmp_path_factory.mktemp("budgeted")).prepare()
    site.manage("set_budget", "acme", "--limit-cents", "100000000")
    return site


@pytest.fixture
def live_site(one_site: LiveSite) -> LiveSite:
    """Running, whatever the test before did to it. Tests share its ledger: let each have agents of its own."""
    one_site.start()
    return one_site


@pytest.fixture
def proxy(live_site: LiveSite) -> Iterator[FaultyProxy]:
    """Passes everything on to `live_site`, until it is given faults."""
    faulty = FaultyProxy(live_site.port)
    faulty.open()
    yield faulty
    faulty.close()


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    # Playwright's synchronous API keeps an event loop in this thread, which Django takes for asynchronous code.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield chromium
        chromium.close()
