"""An agent's page under filters: each part follows each of them, or says that it does not.

A priced call is 180,000 microcents (see facts): 0.18 cents.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse

from agents.models import Agent, LLMCall, ModelPrice
from costsite.analytics.filters import Filters, filters_from
from costsite.analytics.periods import Calendar
from costsite.analytics.queries import run_costs
from costsite.analytics.queries.run_filter import RunFilter
from costsite.analytics.views import agent as agent_page
from tests.analytics.facts import AFTERNOON, UNPRICED, Cast, Spend, file_of, is_paged_older_and_newer, known, text_of

MINI = {"request_model": "acme-1-mini", "provider": "acme-mini"}


@pytest.fixture
def page(cast: Cast, spend: Spend) -> str:
    """Four runs of one agent in November: of two models; failed; tagged; and one in October."""
    price = ModelPrice.objects.get()
    price.pk, price.provider, price.model = None, "acme-mini", "acme-1-mini"
    price.save()
    both = uuid4()
    spend(run_id=both, step="plan", is_root=True, started_at=at(3))
    spend(run_id=both, step="act", started_at=at(3), **MINI)
    spend(step="fail", status="error", started_at=at(4))
    spend(step="web", tags=("web",), started_at=at(5))
    spend(step="old", started_at=datetime(2026, 10, 7, 12, tzinfo=UTC))
    spend(agent="other", tags=("web",), status="error", **MINI)
    return reverse("agent", args=[Agent.objects.get(slug="support-bot").pk])


def at(day: int) -> datetime:
    return datetime(2026, 11, day, 12, tzinfo=UTC)


ALL, BOTH, FAILED, TAGGED, OLD = {3, 4, 5}, {3}, {4}, {5}, {7}


@pytest.mark.parametrize(
    ("query", "days", "steps"),
    [
        ("", ALL, {"plan", "act", "fail", "web"}),
        ("range=last-month", OLD, {"old"}),
        ("model=acme-1-mini", BOTH, {"act"}),
        ("provider=acme-mini", BOTH, {"act"}),
        ("model=acme-1", ALL, {"plan", "fail", "web"}),
        ("status=error", FAILED, {"fail"}),
        ("status=ok&model=acme-1", BOTH | TAGGED, {"plan", "web"}),
        ("tag=web", TAGGED, {"web"}),
        ("tag=web&status=error", set(), set()),
        ("range=last-month&tag=web", set(), set()),
    ],
)
def test_the_table_the_dots_the_trend_and_the_steps_are_of_the_runs_that_were_asked_for(
    page: str, as_viewer: Client, query: str, days: set[int], steps: set[str]
) -> None:
    context = as_viewer.get(f"{page}?{query}").context

    assert {run.started_at.day for run in context["run_page"].rows} == days
    assert {row["started_at"][8:10] for row in file_of(as_viewer, f"{page}?{query}", "run-costs")} == {
        f"{day:02}" for day in days
    }
    assert {row["Day"][8:] for row in file_of(as_viewer, f"{page}?{query}", "cost-trend")} == {
        f"{day:02}" for day in days
    }
    assert len(context["plot"].dots if context["plot"] else ()) == len(days)
    assert {row["step"] for row in file_of(as_viewer, f"{page}?{query}", "steps")} == steps
    assert {item.step for item in context["steps"]} == steps


def test_runs_are_whole_and_steps_are_of_the_calls_that_were_asked_for(page: str, as_viewer: Client) -> None:
    query = f"{page}?model=acme-1-mini"

    (run,) = file_of(as_viewer, query, "run-costs")
    (step,) = file_of(as_viewer, query, "steps")

    assert run["cost_cents"] == "0.36"  # both of its calls
    assert step["cost_cents"] == "0.18"
    html = text_of(as_viewer, query)
    assert html.count("Whole runs with a call of acme-1-mini.") == 2
    assert "Estimated cost of calls of acme-1-mini, 1 run, 1 to 30 Nov" in html
    assert "Runs that began 1 to 30 Nov with a call of acme-1-mini, newest first" in html


def test_what_the_page_is_narrowed_to_is_said_in_the_words_that_one_chose_it_by(page: str, as_viewer: Client) -> None:
    html = text_of(as_viewer, f"{page}?status=error&model=acme-1&provider=acme-ai")

    assert "Estimated cost per day by model of acme-1 (acme-ai), status Failed, 1 to 30 Nov" in html
    assert "Whole runs with a call of acme-1 (acme-ai), status Failed." in html
    assert "Estimated cost of calls of acme-1 (acme-ai), status Failed, 1 run" in html
    tagged = text_of(as_viewer, f"{page}?tag=web&status=cancelled")
    assert "of tag web, whatever its model, provider and status" in tagged
    assert "No runs with tag web and a call of status Cancelled, 1 to 30 Nov." in tagged


def test_columns_and_points_lead_to_the_runs_they_are_of(page: str, as_viewer: Client) -> None:
    html = as_viewer.get(f"{page}?tag=web&status=ok").content.decode()
    trend = html[html.index('id="cost-trend"') : html.index('id="history"')]

    (link,) = re.findall(r'<a href="([^"]+)" data-tip', trend)
    listed = as_viewer.get(link.replace("&amp;", "&")).context["run_page"].rows

    assert [run.started_at.day for run in listed] == [5]


def test_pages_of_the_table_stay_within_the_filters(page: str, spend: Spend, as_viewer: Client) -> None:
    for minute in range(45):
        spend(tags=("mail",), started_at=at(9) + timedelta(minutes=minute))
    query = f"{page}?tag=mail"

    first = is_paged_older_and_newer(as_viewer, f"{query}&")

    assert f"tag=mail&amp;before={first.older}#history" in as_viewer.get(query).content.decode()


def test_of_many_runs_the_newest_are_looked_through_and_the_run_logs_go_on(
    page: str, as_viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_page, "READ_RUNS", 2)

    html = as_viewer.get(f"{page}?model=acme-1-mini").content.decode()

    assert "No runs with a call of acme-1-mini, 1 to 30 Nov among the newest 2." in re.sub(r"<[^>]+>", "", html)
    html = as_viewer.get(f"{page}?tag=web").content.decode()
    assert "Whole runs with tag web, among the newest 2." in html
    (older,) = re.findall(r'href="([^"]+)">The run logs go on from there', html)
    assert as_viewer.get(older.replace("&amp;", "&")).context["run_page"].rows == ()
    (older,) = re.findall(r'href="([^"]+)">The run logs go on from there', as_viewer.get(page).content.decode())
    rows = as_viewer.get(older.replace("&amp;", "&")).context["run_page"].rows
    assert [run.started_at.day for run in rows] == [3]


def test_the_trend_leaves_out_the_day_that_was_read_in_part_and_no_other(
    page: str, spend: Spend, as_viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(tags=("web",), started_at=at(4) + timedelta(hours=1))
    for read, days in ((4, ["2026-11-04", "2026-11-05"]), (3, ["2026-11-05"])):
        # The newest four go back to the 3rd; the newest three to the first hour of the two on the 4th.
        monkeypatch.setattr(agent_page, "READ_RUNS", read)
        for query in ("?tag=web", ""):
            assert [row["Day"] for row in file_of(as_viewer, page + query, "cost-trend")] == days, (read, query)


def test_an_agent_that_did_not_run_in_the_range_has_run_nevertheless(page: str, as_viewer: Client) -> None:
    html = text_of(as_viewer, f"{page}?from=2025-01-01&to=2025-01-31")

    assert "No runs yet" not in html
    assert "No runs 1 to 31 Jan. Every run of it" in html


@pytest.mark.parametrize("wanted", [RunFilter(tag="web"), RunFilter(provider="acme-mini"), RunFilter(call_status="ok")])
def test_to_look_for_runs_takes_one_query(page: str, cast: Cast, wanted: Any, django_assert_num_queries: Any) -> None:
    calendar = Calendar(AFTERNOON, ZoneInfo("UTC"))
    with django_assert_num_queries(1):
        found = run_costs.run_costs(cast.superuser, calendar, wanted, 10)

    assert 0 < len(found.runs) < 6
    assert not found.cut


def test_under_every_filter_the_page_takes_twelve_queries_at_most(
    page: str, cast: Cast, as_viewer: Client, django_assert_max_num_queries: Any
) -> None:
    agent = Agent.objects.get(slug="support-bot")
    Agent.objects.create(workspace=cast.acme, slug="old-name", merged_into=agent, archived_at=AFTERNOON)
    for query in ("tag=web&model=acme-1&status=ok&compare=1", "tag=web&range=24-hours&compare=1", "range=90-days"):
        with django_assert_max_num_queries(12):
            as_viewer.get(f"{page}?{query}")


# ── what cost nothing ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("?status=error", "2 calls 1 to 30 Nov, at no cost"),
        ("?status=cancelled", "No calls match these filters 1 to 30 Nov"),
        ("?model=nobody-has-it", "No calls match these filters 1 to 30 Nov"),
        ("?range=last-month", "Nothing spent 1 to 31 Oct"),
    ],
)
def test_calls_that_cost_nothing_are_not_none(spend: Spend, as_viewer: Client, query: str, title: str) -> None:
    spend()
    for _ in range(2):
        spend(status="error", input_tokens=0, output_tokens=0)
    assert known(LLMCall.objects.filter(status="error")) == 0
    for page in ("/", "/workspaces/acme/", reverse("agent", args=[Agent.objects.get().pk])):
        assert title in text_of(as_viewer, page + query), page


def test_beside_calls_that_cost_nothing_unpriced_ones_are_said(spend: Spend, as_viewer: Client) -> None:
    spend(status="error", input_tokens=0, output_tokens=0, started_at=AFTERNOON)
    for _ in range(3):
        spend(status="error", started_at=AFTERNOON, **UNPRICED)
    page = reverse("agent", args=[Agent.objects.get().pk])

    assert "1 call 1 to 30 Nov, at no cost, and 3 unpriced calls" in text_of(as_viewer, f"{page}?status=error")
    assert "1 call in 24 hours, at no cost, and 3 unpriced calls" in text_of(as_viewer, f"{page}?range=24-hours")


def test_runs_that_cost_nothing_are_said_to(spend: Spend, as_viewer: Client) -> None:
    for _ in range(2):
        spend(input_tokens=0, output_tokens=0, started_at=AFTERNOON)
    page = reverse("agent", args=[Agent.objects.get().pk])

    assert "2 runs cost nothing, 1 to 30 Nov." in text_of(as_viewer, page)
    assert "2 calls in 24 hours, at no cost" in text_of(as_viewer, f"{page}?range=24-hours")
    spend(started_at=AFTERNOON, agent="blind", **UNPRICED)
    blind = reverse("agent", args=[Agent.objects.get(slug="blind").pk])
    assert "cost nothing" not in text_of(as_viewer, blind)


@pytest.mark.parametrize(
    ("query", "of_calls", "of_runs"),
    [
        ({}, "", ""),
        ({"provider": "openai"}, "openai", "with a call of openai"),
        ({"model": "gpt-5", "provider": "openai"}, "gpt-5 (openai)", "with a call of gpt-5 (openai)"),
        ({"status": "abandoned"}, "status Abandoned", "with a call of status Abandoned"),
        ({"tag": "web", "model": "gpt-5"}, "gpt-5", "with tag web and a call of gpt-5"),
        ({"tag": "web"}, "", "with tag web"),
    ],
)
def test_filters_in_words(query: dict[str, str], of_calls: str, of_runs: str) -> None:
    filters: Filters = filters_from(query, Calendar(AFTERNOON, ZoneInfo("UTC")))

    assert (filters.calls_in_words, filters.runs_in_words) == (of_calls, of_runs)
