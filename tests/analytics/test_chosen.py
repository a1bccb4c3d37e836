"""An address may name anything: a workspace or an agent that its reader may not see is no choice, and tells nothing."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.test import Client
from django.urls import reverse

from agents.models import Agent, Workspace
from tests.analytics.facts import AFTERNOON, UNPRICED, Cast, Spend
from tests.factories import MembershipFactory, WorkspaceFactory

PAGES = ("/", "/workspaces/acme/", "/runs/", "/runs/export.csv")
FILES = ("/?csv=spend-per-day", "/workspaces/acme/?csv=spend-per-day", "/workspaces/acme/?csv=tags")


@pytest.fixture
def stranger(cast: Cast, spend: Spend) -> Agent:
    """Of the workspace that only the outsider belongs to; it has spent more than what the viewer sees."""
    spend(tags=("web",))
    spend(agent="triage", started_at=AFTERNOON)
    for _ in range(3):
        spend(cast.elsewhere, agent="stranger", tags=("secret",))
    return Agent.objects.get(slug="stranger")


def shown(client: Client, address: str) -> str:
    response: Any = client.get(address)
    assert response.status_code == 200, address
    text = response.getvalue() if response.streaming else response.content
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", text.decode())


def beside(address: str, query: str) -> str:
    return f"{address}{'&' if '?' in address else '?'}{query}"


def test_the_dashboard_of_one_workspace_offers_its_agents_alone(cast: Cast, stranger: Agent, client: Client) -> None:
    client.force_login(cast.superuser)

    assert f'<option value="{stranger.pk}"' in shown(client, "/")
    assert f'<option value="{stranger.pk}"' not in shown(client, "/?workspace=acme")


@pytest.mark.parametrize("address", [*PAGES, *FILES])
@pytest.mark.parametrize("range_", ["range=30-days", "range=24-hours&compare=1"])
def test_an_agent_one_may_not_see_is_as_if_it_were_not_named(
    stranger: Agent, as_viewer: Client, address: str, range_: str
) -> None:
    plain = shown(as_viewer, beside(address, range_))

    for agent in (stranger.pk, 10**9):
        assert shown(as_viewer, beside(address, f"{range_}&agent={agent}")) == plain, agent
    assert "stranger" not in plain


@pytest.mark.parametrize("address", ["/", "/runs/", "/runs/export.csv", "/?csv=spend-per-day"])
def test_a_workspace_one_may_not_see_is_as_if_it_were_not_named(
    stranger: Agent, as_viewer: Client, address: str
) -> None:
    plain = shown(as_viewer, address)

    for slug in ("elsewhere", "no-such-place"):
        assert shown(as_viewer, beside(address, f"workspace={slug}")) == plain, slug


@pytest.mark.parametrize("address", ["/", "/runs/", "/runs/export.csv", "/?csv=spend-per-day"])
def test_an_agent_of_another_workspace_than_the_chosen_one_is_no_choice_either(
    stranger: Agent, cast: Cast, client: Client, address: str
) -> None:
    client.force_login(cast.superuser)

    both = shown(client, beside(address, f"workspace=acme&agent={stranger.pk}"))

    assert both == shown(client, beside(address, "workspace=acme"))
    assert shown(client, beside(address, f"workspace=elsewhere&agent={stranger.pk}")) != both


@pytest.mark.parametrize("address", ["/workspaces/acme/", *FILES[1:]])
def test_the_page_of_a_workspace_has_its_own_agents_to_choose_from(
    stranger: Agent, cast: Cast, client: Client, address: str
) -> None:
    client.force_login(cast.superuser)
    own = Agent.objects.get(slug="support-bot").pk

    assert shown(client, beside(address, f"agent={stranger.pk}")) == shown(client, address)
    assert shown(client, beside(address, "workspace=elsewhere")) == shown(client, address)
    assert shown(client, beside(address, f"agent={own}")) != shown(client, address)


def test_the_page_of_an_agent_knows_no_other_choice(stranger: Agent, cast: Cast, as_viewer: Client) -> None:
    address = reverse("agent", args=[Agent.objects.get(slug="support-bot").pk])

    assert shown(as_viewer, f"{address}?agent={stranger.pk}&workspace=elsewhere") == shown(as_viewer, address)


def test_an_agent_that_was_merged_stands_for_the_one_its_calls_are_booked_to(
    stranger: Agent, as_viewer: Client
) -> None:
    target = Agent.objects.get(slug="support-bot")
    source = Agent.objects.get(slug="triage")
    Agent.objects.filter(pk=source.pk).update(merged_into=target, archived_at=AFTERNOON)
    for address in PAGES:
        through = shown(as_viewer, beside(address, f"agent={source.pk}"))

        assert through == shown(as_viewer, beside(address, f"agent={target.pk}")), address


def test_an_agent_without_a_call_in_the_range_stays_chosen(stranger: Agent, as_viewer: Client) -> None:
    quiet = Agent.objects.create(workspace=Workspace.objects.get(slug="acme"), slug="quiet")
    for address in ("/", "/workspaces/acme/"):
        html = shown(as_viewer, f"{address}?agent={quiet.pk}")

        assert f'<option value="{quiet.pk}" selected>quiet</option>' in html, address


# ── what travels on ──────────────────────────────────────────────────────────────────────────────────────────────────


def links_of(client: Client, address: str) -> list[dict[str, list[str]]]:
    html = client.get(address).content.decode()
    found = [parse_qs(unescape(href).partition("?")[2]) for href in re.findall(r'href="([^"]*\?[^"]*)"', html)]
    assert len(found) > 5, address
    return found


def form_of(client: Client, address: str) -> str:
    """What the filters' form sends when nobody changed anything."""
    html = client.get(address).content.decode()
    form = re.search(r'<form method="get">.*?</form>', html, re.DOTALL)
    assert form is not None
    fields = re.findall(r'<input [^>]*name="([^"]+)" value="([^"]*)"', form[0])
    return "&".join(f"{name}={value}".replace(" ", "+") for name, value in fields)


@pytest.mark.parametrize("page", ["/", "/workspaces/acme/", "/analytics/{}/"])
@pytest.mark.parametrize("range_", ["range=7-days", "range=this-month", "range=24-hours"])
def test_what_a_form_sends_to_keep_its_range_goes_no_further(
    spend: Spend, as_viewer: Client, page: str, range_: str
) -> None:
    spend()
    page = page.format(Agent.objects.get().pk)
    sent = form_of(as_viewer, f"{page}?{range_}")
    assert "unless=" in sent
    assert "from=" in sent

    links = links_of(as_viewer, f"{page}?{sent}")

    assert links == links_of(as_viewer, f"{page}?{range_}")
    assert not [link for link in links if "unless" in link]


def test_the_run_logs_carry_on_what_they_were_asked_and_nothing_else(spend: Spend, as_viewer: Client) -> None:
    for _ in range(60):
        spend(started_at=AFTERNOON)
    asked = "range=7-days&unless=2026-11-18+2026-11-24&from=2026-11-18&to=2026-11-24&status=ok&agent=9&x=y"

    links = links_of(as_viewer, f"/runs/?{asked}")
    file: Any = as_viewer.get(f"/runs/export.csv?{asked}")

    older = next(link for link in links if "before" in link)
    assert older.keys() == {"range", "status", "before"}
    assert all(link.keys().isdisjoint({"unless", "agent", "x"}) for link in links)
    assert {"range": ["7-days"], "status": ["ok"]} in links  # the file
    assert "Link" not in file.headers


def test_the_form_of_the_run_logs_keeps_the_range_it_was_opened_with(spend: Spend, as_viewer: Client) -> None:
    spend(started_at=AFTERNOON)
    for query in ("range=7-days", "from=2026-11-20&to=2026-11-24", "hour=2026-11-24T15", "day=2026-11-24"):
        assert query in form_of(as_viewer, f"/runs/?{query}"), query


def test_an_agent_that_is_chosen_costs_no_more_than_its_own_query(
    cast: Cast, spend: Spend, stranger: Agent, as_viewer: Client, django_assert_max_num_queries: Any
) -> None:
    for _ in range(3):
        MembershipFactory(user=cast.viewer, workspace=WorkspaceFactory())
    own, merged = Agent.objects.get(slug="support-bot"), Agent.objects.get(slug="triage")
    Agent.objects.filter(pk=merged.pk).update(merged_into=own, archived_at=AFTERNOON)
    spend(started_at=AFTERNOON, **UNPRICED)
    for address in ("/", "/workspaces/acme/", "/runs/"):
        for agent in (own.pk, merged.pk, stranger.pk):
            for query in (
                "",
                "&by=agent&compare=1&model=acme-1",
                "&range=24-hours&compare=1",
                "&tag=web",
                "&by=agent&tag=web",
                "&by=agent&status=ok&from=2025-11-20&to=2026-11-24&compare=1&workspace=acme",
            ):
                with django_assert_max_num_queries(12):
                    as_viewer.get(f"{address}?agent={agent}{query}")
