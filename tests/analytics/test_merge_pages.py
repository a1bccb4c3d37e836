"""Merging an agent into another, on the pages: who may, what is shown first, and what is left of the name."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents.keys import create_key
from agents.models import Agent, AgentMerge, LLMCall
from agents.moving import sweep
from budgets.policies import By, policy_of, set_budget
from tests.analytics.facts import AFTERNOON, UNPRICED, Cast, Spend, text_of
from tests.analytics.test_every_page import HOSTILE, MOST_QUERIES
from tests.factories import AgentFactory

BY = By(command="test")


@pytest.fixture
def bots(spend: Spend) -> tuple[Agent, Agent]:
    """suport-bot, new, with two calls this month, one of which is unpriced, and one of last; and support-bot."""
    spend()
    spend(agent="suport-bot")
    spend(agent="suport-bot", **UNPRICED)
    spend(agent="suport-bot", started_at=AFTERNOON - timedelta(days=30))
    Agent.objects.filter(slug="support-bot").update(created_at=AFTERNOON - timedelta(days=90))
    Agent.objects.filter(slug="suport-bot").update(created_at=AFTERNOON - timedelta(days=1))
    return Agent.objects.get(slug="suport-bot"), Agent.objects.get(slug="support-bot")


def merge_page(agent: Agent, into: str = "") -> str:
    return reverse("merge-agent", args=[agent.pk]) + (f"?into={into}" if into else "")


def post(client: Client, agent: Agent, into: str = "support-bot", **more: str) -> Any:
    return client.post(merge_page(agent), {"into": into, "confirmed": "yes"} | more)


def test_who_may_merge(bots: tuple[Agent, Agent], cast: Cast, client: Client) -> None:
    source, _ = bots
    for person, status in ((cast.viewer, 403), (cast.outsider, 404)):
        client.force_login(person)
        assert client.get(merge_page(source)).status_code == status
        assert client.get(merge_page(source, "support-bot")).status_code == status
        assert post(client, source).status_code == status
        assert "Merge into" not in client.get(reverse("dashboard")).content.decode()
    assert AgentMerge.objects.count() == 0

    for person, one in ((cast.owner, source), (cast.superuser, AgentFactory(workspace=cast.acme, slug="other"))):
        client.force_login(person)
        assert client.get(merge_page(one)).status_code == 200
        assert "Merge into…" in text_of(client, "agent", one.pk)
        assert post(client, one).status_code == 302
    assert list(AgentMerge.objects.order_by("pk").values_list("by_name", flat=True)) == ["olive", "root"]


def test_needs_attention_leads_to_what_would_move(bots: tuple[Agent, Agent], cast: Cast, client: Client) -> None:
    source, target = bots
    set_budget(source, by=BY, limit_cents=50)
    set_budget(target, by=BY, limit_cents=1)
    create_key(cast.acme, agent=source)
    client.force_login(cast.owner)
    assert f'href="{merge_page(source, "support-bot")}"' in client.get(reverse("dashboard")).content.decode()

    shown = text_of(client, merge_page(source, "support-bot"))

    # 0.18 cents each: two of three calls have a price, one of them in October.
    assert "3 runs and 3 calls of suport-bot move to support-bot , 0.3600¢ + 1 unpriced call in all." in shown
    assert "November 2026 2 0.1800¢ + 1 unpriced call October 2026 1 0.1800¢" in shown
    assert "Spent 0.1800 cents (&lt;$0.01) 0.3600 cents (&lt;$0.01)" in shown
    assert "The budget of suport-bot , 50 cents ($0.50) a month, ends." in shown
    assert "1 API key bound to suport-bot is bound to support-bot then." in shown
    assert "Months that are over are stated anew" in shown
    assert AgentMerge.objects.count() == 0
    assert policy_of(source) is not None


def test_what_would_move_is_shown_by_post_too_until_it_is_confirmed(
    bots: tuple[Agent, Agent], cast: Cast, client: Client
) -> None:
    client.force_login(cast.owner)

    shown = client.post(merge_page(bots[0]), {"into": "support-bot"})

    assert "Merge <bdi>suport-bot</bdi> into <bdi>support-bot</bdi></button>" in shown.content.decode()
    assert AgentMerge.objects.count() == 0


def test_names_to_choose_are_those_it_can_be_merged_into(
    bots: tuple[Agent, Agent], spend: Spend, cast: Cast, client: Client
) -> None:
    AgentFactory(workspace=cast.acme, slug="old-bot", archived_at=AFTERNOON)
    AgentFactory(workspace=cast.acme, slug="unregistered")
    AgentFactory(workspace=cast.elsewhere, slug="suport-bots")
    AgentFactory(workspace=cast.acme, slug="triage")
    client.force_login(cast.owner)

    html = client.get(merge_page(bots[0])).content.decode()

    assert "Named almost like it: <a" in html
    assert '<option value="support-bot"><option value="triage"></datalist>' in html.replace("\n", "")


@pytest.mark.parametrize(
    ("into", "said"),
    [
        ("nobody", "Acme has no agent named &#x27;nobody&#x27;; write one it has."),
        ("suport-bot", "suport-bot cannot be merged into itself"),
        ("stranger", "Acme has no agent named &#x27;stranger&#x27;"),
        ("unregistered", "&quot;unregistered&quot; is nobody"),
        ("\x00", "What would move"),
        ("x" * 5_000, "no agent named"),
    ],
)
def test_a_name_that_cannot_be_is_said_at_the_form(
    bots: tuple[Agent, Agent], spend: Spend, cast: Cast, client: Client, into: str, said: str
) -> None:
    spend(cast.elsewhere, agent="stranger")
    AgentFactory(workspace=cast.acme, slug="unregistered")
    client.force_login(cast.owner)
    for answer in (post(client, bots[0], into), client.get(merge_page(bots[0]), {"into": into})):
        assert answer.status_code == 200
        assert said.lower() in answer.content.decode().replace("Show what would move", "what would move").lower()
    assert AgentMerge.objects.count() == 0


def test_the_reserved_agent_cannot_be_merged(bots: tuple[Agent, Agent], cast: Cast, client: Client) -> None:
    nobody = AgentFactory(workspace=cast.acme, slug="unregistered")
    client.force_login(cast.owner)

    assert "cannot be merged, nor merged into" in text_of(client, merge_page(nobody))
    assert "cannot be merged, nor merged into" in post(client, nobody).content.decode()
    assert "Merge into" not in text_of(client, "agent", nobody.pk)
    assert AgentMerge.objects.count() == 0


def test_a_merge_is_told_of_on_the_page_of_the_one_while_it_moves_and_after(
    bots: tuple[Agent, Agent], cast: Cast, client: Client
) -> None:
    source, target = bots
    client.force_login(cast.owner)

    answer = post(client, source)
    assert answer.headers["Location"] == reverse("agent", args=[target.pk])
    moving = text_of(client, "agent", target.pk)
    assert "Merged: suport-bot into support-bot. What it did follows in the background." in moving
    assert "0 of 3 calls of suport-bot moved here; what is left is in no figure of this page yet." in moving
    assert (
        f'data-live="{reverse("merged", args=[target.pk])}"' in client.get(answer.headers["Location"]).content.decode()
    )
    assert "0 of 3 calls" in text_of(client, "merged", target.pk)

    sweep()

    done = text_of(client, "agent", target.pk)
    assert "moved here" not in done
    assert "Names that stand for support-bot" in done
    assert "suport-bot 0.3600¢ + 1 unpriced call 3 3 24 Nov 15:00 olive" in done
    assert "data-live" not in client.get(reverse("merged", args=[target.pk])).content.decode()
    client.force_login(cast.viewer)
    assert "suport-bot 0.3600¢" in text_of(client, "agent", target.pk)
    client.force_login(cast.outsider)
    assert client.get(reverse("merged", args=[target.pk])).status_code == 404


def test_the_name_is_no_agent_of_its_own_any_more(bots: tuple[Agent, Agent], cast: Cast, client: Client) -> None:
    source, target = bots
    client.force_login(cast.owner)
    post(client, source)
    sweep()

    for page in ("dashboard", "analytics", "workspaces", "runs", "budgets", "what-if"):
        text_of(client, page)  # the message of the act is told once
        assert "suport-bot" not in text_of(client, page), page
    assert "suport-bot" not in text_of(client, "workspace", "acme")
    answer = client.get(f"{reverse('agent', args=[source.pk])}?range=90-days&compare=1")
    assert answer.headers["Location"] == f"{reverse('agent', args=[target.pk])}?range=90-days&compare=1"
    assert client.get(reverse("agent", args=[source.pk])).headers["Location"] == reverse("agent", args=[target.pk])
    # An old address that narrows a list to it narrows it to the other.
    for page in ("runs", "what-if"):
        old, new = (client.get(f"{reverse(page)}?agent={agent.pk}").content.decode() for agent in bots)
        assert f'<option value="{target.pk}" selected>' in old
        assert "suport-bot" not in old
        assert old.count("/runs/") == new.count("/runs/")
    assert set(LLMCall.objects.values_list("agent", flat=True)) == {target.pk}


def test_the_budget_that_ended_stays_readable_with_who_ended_it(
    bots: tuple[Agent, Agent], cast: Cast, client: Client
) -> None:
    policy = set_budget(bots[0], by=BY, limit_cents=50)
    assert policy is not None
    client.force_login(cast.owner)
    post(client, bots[0])
    sweep()

    html = text_of(client, "budget", policy.pk)

    assert "suport-bot was merged into support-bot." in html
    assert "olive" in html
    assert "suport-bot" not in text_of(client, "budgets")


def test_merging_twice_is_merging_once(bots: tuple[Agent, Agent], cast: Cast, client: Client) -> None:
    client.force_login(cast.owner)
    first, second = post(client, bots[0]), post(client, bots[0])

    assert first.headers["Location"] == second.headers["Location"] == reverse("agent", args=[bots[1].pk])
    assert "suport-bot was merged into support-bot already." in text_of(client, "agent", bots[1].pk)
    assert AgentMerge.objects.count() == 1


def test_who_is_not_logged_in_is_asked_to(bots: tuple[Agent, Agent], client: Client) -> None:
    for answer in (client.get(merge_page(bots[0])), post(client, bots[0])):
        assert answer.headers["Location"].startswith(reverse("login"))
    assert AgentMerge.objects.count() == 0


def test_each_page_asks_at_most_twelve_queries(bots: tuple[Agent, Agent], cast: Cast, client: Client) -> None:
    source, target = bots
    set_budget(source, by=BY, limit_cents=50)
    set_budget(target, by=BY, limit_cents=1)

    def asked(*pages: str) -> None:
        for person in (cast.owner, cast.superuser):
            client.force_login(person)
            for page in pages:
                with CaptureQueriesContext(connection) as queries:
                    assert client.get(page).status_code == 200, page
                assert len(queries) <= MOST_QUERIES, (page, len(queries), [query["sql"] for query in queries])

    asked(merge_page(source), merge_page(source, "support-bot"))
    post(client, source)
    client.get(reverse("dashboard"))
    asked(reverse("agent", args=[target.pk]), reverse("merged", args=[target.pk]))


def test_names_are_shown_as_text_whatever_they_are(cast: Cast, spend: Spend, client: Client) -> None:
    name = HOSTILE.replace("\u202e", "").replace("/", "_")[:190]
    spend(agent=name)
    spend(agent=name + "x")
    client.force_login(cast.owner)
    source, target = Agent.objects.order_by("pk")
    pages = [merge_page(source), reverse("agent", args=[target.pk]), reverse("merged", args=[target.pk])]

    shown = [client.get(merge_page(source), {"into": target.slug}), post(client, source, target.slug)]
    for answer in (*shown[:1], *(client.get(page) for page in pages[1:])):
        html = answer.content.decode()
        assert answer.status_code == 200
        assert "<script>alert" not in html
        assert "alert" in html
    assert shown[1].status_code == 302
