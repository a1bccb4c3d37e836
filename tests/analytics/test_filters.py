"""What a page shows is in its address: read from it, and written back the same."""

from __future__ import annotations

import re
from datetime import date, datetime
from html import unescape
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from agents.models import Agent
from costsite.analytics.budget_bars import budget_bar
from costsite.analytics.cost_trend import cost_trend
from costsite.analytics.filters import Filters, filters_from
from costsite.analytics.periods import Calendar, Days
from tests.analytics.facts import AFTERNOON, Cast, Spend

CALENDAR = Calendar(AFTERNOON, ZoneInfo("UTC"))
BY = ("workspace", "agent", "model", "provider")


def read(query: str) -> Filters:
    return filters_from(dict(parse_qsl(query)), CALENDAR, by=BY)


@pytest.mark.parametrize(
    ("query", "days", "before"),
    [
        ("", "1 to 30 Nov", "1 to 31 Oct"),
        ("range=last-month", "1 to 31 Oct", "1 to 30 Sep"),
        ("range=7-days", "18 to 24 Nov", "11 to 17 Nov"),
        ("range=30-days", "26 Oct to 24 Nov", "26 Sep to 25 Oct"),
        ("range=24-hours", "23 to 24 Nov", "21 to 22 Nov"),
        ("from=2026-11-03&to=2026-11-03", "3 Nov", "2 Nov"),
        ("range=7-days&from=2026-11-03&to=2026-11-05", "3 to 5 Nov", "31 Oct to 2 Nov"),
        ("from=2026-11-03", "1 to 30 Nov", "1 to 31 Oct"),
        ("from=2026-02-30&to=2026-11-05", "1 to 30 Nov", "1 to 31 Oct"),
        ("range=a-year", "1 to 30 Nov", "1 to 31 Oct"),
        # A form sends the dates that it showed, whether or not somebody changed them.
        ("range=7-days&unless=2026-11-18+2026-11-24&from=2026-11-18&to=2026-11-24", "18 to 24 Nov", "11 to 17 Nov"),
        ("range=7-days&unless=2026-10-18+2026-10-24&from=2026-10-18&to=2026-10-24", "18 to 24 Nov", "11 to 17 Nov"),
        ("range=7-days&unless=2026-11-18+2026-11-24&from=2026-11-17&to=2026-11-24", "17 to 24 Nov", "9 to 16 Nov"),
    ],
)
def test_a_range_is_its_days_and_as_many_before(query: str, days: str, before: str) -> None:
    filters = read(query)

    assert (str(filters.days), str(filters.before)) == (days, before)


def test_a_range_of_ones_own_is_a_leap_year_at_most() -> None:
    assert len(read("from=1990-01-01&to=2026-11-24").days) == 366
    assert read("from=1990-01-01&to=2026-11-24").days.last == date(2026, 11, 24)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "range=7-days",
        "range=24-hours&compare=1&by=agent",
        "from=2026-10-03&to=2026-11-05&model=gpt-5&provider=open+ai&status=error&workspace=acme&by=agent&agent=7&tag=a+b",
    ],
)
def test_what_was_read_is_written_back_the_same(query: str) -> None:
    filters = read(query)

    assert sorted(filters.kept.items()) == sorted(parse_qsl(query))
    assert read(urlencode(filters.kept)) == filters


@pytest.mark.parametrize("by", ["model", "provider"])
def test_a_tag_is_split_by_agent_where_there_are_no_sums_by_what_was_asked(
    spend: Spend, by: str, as_viewer: Client
) -> None:
    spend(tags=["web"])
    assert read(f"tag=web&by={by}").by == "agent"
    assert read(f"by={by}").by == by
    for page in ("/", "/workspaces/acme/"):
        split = re.search('aria-label="Split by">.*?</nav>', as_viewer.get(f"{page}?tag=web&by={by}").content.decode())
        assert split is not None
        assert 'aria-current="true">agent</a>' in split[0]
        assert ">model<" not in split[0]


def test_what_nobody_could_have_chosen_is_left_out() -> None:
    filters = read("by=nonsense&status=on+fire&compare=yes&model=" + "x" * 500)

    assert (filters.by, filters.status, filters.compare, len(filters.model)) == ("", "", False, 200)
    assert read("by=workspace").by == ""


@pytest.mark.parametrize("page", ["/", "/workspaces/acme/"])
def test_every_link_on_a_page_carries_its_filters_on(cast: Cast, spend: Spend, as_viewer: Client, page: str) -> None:
    spend()
    html = as_viewer.get(f"{page}?range=30-days&model=acme-1&by=model&compare=1").content.decode()

    links = [dict(parse_qsl(unescape(href)[1:])) for href in re.findall(r'href="(\?[^"]*)"', html)]

    chosen = {"range": "30-days", "model": "acme-1", "by": "model", "compare": "1"}
    for change in ({"by": "provider"}, {"range": "7-days"}, {"csv": "spend-per-day"}):
        assert chosen | change in links, change
    assert {name: value for name, value in chosen.items() if name != "compare"} in links


# ── how full a budget is ─────────────────────────────────────────────────────────────────────────────────────────────

CENT = 1_000_000


@pytest.mark.parametrize(
    ("spent", "held", "used", "words"),
    [
        (20, 0, "20 %", "20.00¢ of $1.00, 80.00¢ left"),
        (20, 30, "20 %", "20.00¢ of $1.00, 80.00¢ left, 30.00¢ held"),
        (100, 0, "100 %", "$1.00 of $1.00, nothing left"),
        (180, 0, "180 %", "$1.80 of $1.00, 80.00¢ over"),
    ],
)
def test_a_budgets_bar_says_what_is_spent_held_and_left(spent: int, held: int, used: str, words: str) -> None:
    bar = budget_bar("on_track", 100 * CENT, spent * CENT, held * CENT, (50, 80, 100))

    assert (bar.used, bar.words) == (used, words)


def test_a_bar_grows_beyond_its_line_and_never_beyond_its_ground() -> None:
    for spent in (0, 99, 100, 118, 500, 100_000):
        bar = budget_bar("over", 100 * CENT, spent * CENT, 10 * CENT, (50, 80, 100))

        assert bar.spent_width + bar.held_width <= 100.01
        assert (bar.spent_width >= bar.limit_at) is (spent >= 100)
        assert len(bar.ticks) == 2


def test_what_is_held_never_hides_what_is_spent() -> None:
    blocked = budget_bar("blocked", 40 * CENT, 105 * CENT, 9_175 * CENT, (50, 80))

    # 105 cents fill 85 % of the width, and the limit of 40 lies at 40 / 105 of that.
    assert blocked.spent_width == pytest.approx(85, abs=0.1)
    assert blocked.limit_at == pytest.approx(32.4, abs=0.1)
    assert blocked.spent_width + blocked.held_width == pytest.approx(100)
    assert blocked.words.endswith(", $91.75 held")
    with_room = budget_bar("on_track", 40 * CENT, 10 * CENT, 9_175 * CENT, (50, 80))
    assert (with_room.limit_at, with_room.spent_width) == (pytest.approx(85, abs=0.1), pytest.approx(21.25, abs=0.1))
    assert with_room.spent_width + with_room.held_width == pytest.approx(100)
    a_little = budget_bar("over", 100 * CENT, 118 * CENT, 2 * CENT, (50, 80))
    assert a_little.spent_width == pytest.approx(100 * 118 / 120, abs=0.1), "what fits is drawn to scale"


def test_what_is_not_spent_is_never_rounded_up_to_all_of_it() -> None:
    assert budget_bar("near", 100 * CENT, 100 * CENT - 1, 0, (100,)).used == "over 99 %"
    assert budget_bar("blocked", 0, 0, 0, (100,)).used == "–"


# ── what a run costs, day by day ─────────────────────────────────────────────────────────────────────────────────────


def test_a_day_without_runs_is_a_gap_in_the_trend() -> None:
    days = Days(date(2026, 11, 1), date(2026, 11, 8))
    costs = {date(2026, 11, day): [CENT * day] * 3 for day in (1, 2, 5, 6, 7)}

    trend = cost_trend(costs, days, today=date(2026, 11, 8), counted="n 15", day_href=lambda day: f"/{day}")

    assert trend is not None
    assert [len(line.split()) for line in trend.medians] == [2, 3]
    assert [(one.median, one.p95, one.n) for one in trend.days][:2] == [(CENT, CENT, 3), (2 * CENT, 2 * CENT, 3)]
    # The median of the first two days is 1 cent, of the last two 6.
    assert trend.title == "The median run since 6 Nov is 500 % dearer than 1 Nov to 2 Nov: 6.00¢"


def test_the_lines_of_the_trend_are_labelled_by_the_last_day_that_is_over() -> None:
    days = Days(date(2026, 11, 1), date(2026, 11, 8))
    costs = {date(2026, 11, day): [CENT] * 3 for day in (1, 2, 5, 6)} | {date(2026, 11, 7): [300 * CENT]}

    trend = cost_trend(costs, days, today=date(2026, 11, 7), counted="n 13", day_href=lambda day: "")

    assert trend is not None
    assert (trend.last.day, trend.last.median, trend.last_named) == (date(2026, 11, 6), CENT, "6 Nov")
    assert "so far" in trend.days[-1].tip
    assert trend.rows[-1][0] == "Sat 7 Nov, so far"
    assert trend.title == "The median run since 5 Nov costs 1.00¢, level with 1 Nov to 2 Nov"


def test_a_dear_p95_leaves_the_median_its_own_place_on_the_scale() -> None:
    days = Days(date(2026, 11, 1), date(2026, 11, 4))
    costs = {date(2026, 11, day): [cents * CENT] * 9 + [500 * CENT] for day, cents in ((1, 1), (2, 2), (3, 4))}

    trend = cost_trend(costs, days, today=date(2026, 11, 4), counted="n 30", day_href=lambda day: "")

    assert trend is not None
    # Of 1 to 500 cents the scale has 146 pixels: a doubling is log 2 / log 500 of them, 16 and more.
    first, second, third = (one.median_at for one in trend.days)
    assert 15 < first - second < 17
    assert 15 < second - third < 17
    assert "logarithmic scale" in trend.measure


def test_without_a_priced_run_there_is_no_trend() -> None:
    days = Days(date(2026, 11, 1), date(2026, 11, 8))

    today = date(2026, 11, 8)

    assert cost_trend({}, days, today=today, counted="n 0", day_href=lambda day: "") is None
    assert (
        cost_trend({datetime(2025, 1, 1).date(): [1]}, days, today=today, counted="n 0", day_href=lambda day: "")
        is None
    )


def test_the_chosen_agent_and_tag_are_kept_in_the_filter_bar(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    spend(agent="<b>" + "x" * 80)
    spend(agent="triage")
    chosen = Agent.objects.get(slug="triage").pk
    for page in ("/", "/workspaces/acme/"):
        html = as_viewer.get(f"{page}?agent={chosen}&tag=web").content.decode()

        assert f'<option value="{chosen}" selected>triage</option>' in html, page
        assert f">&lt;b&gt;{'x' * 56}…</option>" in html, page
        assert 'name="tag" value="web"' in html, page
        assert f"agent={chosen}&amp;tag=web" in html, page
