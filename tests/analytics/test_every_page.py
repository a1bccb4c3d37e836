"""What holds on every page: how much it asks of the database, what it shows of odd names and odd queries, its links."""

from __future__ import annotations

import gzip
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents.models import Agent, AgentRunLog
from tests.analytics.facts import AFTERNOON, Cast, Spend
from tests.factories import MembershipFactory, WorkspaceFactory

MOST_QUERIES = 12
MOST_HTML = 150_000
MOST_STYLES_AND_SCRIPTS = 120_000
"""Bytes, compressed; of all of them, and no page loads all."""
QUERIES = (
    "?range=90-days&compare=1",
    "?range=last-month&by=model",
    "?range=24-hours&by=agent&compare=1",
    "?model=acme-1&status=ok&by=provider&call_status=ok",
    "?cost_over=0.1&tokens_over=5&tag=web&thread=x&agent=1&workspace=acme&unusual=1",
)
HOSTILE = "<script>alert('x')</script>\u202e&\"" + "W" * 140 + "🤖"
REPORTED = HOSTILE.replace("\u202e", "")
"""As far as the wire takes it; the admin takes all of it."""


def test_styles_and_scripts_are_small_and_pages_too(pages: list[str], cast: Cast, client: Client) -> None:
    client.force_login(cast.superuser)
    files = [path for kind in ("css", "js") for path in sorted((settings.BASE_DIR / "static" / kind).iterdir())]
    loaded = set()
    for page in pages:
        html = client.get(page).content
        assert len(html) < MOST_HTML, page
        loaded |= set(re.findall(r'(?:src|href)="[^"]*/(?:css|js)/([\w-]+)', html.decode()))

    assert loaded <= {path.stem for path in files}
    assert len(loaded) > 3
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < MOST_STYLES_AND_SCRIPTS


def test_every_page_asks_at_most_twelve_queries(pages: list[str], cast: Cast, client: Client) -> None:
    # A member of several workspaces asks the most: their runs come from an index a workspace.
    for _ in range(3):
        MembershipFactory(user=cast.viewer, workspace=WorkspaceFactory())
    for person in (cast.viewer, cast.superuser):
        client.force_login(person)
        for page in [*pages, *(f"{page}{query}" for page in pages for query in QUERIES)]:
            with CaptureQueriesContext(connection) as queries:
                assert client.get(page).status_code == 200, page

            written = [query["sql"] for query in queries]
            assert len(written) <= MOST_QUERIES, (page, len(written), written)


def test_a_page_asks_no_more_when_there_is_more_to_show(pages: list[str], as_viewer: Client, spend: Spend) -> None:
    def asked() -> list[int]:
        counts = []
        for page in pages:
            with CaptureQueriesContext(connection) as queries:
                as_viewer.get(page)
            counts.append(len(queries))
        return counts

    before = asked()
    for number in range(12):
        spend(agent=f"agent-{number}", request_model=f"acme-model-{number}")

    assert asked() == before


@pytest.mark.sqlite("reads its plans")
def test_runs_and_calls_are_read_by_an_index(pages: list[str], cast: Cast, client: Client) -> None:
    MembershipFactory(user=cast.viewer, workspace=WorkspaceFactory())
    for person in (cast.viewer, cast.superuser):
        client.force_login(person)
        for page in pages:
            with CaptureQueriesContext(connection) as queries:
                client.get(page)
            for query in queries:
                if "agents_agentrunlog" not in query["sql"] and "agents_llmcall" not in query["sql"]:
                    continue
                with connection.cursor() as cursor:
                    plan = [row[3] for row in cursor.execute("EXPLAIN QUERY PLAN " + query["sql"]).fetchall()]
                scanned = [step for step in plan if re.match(r"SCAN (agents_|U\d|V\d)", step) and "USING" not in step]
                assert not scanned, (page, query["sql"], plan)


@pytest.mark.parametrize(
    "query",
    [
        "?range=nonsense",
        "?before=x&after=-1",
        "?from=99999999999999999999",
        "?q=%00%ff",
        "?day=2026-13-45",
        "?agent=9e9",
    ],
)
def test_a_query_string_nobody_made_is_as_if_it_were_not_there(pages: list[str], as_viewer: Client, query: str) -> None:
    for page in pages:
        assert as_viewer.get(page.partition("?")[0] + query).status_code == 200, page


@pytest.mark.parametrize(
    "path", ["/runs/99999999999999999999/", "/analytics/18446744073709551617/", "/runs/0/", "/workspaces/no-such/"]
)
def test_an_address_of_nothing_is_not_found(as_viewer: Client, path: str) -> None:
    assert as_viewer.get(path).status_code == 404


def test_names_are_shown_as_text_whatever_they_are(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    name = REPORTED.replace("/", "_")[:200]
    cast.acme.name = HOSTILE[:200]
    cast.acme.save()
    names = dict.fromkeys(("request_model", "provider", "step", "sub_agent", "error_type"), REPORTED[:200])
    call = spend(agent=name, tags=(REPORTED[:64],), status="error", **names)
    agent = Agent.objects.get(workspace=cast.acme)
    run = AgentRunLog.objects.get(run_id=call.run_id)

    for page in (
        "/",
        "/analytics/",
        f"/analytics/{agent.pk}/",
        "/workspaces/",
        "/workspaces/acme/",
        "/runs/",
        f"/runs/{run.pk}/",
        "/analytics/?q=" + "<script>alert('x')",
    ):
        html = as_viewer.get(page).content.decode()

        assert "<script>alert" not in html, page
        assert "alert" in html, page


@pytest.mark.parametrize("page", ["dashboard", "analytics", "runs"])
def test_before_the_first_run_the_page_says_how_to_get_one(as_viewer: Client, page: str) -> None:
    html = as_viewer.get(reverse(page)).content.decode()

    assert "No runs yet" in html
    assert "costs = CostCallbackHandler(agent=" in html


def test_a_workspace_without_runs_says_how_to_get_one(as_viewer: Client) -> None:
    assert "No runs yet" in as_viewer.get(reverse("workspace", args=["acme"])).content.decode()


def test_an_agent_without_runs_says_how_to_get_one_with_its_own_name(cast: Cast, as_viewer: Client) -> None:
    agent = Agent.objects.create(workspace=cast.acme, slug="new-bot")

    assert 'CostCallbackHandler(agent="new-bot")' in as_viewer.get(reverse("agent", args=[agent.pk])).content.decode()


def test_times_are_of_the_ledgers_zone(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    spend(started_at=datetime(2026, 11, 20, 23, 59, tzinfo=UTC))

    assert "20 Nov 23:59" in as_viewer.get(reverse("runs")).content.decode()


def test_logging_out_takes_a_post(as_viewer: Client) -> None:
    assert as_viewer.get(reverse("logout")).status_code == 405
    assert as_viewer.post(reverse("logout")).status_code == 302
    assert as_viewer.get(reverse("dashboard")).status_code == 302


def test_one_logs_in_with_username_and_password(cast: Cast, client: Client) -> None:
    wrong = client.post(reverse("login"), {"username": "vera", "password": "guess"})
    right = client.post(reverse("login"), {"username": "vera", "password": "correct horse battery"})

    assert "do not belong together" in wrong.content.decode()
    assert (right.status_code, right.headers["Location"]) == (302, "/")


def test_only_staff_are_shown_the_way_into_the_admin(cast: Cast, client: Client) -> None:
    for person, shown in ((cast.viewer, False), (cast.superuser, True)):
        client.force_login(person)

        assert (reverse("admin:agents_agent_changelist") in client.get(reverse("dashboard")).content.decode()) is shown


def test_the_way_to_edit_is_shown_to_staff_who_own_the_workspace(pages: list[str], cast: Cast, client: Client) -> None:
    User.objects.filter(pk__in=[cast.owner.pk, cast.viewer.pk]).update(is_staff=True)
    for person, shown in ((cast.owner, True), (cast.viewer, False), (cast.superuser, True)):
        client.force_login(person)
        for page in (pages[2], pages[4]):
            assert ("/change/" in client.get(page).content.decode()) is shown, (person, page)


def test_no_link_on_any_page_is_dead(pages: list[str], cast: Cast, client: Client) -> None:
    client.force_login(cast.superuser)
    seen, waiting = set(pages), list(pages)
    while waiting:
        page = waiting.pop()
        response = client.get(page)
        assert response.status_code == 200, page
        if "csv" in page:
            assert response.headers["Content-Type"].startswith("text/csv"), page
        # Filters combine without end: of a page under some, the links are those of the page under none.
        if page.startswith("/admin/") or response.streaming or ("?" in page and page not in pages):
            continue
        for href in re.findall(r'href="([^"#]+)', response.content.decode()):
            target = href.replace("&amp;", "&")
            target = page.partition("?")[0] + target if target.startswith("?") else target
            if target not in seen and not target.startswith("/static/"):
                seen.add(target)
                waiting.append(target)
    assert len(seen) > 100


def test_a_month_without_calls_is_a_page_like_any_other(spend: Spend, as_viewer: Client) -> None:
    spend(started_at=AFTERNOON - timedelta(days=40))

    html = as_viewer.get(reverse("dashboard")).content.decode()

    assert "Nothing to draw in this range" in html
    assert "Level with" not in html
