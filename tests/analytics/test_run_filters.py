"""Run logs, narrowed: by cost, tokens, tag, thread, hour and range; bounded, and without a gap."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from agents.models import Agent, AgentRunLog
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.queries.hours import spend_by_hour
from costsite.analytics.queries.run_filter import RunFilter
from costsite.analytics.queries.runs import Cursor, list_runs
from tests.analytics.facts import AFTERNOON, UNPRICED, Cast, Spend, text_of
from tests.factories import NOON, MembershipFactory


def minutes(client: Client, **query: Any) -> list[int]:
    """When the listed runs began, in minutes after noon of 20 November."""
    rows = client.get(reverse("runs"), query).context["run_page"].rows
    return [(row.started_at - NOON) // timedelta(minutes=1) for row in rows]


@pytest.fixture
def runs(spend: Spend) -> None:
    """Ten runs a minute apart: the n-th has n x 1,000 tokens in, none out: n x 0.1 cents."""
    for number in range(10):
        spend(
            input_tokens=1_000 * number,
            output_tokens=0,
            started_at=NOON + timedelta(minutes=number),
            tags=("even",) if number % 2 == 0 else (),
            thread_id=f"thread-{number % 3}",
            request_model="acme-5" if number == 5 else "acme-1",
            provider="acme-ai" if number != 3 else "other-ai",
            status="error" if number in (4, 8) else "ok",
        )


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"cost_over": "0.7"}, [9, 8]),
        ({"cost_over": "0.85"}, [9]),
        ({"tokens_over": "6999"}, [9, 8, 7]),
        ({"tag": "even"}, [8, 6, 4, 2, 0]),
        ({"tag": "eve"}, []),
        ({"thread": "thread-1"}, [7, 4, 1]),
        ({"tag": "even", "cost_over": "0.3", "thread": "thread-0"}, [6]),
        ({"model": "acme-5"}, [5]),
        ({"model": "acme-1", "provider": "other-ai"}, [3]),
        ({"provider": "nobody"}, []),
        ({"call_status": "error"}, [8, 4]),
        ({"call_status": "error", "model": "acme-1"}, [8, 4]),
        ({"call_status": "nonsense"}, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ({"cost_over": "nonsense"}, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ({"tokens_over": "-1"}, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ({"hour": "2026-11-20T12"}, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ({"hour": "2026-11-20T13"}, []),
        ({"range": "last-month"}, []),
        ({"from": "2026-11-20", "to": "2026-11-20"}, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        ({"range": "24-hours"}, []),
    ],
)
def test_runs_are_narrowed_by_what_the_address_says(as_viewer: Client, query: dict[str, str], found: list[int]) -> None:
    assert minutes(as_viewer, **query) == found
    response: Any = as_viewer.get(reverse("runs-csv"), query)
    assert len(response.getvalue().decode().splitlines()) == 1 + len(found)


@pytest.mark.parametrize("sifted", [3, 4, 7, 100])
def test_however_few_runs_are_looked_through_at_a_time_every_one_is_found_once(
    spend: Spend, as_viewer: Client, monkeypatch: pytest.MonkeyPatch, sifted: int
) -> None:
    monkeypatch.setattr("costsite.analytics.queries.runs.SIFTED_RUNS", sifted)
    for number in range(20):
        spend(started_at=NOON + timedelta(minutes=number), tags=("rare",) if number in (1, 2, 17) else ())

    found: list[int] = []
    address, pages = f"{reverse('runs')}?tag=rare", 0
    newer = ""
    while address:
        page = as_viewer.get(address).context["run_page"]
        found += [(row.started_at - NOON) // timedelta(minutes=1) for row in page.rows]
        newer = newer or str(page.older or "")
        address = f"{reverse('runs')}?tag=rare&before={page.older}" if page.older else ""
        pages += 1

    assert found == [17, 2, 1]
    assert pages <= 1 + -(-20 // sifted)


@pytest.mark.parametrize("readers", ["viewer", "member of both", "superuser"])
@pytest.mark.parametrize("sifted", [3, 5, 100])
def test_the_rare_ones_of_all_workspaces_are_found_once_both_ways(
    cast: Cast, spend: Spend, monkeypatch: pytest.MonkeyPatch, sifted: int, readers: str
) -> None:
    """Three in every instant, so that a page's end falls among runs that began together."""
    monkeypatch.setattr("costsite.analytics.queries.runs.SIFTED_RUNS", sifted)
    for number in range(24):
        place = cast.elsewhere if number % 2 else cast.acme
        spend(place, started_at=NOON + timedelta(minutes=number // 3), tags=("it's 5 %",) if number % 5 == 0 else ())
    if readers == "member of both":
        MembershipFactory(user=cast.viewer, workspace=cast.elsewhere)
    reader = cast.superuser if readers == "superuser" else cast.viewer
    seen = AgentRunLog.objects.visible_to(reader).filter(tags=["it's 5 %"]).order_by("-started_at", "-id")
    rare = list(seen.values_list("pk", flat=True))

    older = walk(reader, "older", None)
    newer = walk(reader, "newer", Cursor(NOON - timedelta(days=1), 0))

    assert rare
    assert older == rare
    assert newer == rare[::-1]


def walk(reader: User, way: str, place: Cursor | None) -> list[int]:
    """Ids of all runs with that tag, page by page: of the older ones, or of those newer than `place`."""
    wanted, found = RunFilter(tag="it's 5 %"), list[int]()
    for _ in range(30):
        step = {"before" if way == "older" else "after": place}
        page = list_runs(reader, calendar_now(), wanted, limit=2, **step)
        ids = [row.id for row in page.rows]
        found += ids if way == "older" else ids[::-1]
        place = getattr(page, way)
        if place is None:
            return found
    raise AssertionError("It never ends.")


@pytest.mark.parametrize("reader", ["viewer", "superuser"])
def test_hours_are_of_the_newest_runs_and_of_what_began_with_the_last_of_them(
    cast: Cast, spend: Spend, monkeypatch: pytest.MonkeyPatch, reader: str
) -> None:
    monkeypatch.setattr("costsite.analytics.queries.hours.HOURLY_RUNS", 5)
    MembershipFactory(user=cast.viewer, workspace=cast.elsewhere)
    for number in range(12):
        spend((cast.acme, cast.elsewhere)[number % 2], started_at=AFTERNOON - timedelta(minutes=10 * (number // 3)))

    hours = spend_by_hour(getattr(cast, reader), calendar_now(), "workspace", 7, RunFilter(), compare=False)

    assert hours.cut
    assert sum(spent.calls for spent in hours.totals.values()) == 6
    assert sum(cost or 0 for by_hour in hours.costs.values() for cost in by_hour.values()) == 6 * 180_000


def test_a_page_that_looked_through_some_says_how_far(
    spend: Spend, as_viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("costsite.analytics.queries.runs.SIFTED_RUNS", 5)
    for number in range(12):
        spend(started_at=NOON + timedelta(minutes=number))

    html = text_of(as_viewer, f"{reverse('runs')}?tag=nobodys")

    assert "Looked through 5 runs, back to 20 Nov 12:07 ." in html
    assert "Older →" in html


def test_a_column_of_the_strip_narrows_the_list_and_keeps_the_other_filters(
    cast: Cast, spend: Spend, as_viewer: Client
) -> None:
    spend(status="error", started_at=AFTERNOON - timedelta(days=1))
    spend(cast.elsewhere, agent="stranger")
    agent = Agent.objects.get(slug="support-bot").pk

    bars = as_viewer.get(reverse("runs"), {"agent": agent, "status": "error", "range": "7-days"}).context["strip"].bars
    day = next(bar for bar in bars if bar.column.total)

    assert day.href == f"/runs/?agent={agent}&status=error&day=2026-11-23"
    assert len(as_viewer.get(day.href).context["run_page"].rows) == 1
    assert sum(bar.column.total for bar in bars) == 180_000


def test_the_strip_says_which_filters_its_sums_do_not_follow(spend: Spend, as_viewer: Client) -> None:
    spend(status="error", tags=("eu",))
    agent = Agent.objects.get(slug="support-bot").pk

    narrowed = text_of(as_viewer, f"{reverse('runs')}?agent={agent}&status=error&tag=eu")

    assert "Estimated cost per day of every run, whatever its status and tag, 26 Oct to 24 Nov; a column" in narrowed
    assert "of every run" not in text_of(as_viewer, f"{reverse('runs')}?agent={agent}")


def test_a_range_is_said_above_its_runs_and_drawn_in_the_strip(spend: Spend, as_viewer: Client) -> None:
    for day in (date(2026, 10, 1), date(2026, 10, 31), date(2026, 11, 2)):
        spend(started_at=datetime.combine(day, NOON.timetz()))
    for query in ("from=2026-10-01&to=2026-10-31", "range=last-month"):
        address = f"{reverse('runs')}?{query}"
        words = text_of(as_viewer, address)

        assert "Runs that began from 1 to 31 Oct." in words
        assert "Estimated cost per day, 1 to 31 Oct; a column narrows the list to its day. 0.3600¢ in all." in words
        assert len(as_viewer.get(address).context["run_page"].rows) == 2
        assert 'aria-current="true">Last month' in as_viewer.get(address).content.decode()
    day = text_of(as_viewer, f"{reverse('runs')}?day=2026-10-31")
    assert "Runs that began on 31 Oct 2026." in day
    assert "of every run, whatever its day, 26 Oct to 24 Nov" in day
    assert "Runs that began" not in text_of(as_viewer, reverse("runs"))


def test_every_column_of_a_chart_leads_to_the_runs_behind_it(spend: Spend, as_viewer: Client) -> None:
    spend()
    spend(started_at=AFTERNOON - timedelta(minutes=90))
    agent = Agent.objects.get().pk
    for page in ("/", "/workspaces/acme/", f"/analytics/{agent}/", "/?by=model", "/?range=24-hours"):
        for bar in as_viewer.get(page).context["chart"].bars:
            if bar.column.total:
                rows = as_viewer.get(bar.href).context["run_page"].rows
                assert sum(row.spend.cost_microcents for row in rows) == bar.column.total, (page, bar.href)
    trend = as_viewer.get(f"/analytics/{agent}/").context["trend"]
    assert [len(as_viewer.get(day.href).context["run_page"].rows) for day in trend.days] == [
        day.n for day in trend.days
    ]


def test_every_chart_and_table_has_its_file(pages: list[str], spend: Spend, as_viewer: Client) -> None:
    for number in range(5):  # as many as the chart of contexts wants
        run_id = uuid4()
        for call in range(2):
            spend(run_id=run_id, started_at=NOON + timedelta(hours=number, minutes=call))
    call_command("review_runs", verbosity=0)
    without = []
    for page in pages:
        links = set(re.findall(r'href="([^"#]*csv[^"#]*)"', as_viewer.get(page).content.decode()))
        for link in links:
            target = link.replace("&amp;", "&")
            answer: Any = as_viewer.get(page.partition("?")[0] + target if target.startswith("?") else target)
            assert answer.headers["Content-Type"].startswith("text/csv"), (page, link)
            assert len(answer.getvalue().decode().splitlines()) > 1, (page, link)
        if not links:
            without.append(page)
    # Forms, and lists of what was told, was made or is one price.
    assert [page for page in without if not page.startswith(("/inbox/", "/keys/", "/prices/", "/optimization/w"))] == []


def test_unusually_high_tokens_are_those_that_the_review_marked_and_each_says_why(
    spend: Spend, as_viewer: Client
) -> None:
    # 30 runs as usual and one of 90,000 tokens in its only call, of two agents.
    for agent in ("support-bot", "researcher"):
        for number in range(30):
            spend(agent=agent, started_at=NOON + timedelta(minutes=number))
        spend(agent=agent, input_tokens=90_000, started_at=NOON + timedelta(minutes=40))
    assert "No run was reviewed yet" in text_of(as_viewer, f"{reverse('runs')}?unusual=1")
    call_command("review_runs", verbosity=0)
    bot = Agent.objects.get(slug="support-bot").pk

    assert minutes(as_viewer, unusual="1") == [40, 40]
    assert minutes(as_viewer, unusual="1", agent=bot) == [40]
    assert minutes(as_viewer, unusual="1", tokens_over="90300") == []
    html = text_of(as_viewer, f"{reverse('runs')}?unusual=1")
    assert "the last day that was reviewed" in html
    assert html.count("Overly verbose prompt") == 2
    run = AgentRunLog.objects.get(agent=bot, input_tokens=90_000)
    page = text_of(as_viewer, "run", run.pk)
    # 90,000 x 100 + 300 x 200 = 9,060,000 microcents = 9.06 cents; the median of the agent's 31 runs is 0.18 cents.
    assert "Unusual for this agent: 8.88¢ over the usual run of 0.1800¢ (n 31)" in page
    assert "Overly verbose prompt : It began with 90k input tokens" in page
    assert "Overly verbose prompt" in text_of(as_viewer, "agent", bot), "wherever runs are listed"


def test_a_marked_run_without_a_price_says_by_how_many_tokens_it_is_unusual(spend: Spend, as_viewer: Client) -> None:
    for number in range(30):
        spend(started_at=NOON + timedelta(minutes=number), **UNPRICED)
    call = spend(**UNPRICED | {"input_tokens": 90_000, "started_at": NOON + timedelta(minutes=40)})
    call_command("review_runs", verbosity=0)

    page = text_of(as_viewer, "run", AgentRunLog.objects.get(run_id=call.run_id).pk)

    assert "Unusual for this agent: 90.3k tokens, usually 1.50k (n 31)" in page
    assert "No single cause was found." in page
    assert "These add up to the difference." not in page


def test_one_call_has_to_be_all_that_is_asked_of_calls(spend: Spend, as_viewer: Client) -> None:
    run_id = uuid4()
    spend(run_id=run_id, request_model="acme-1", status="error")
    spend(run_id=run_id, request_model="acme-2", status="ok")

    assert minutes(as_viewer, model="acme-1", call_status="error") == [0]
    assert minutes(as_viewer, model="acme-2", call_status="error") == []


@pytest.mark.parametrize("page", ["/", "/workspaces/acme/", "agent"])
def test_a_column_and_a_legend_lead_to_runs_of_what_the_page_is_narrowed_to(
    spend: Spend, as_viewer: Client, page: str
) -> None:
    at = AFTERNOON - timedelta(hours=2)
    for model, status in (("acme-1", "ok"), ("acme-1", "error"), ("acme-2", "ok"), ("gpt-4o", "ok")):
        spend(request_model=model, provider="openai" if model == "gpt-4o" else "acme-ai", status=status, started_at=at)
    address = reverse("agent", args=[Agent.objects.get().pk]) if page == "agent" else page

    def behind(query: str) -> list[int]:
        """How many runs each column that has any leads to."""
        chart = as_viewer.get(f"{address}?{query}").context["chart"]
        links = [bar.href for bar in chart.bars if bar.column.total]
        return [len(as_viewer.get(link).context["run_page"].rows) for link in links]

    assert behind("by=model") == [4]
    assert behind("by=model&model=acme-1") == [2]
    assert behind("model=acme-1&status=error") == [1]
    assert behind("provider=openai&range=90-days") == [1]
    legend = as_viewer.get(f"{address}?by=model").context["chart"].legend
    assert {entry.name: len(as_viewer.get(entry.href).context["run_page"].rows) for entry in legend} == {
        "acme-1": 2, "gpt-4o": 1,
    }  # fmt: skip
