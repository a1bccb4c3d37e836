"""A real agent whose context grows: what to do is advised, it is done, and what that saved is on the page."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator

from tests.chaos.run import MovedSite, moved_by
from tests.end_to_end.agents import agent_environment
from tests.end_to_end.browsing import CHROMIUM, log_in
from tests.end_to_end.live_site import ROOT

pytestmark = [
    pytest.mark.browser,
    pytest.mark.sqlite("reads the file of a site whose clock is moved"),
    pytest.mark.newer_langchain,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH"),
]

RUNS = 6
A_DAY = 86_400
CENT, DOLLAR = 1_000_000, 100_000_000
"""In microcents."""


class Days:
    """The clock of the site and of its agents; it begins at a noon, so that no day ends on the way."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "clock"
        now = datetime.now(UTC)
        noon = (now + timedelta(days=1)).replace(hour=12, minute=0, second=0, microsecond=0)
        self._seconds = (noon - now).total_seconds()
        self.file.write_text(str(self._seconds))

    def next_day(self) -> None:
        self._seconds += A_DAY
        self.file.write_text(str(self._seconds))


@pytest.fixture
def days(tmp_path: Path) -> Days:
    return Days(tmp_path)


@pytest.fixture
def site(tmp_path: Path, days: Days) -> Iterator[MovedSite]:
    site = MovedSite(tmp_path / "site", clocks=[days.file]).prepare()
    site.add_owner()
    site.start()
    try:
        yield site
    finally:
        site.stop()


def test_the_advice_is_followed_and_its_saving_is_measured(
    site: MovedSite, days: Days, browser: Browser, tmp_path: Path
) -> None:
    def research(*how: str) -> None:
        environment = agent_environment("researcher", url=site.url, key=site.key, state_dir=tmp_path / "agents")
        ran = subprocess.run(
            [sys.executable, "-m", "tests.end_to_end.research_agent", str(RUNS), *how],
            cwd=ROOT, env=environment | moved_by(days.file), capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr

    research()
    days.next_day()
    site.manage("review_runs")
    page = browser.new_page()
    complaints = log_in(page, site.url)
    page.get_by_role("link", name="Cost optimization").click()
    section = page.locator("#compact")
    advice = section.locator("article.advice")
    assert re.search(r"Context of researcher grows from \d+ to 23.\dk tokens", section.inner_text())
    (trigger,) = re.findall(r"Set the trigger to ([\d,]+)\.", advice.inner_text())
    (promised,) = re.findall(r"\$([\d.]+) a month", advice.inner_text())

    # The owner sets the number in the admin, and says that it is done.
    advice.get_by_role("link", name="researcher").click()
    page.get_by_role("link", name="Edit agent").click()
    page.get_by_label("Compact from (tokens)").fill(trigger.replace(",", ""))
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("was changed successfully").wait_for()
    page.goto(f"{site.url}/optimization/")
    advice.get_by_text("Done, snooze or dismiss").click()
    advice.get_by_label("Reason").fill("compaction_middleware is in")
    advice.get_by_role("button", name="Done").click()
    page.get_by_role("heading", name="Decided").wait_for()
    assert advice.count() == 0

    # The same tasks with the middleware, which hears of the number from the site.
    days.next_day()
    research("compacting")
    days.next_day()
    site.manage("review_runs")
    page.reload()
    before, after = (cost / RUNS for cost in (booked(site, 1, "agent"), booked(site, 2, "agent", "compaction")))
    assert booked(site, 1, "compaction") == 0
    (summaries,) = site.rows("SELECT COUNT(*) FROM agents_llmcall WHERE purpose = 'compaction'")[0]
    assert 0 < after < before / 2
    assert cells(section, "researcher")[0] == str(summaries)
    saved = dollars(cells(section, "researcher")[1])
    # What the page works out of the compacted runs alone is what the same tasks cost less.
    assert saved == pytest.approx((before - after) * RUNS / DOLLAR, rel=0.02)
    assert saved > float(promised), "the advice promises no more than there is"
    decided = cells(page.locator("#decided"), "Compact the conversation")
    assert decided[1:4] == [f"${promised}", f"{before / CENT:.2f}¢\nn {RUNS}", f"{after / CENT:.2f}¢\nn {RUNS}"]
    assert "compaction_middleware is in" in decided[4]
    assert complaints == []


def booked(site: MovedSite, day: int, *purposes: str) -> int:
    """What the calls of the agent's first or second day cost that were made for these purposes, in microcents."""
    places = ", ".join("?" * len(purposes))
    costs = site.rows(
        f"SELECT SUM(CASE WHEN purpose IN ({places}) THEN cost_microcents ELSE 0 END)"
        " FROM agents_llmcall GROUP BY day ORDER BY day",
        *purposes,
    )
    return costs[day - 1][0]


def cells(part: Locator, name: str) -> list[str]:
    """What a table says in the row of this name."""
    row = part.get_by_role("row").filter(has=part.page.get_by_role("rowheader", name=name))
    return [cell.inner_text().strip() for cell in row.get_by_role("cell").all()]


def dollars(text: str) -> float:
    return float(text.removeprefix("$"))
