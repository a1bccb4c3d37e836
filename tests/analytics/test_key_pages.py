"""Keys and first steps on a page: made and revoked by owners, shown once, and the first event seen to arrive."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from agents.keys import create_key, find_key, note_use
from agents.models import Agent, ApiKey
from tests.analytics.facts import AFTERNOON, Cast, Spend, text_of
from tests.factories import AgentFactory, MembershipFactory, WorkspaceFactory

HOSTILE = "<script>alert('x')</script>\u202e&\"" + "W" * 140 + "🤖"


def made(client: Client, cast: Cast, **fields: object) -> str:
    """The answer to the form, as HTML."""
    form = {"workspace": cast.acme.pk, "name": "laptop", "scopes": ["events:write", "read"]} | fields
    response = client.post(reverse("make-key"), form)
    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]
    return response.content.decode()


def key_in(html: str) -> str:
    (key,) = re.findall(r'id="key">(cs_[^<]+)<', html)
    return key


@pytest.fixture
def as_owner(cast: Cast, client: Client) -> Client:
    client.force_login(cast.owner)
    return client


def test_an_owner_makes_a_key_that_works_and_is_shown_once(cast: Cast, as_owner: Client) -> None:
    html = made(as_owner, cast)

    key = key_in(html)
    row = find_key(key)
    assert row is not None
    assert (row.workspace, row.agent, row.name, row.created_by, row.scopes) == (
        cast.acme, None, "laptop", cast.owner, ["events:write", "read"],
    )  # fmt: skip
    assert f"COSTSITE_API_KEY={key}" in html
    assert "COSTSITE_URL=http://testserver" in html
    assert 'costs = CostCallbackHandler(agent="support-bot")' in html
    for page in (reverse("keys"), reverse("first-event", args=[row.pk])):
        assert key not in as_owner.get(page).content.decode()
    assert f"{row.prefix}…" in text_of(as_owner, "keys")


def test_a_key_may_be_bound_to_one_agent_of_the_workspace(cast: Cast, as_owner: Client) -> None:
    agent = AgentFactory(workspace=cast.acme, slug="triage")
    AgentFactory(workspace=cast.elsewhere, slug="stranger")

    html = made(as_owner, cast, agent="triage")
    refused = made(as_owner, cast, agent="stranger")

    row = find_key(key_in(html))
    assert row is not None
    assert row.agent == agent
    assert 'CostCallbackHandler(agent="triage")' in html
    assert "Acme has no agent of this name" in refused
    assert "add it in the admin, or let it report once with a key for the whole workspace." in refused
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("fields", [{"scopes": []}, {"scopes": ["everything"]}, {"workspace": "0"}])
def test_a_form_that_makes_no_sense_makes_no_key(cast: Cast, as_owner: Client, fields: dict[str, object]) -> None:
    assert "problem" in made(as_owner, cast, **fields)
    assert not ApiKey.objects.exists()


def test_only_owners_make_keys_and_only_for_what_they_own(cast: Cast, client: Client) -> None:
    for person in (cast.viewer, cast.outsider):
        client.force_login(person)
        assert "Make a key" not in text_of(client, "keys"), person
        answer = client.post(reverse("make-key"), {"workspace": cast.acme.pk, "scopes": ["read"]})
        assert answer.status_code == 403, person
    client.force_login(cast.owner)
    assert "problem" in made(client, cast, workspace=cast.elsewhere.pk)
    archived = WorkspaceFactory(archived_at=AFTERNOON)
    MembershipFactory(user=cast.owner, workspace=archived, role="owner")
    assert "problem" in made(client, cast, workspace=archived.pk)
    assert client.get(reverse("make-key")).status_code == 302
    assert not ApiKey.objects.exists()


def test_a_member_sees_the_keys_of_their_workspaces_and_revokes_none(cast: Cast, as_viewer: Client) -> None:
    ours, _ = create_key(cast.acme, name="production")
    theirs, _ = create_key(cast.elsewhere, name="secret project")

    said = text_of(as_viewer, "keys")

    assert ours.prefix in said
    assert theirs.prefix not in said
    assert "secret project" not in said
    assert "Revoke" not in said
    for key in (ours, theirs):
        assert as_viewer.post(reverse("revoke-key", args=[key.pk])).status_code == 404
        assert as_viewer.get(reverse("first-event", args=[key.pk])).status_code == 404
    assert not ApiKey.objects.exclude(archived_at=None).exists()


def test_an_owner_revokes_a_key(cast: Cast, as_owner: Client) -> None:
    row, key = create_key(cast.acme)
    theirs, _ = create_key(cast.elsewhere)
    address = reverse("revoke-key", args=[row.pk])

    assert find_key(key) is not None
    assert as_owner.post(reverse("revoke-key", args=[theirs.pk])).status_code == 404
    said = as_owner.post(address, follow=True).content.decode()
    again = as_owner.post(address, follow=True).content.decode()

    assert find_key(key) is None
    assert "is refused from its next request on" in said
    assert "nothing was changed" in again


def test_the_first_event_is_seen_to_arrive(cast: Cast, spend: Spend, as_owner: Client) -> None:
    spend()  # of another key, before
    row, _ = create_key(cast.acme)
    ApiKey.objects.filter(pk=row.pk).update(created_at=AFTERNOON + timedelta(seconds=1))
    part = f"{reverse('first-event', args=[row.pk])}?part"

    waiting = as_owner.get(part).content.decode()
    assert "Waiting for a process to report with it" in waiting
    assert f'data-live="{part}"' in waiting

    row.refresh_from_db()
    note_use(row, AFTERNOON + timedelta(seconds=2))
    used = as_owner.get(part).content.decode()
    assert "A process has reported with it" in used
    assert "Waiting for the first event" in used

    ApiKey.objects.filter(pk=row.pk).update(created_at=AFTERNOON)  # the test's clock stands still
    spend(agent="triage", started_at=AFTERNOON - timedelta(minutes=1))
    there = as_owner.get(part).content.decode()
    triage = Agent.objects.get(slug="triage")
    assert "First event received:" in there
    assert "<bdi>triage</bdi></a>, 1 call, 0.1800¢" in there
    assert reverse("agent", args=[triage.pk]) in there
    assert "data-live" not in there
    assert "First event received" in text_of(as_owner, "first-event", row.pk)


def test_a_key_of_one_agent_waits_for_that_agent(cast: Cast, spend: Spend, as_owner: Client) -> None:
    agent = AgentFactory(workspace=cast.acme, slug="triage")
    row, _ = create_key(cast.acme, agent=agent)
    ApiKey.objects.filter(pk=row.pk).update(created_at=AFTERNOON)
    note_use(row, AFTERNOON)
    spend(started_at=AFTERNOON)

    assert "Waiting for the first event" in text_of(as_owner, "first-event", row.pk)
    spend(agent="triage", started_at=AFTERNOON, provider="nobody", request_model="unheard-of")
    assert "triage , 1 call, unpriced" in text_of(as_owner, "first-event", row.pk)


def test_names_are_shown_as_text(cast: Cast, as_owner: Client) -> None:
    html = made(as_owner, cast, name=HOSTILE[:200]) + as_owner.get(reverse("keys")).content.decode()

    assert "<script>alert" not in html
    assert "alert(" in html


def test_more_keys_than_a_page_holds_are_on_the_next_and_revoked_ones_last(cast: Cast, as_owner: Client) -> None:
    rows = [create_key(cast.acme, name=f"key {number}")[0] for number in range(52)]
    ApiKey.objects.filter(pk=rows[-1].pk).archive()

    html = as_owner.get(reverse("keys")).content.decode()
    older = as_owner.get(f"{reverse('keys')}?from=50").content.decode()

    assert html.index(rows[50].prefix) < html.index(rows[49].prefix)
    assert rows[-1].prefix not in html
    assert "?from=50" in html
    assert [row.prefix for row in rows if row.prefix in older] == [rows[0].prefix, rows[51].prefix]
    assert "revoked" in older
