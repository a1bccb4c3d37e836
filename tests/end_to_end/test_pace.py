"""A key that asks too often is told when to come back, and the plugin comes back then: a real site, a real process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.end_to_end.agents import AgentProcess
from tests.end_to_end.faulty_proxy import EVENTS, FaultyProxy
from tests.end_to_end.live_site import LiveSite, exactly

CALLS = 20


@dataclass
class StrictSite(LiveSite):
    def environment(self) -> dict[str, str]:
        # One in five seconds, two at once: slower than any machine makes a call and reports it.
        return super().environment() | {"COSTSITE_REQUESTS_PER_MINUTE": "12"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[StrictSite]:
    site = StrictSite(tmp_path / "site").prepare()
    site.start()
    yield site
    site.kill()


@pytest.fixture
def recorder(site: StrictSite) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(site.port)
    proxy.open()
    yield proxy
    proxy.close()


def test_the_plugin_waits_as_long_as_a_real_site_says_and_loses_nothing(
    site: StrictSite, recorder: FaultyProxy, tmp_path: Path
) -> None:
    process = AgentProcess(
        "support-bot", url=recorder.url, key=site.key, state_dir=tmp_path / "agent", send_after_seconds="0.01"
    )
    for _ in range(CALLS):
        process.call(1)
        process.flush(0.5)  # whether or not it may now
    assert process.flush(120), process.log
    process.exit()

    batches = [answered for answered in recorder.answered if answered.path == EVENTS]
    refused = [index for index, answered in enumerate(batches[:-1]) if answered.status == 429]
    assert refused, "it asked more often than it may"
    assert {answered.status for answered in batches} == {200, 429}
    for index in refused:
        waited = batches[index + 1].at - batches[index].at
        assert waited >= int(batches[index].retry_after) >= 1
    assert site.recorded("support-bot") == exactly(CALLS)
