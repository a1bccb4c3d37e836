"""Every page in a real Chromium, light and dark, wide and narrow, whatever is on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.end_to_end.browsing import CHROMIUM, log_in
from tests.end_to_end.whole_sites import with_hostile_names, with_months_of_demo, with_nothing

pytestmark = [
    pytest.mark.browser,
    pytest.mark.sqlite("how a page looks is the same; what it says is held on both elsewhere"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH"),
]

SITES = (with_months_of_demo, with_nothing, with_hostile_names)
WIDTHS = (1280, 375)
RULES_OF_COLOUR = {"runOnly": ["color-contrast", "link-in-text-block"], "resultTypes": ["violations"]}
EVERY_RULE = {"resultTypes": ["violations"]}
UNFOLD_ALL = "document.querySelectorAll('details:not(.menu)').forEach(one => { one.open = true })"
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
OUT_OF_ITS_BOX = """() => {
  const meant = '.scroll, .sections ul, pre, .visually-hidden, svg, select, input, .skip';
  const wider = (one) => one.checkVisibility() && one.clientWidth > 0 && one.scrollWidth > one.clientWidth + 1;
  const named = (one) => `${one.tagName}.${one.className}: ${one.scrollWidth} px in ${one.clientWidth}`;
  return [...document.querySelectorAll('body *')]
    .filter((one) => !one.closest(meant) && getComputedStyle(one).overflowX !== 'hidden' && wider(one))
    .map((one) => `${named(one)}, ${one.textContent.trim().slice(0, 60)}`);
}"""
"""What is wider than its box, and neither cut off nor meant to be scrolled: it would lie over its neighbour."""
LACKING = """() => {
  const found = [], file = 'a[href*="csv"]';
  const named = (one) => `${one.tagName} ${one.id} ${one.textContent.trim().slice(0, 60)}`;
  for (const chart of document.querySelectorAll('figure')) {
    if (!chart.querySelector('.nothing, table')) found.push(`no table: ${named(chart)}`);
  }
  for (const table of document.querySelectorAll('table:not(.before-and-after)')) {
    const near = table.closest('figure, .w4, .w6, section') || table.parentElement;
    const of_page = document.querySelector(`.headline ${file}, .filters ${file}`);
    if (!near.querySelector(file) && !of_page) found.push(`no file: ${named(table)}`);
  }
  for (const mark of document.querySelectorAll('.part, .dot, .outlier, .middle, .spot, .costbar rect')) {
    const row = mark.closest('tr');
    if (!mark.closest('a[href]') && !row?.querySelector('a[href]') && !row?.id) found.push(`no runs: ${named(mark)}`);
  }
  for (const mark of document.querySelectorAll('[data-tip]')) {
    if (!mark.getAttribute('aria-label')) found.push(`no words: ${named(mark)}`);
  }
  const zone = /Days and months in UTC/.test(document.body.innerText);
  return zone ? found : [...found, 'no time zone'];
}"""
"""Charts without a table, tables without a file, marks without the runs behind them or words for who sees none.

A row that has an id is a call: what is behind it is itself.
"""

NAMES_IN_PLACE = """() => {
  const found = [];
  for (const svg of document.querySelectorAll('.plot svg')) {
    const named = [...svg.querySelectorAll('text[class*="from-"]')].filter((one) => one.checkVisibility());
    const chart = `${svg.closest('figure').id}: `, plot = svg.getBoundingClientRect();
    named.forEach((one, index) => {
      const box = one.getBoundingClientRect(), before = named[index - 1];
      if (box.right > plot.right + 5) found.push(`${chart}${one.textContent} sticks out`);
      if (before && box.left < before.getBoundingClientRect().right + 2) {
        found.push(`${chart}${before.textContent} touches ${one.textContent}`);
      }
    });
    if (svg.querySelector('text[class*="from-"]') && !named.length) found.push(`${chart}nothing is named`);
  }
  return found;
}"""
"""Days and calls whose names, under a chart, would run into each other or out of it."""
RANGES = ("", "?range=7-days", "?range=24-hours", "?range=90-days", "?from=2026-10-01&to=2026-11-30")


@pytest.mark.parametrize("site", SITES)
def test_axe_finds_nothing_serious_on_any_page(
    site: Callable[[], list[str]], live_server: Any, browser: Browser
) -> None:
    pages = site()
    # The content policy would keep axe from the styles it looks into, and a colour on its way to another is neither.
    page = browser.new_context(bypass_csp=True, reduced_motion="reduce").new_page()
    found = _serious_on(page, f"{live_server.url}/login/")
    log_in(page, live_server.url)
    for path in pages:
        found += _serious_on(page, live_server.url + path)

    assert not found, "\n".join(found)


def _serious_on(page: Page, address: str) -> list[str]:
    """What keeps people from reading or using a page, in either scheme, at either width."""
    axe, found = Axe(), []
    page.goto(address)
    page.evaluate(UNFOLD_ALL)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        for scheme, rules in (("light", EVERY_RULE), ("dark", RULES_OF_COLOUR)):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            for broken in axe.run(page, options=rules).response["violations"]:
                if broken["impact"] in ("serious", "critical"):
                    first = broken["nodes"][0]["html"][:200]
                    found.append(f"{page.url} {scheme}, {width}: {broken['id']}, {broken['help']}: {first}")
    return found


@pytest.mark.parametrize("site", SITES)
def test_nothing_on_any_page_is_wider_than_its_place(
    site: Callable[[], list[str]], live_server: Any, browser: Browser
) -> None:
    pages = site()
    page = browser.new_page()
    complaints = log_in(page, live_server.url)
    page.on("dialog", lambda dialog: complaints.append(f"a script ran: {dialog.message}"))
    found = []
    for path in pages:
        page.goto(live_server.url + path)
        for state, unfold in (("folded", ""), ("unfolded", UNFOLD_ALL)):
            page.evaluate(unfold)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 800})
                if beyond := page.evaluate(SIDEWAYS):
                    found.append(f"{path} at {width}, {state}: {beyond} px wider than the screen")
                found += [f"{path} at {width}, {state}: {one}" for one in page.evaluate(OUT_OF_ITS_BOX)]

    assert not found, "\n".join(found)
    assert [words for words in complaints if "404 (Not Found)" not in words] == []


def test_names_under_a_chart_keep_apart_whatever_the_range_and_the_screen(live_server: Any, browser: Browser) -> None:
    pages = [page for page in with_months_of_demo() if "?" not in page]
    page = browser.new_page()
    log_in(page, live_server.url)
    found, named = [], 0
    for path in pages:
        for query in RANGES if path == "/" or path.startswith("/analytics/") else ("",):
            page.goto(f"{live_server.url}{path}{query}")
            named += page.locator(".plot text[class*=from-]").count()
            for width in (1280, 1024, 800, 375, 360):
                page.set_viewport_size({"width": width, "height": 800})
                found += [f"{path}{query} at {width}: {one}" for one in page.evaluate(NAMES_IN_PLACE)]

    assert not found, "\n".join(found)
    assert named > 100


def test_every_chart_has_its_table_its_file_and_the_runs_behind_its_marks(live_server: Any, browser: Browser) -> None:
    pages = with_months_of_demo()
    page = browser.new_page()
    log_in(page, live_server.url)
    found, charts = [], 0
    for path in pages:
        if path in ("/password/", "/no-such-page/"):  # neither a figure nor a time
            continue
        page.goto(live_server.url + path)
        found += [f"{path}: {one}" for one in page.evaluate(LACKING)]
        charts += page.locator("figure").count()

    assert not found, "\n".join(found)
    assert charts > 12
