"""Who may ask, and what a stranger learns: nothing."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from agents.keys import create_key
from agents.models import ApiKey, Workspace
from tests.costsite.api_client import KeyHolder, error_of
from tests.factories import AgentFactory, WorkspaceFactory, llm_call

READS = ["key", "agents", "runs", "runs/019a9f00-0000-7000-8000-000000000001", "spend", "openapi.json"]


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "cs_0123456789_x", "Token cs_0123456789_x"]
)
def test_without_a_bearer_key_one_is_asked_for_one(db: None, header: str | None) -> None:
    response = Client().get("/api/v1/key", headers={} if header is None else {"Authorization": header})

    assert (response.status_code, error_of(response).code) == (401, "no_key")
    assert 'Send an API key: "Authorization: Bearer cs_…"' in error_of(response).message
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_signed_in_browser_is_nobody_here_and_every_answer_is_guarded(admin_client: Client, acme: KeyHolder) -> None:
    assert error_of(admin_client.get("/api/v1/key")).code == "no_key"

    for answer in (acme.get("key"), admin_client.get("/api/v1/key")):
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Cookie" not in answer.headers.get("Vary", ""), "no session was asked for"


@pytest.mark.parametrize(
    "key",
    ["cs_0123456789_" + "x" * 43, "nonsense", "cs_", "x" * 60_000, "cs_0123456789_\x00", "schlüssel", "'; DROP TABLE"],
)
def test_an_unknown_key_is_told_how_to_make_one(db: None, key: str) -> None:
    response = Client().get("/api/v1/key", headers={"Authorization": f"Bearer {key}"})

    assert (response.status_code, error_of(response).code) == (401, "bad_key")
    assert "make one with `manage.py create_api_key WORKSPACE`" in error_of(response).message


def test_a_key_stops_at_the_next_request_after_it_is_revoked(acme: KeyHolder) -> None:
    assert acme.get("key").status_code == 200

    ApiKey.objects.filter(pk=acme.row.pk).update(archived_at=timezone.now())

    for address in READS:
        assert acme.get(address).status_code == 401, address
    assert acme.post(b"{}").status_code == 401


def test_keys_of_an_archived_workspace_stop(acme: KeyHolder, workspace: Workspace) -> None:
    workspace.archived_at = timezone.now()
    workspace.save()

    assert (acme.get("runs").status_code, error_of(acme.get("runs")).code) == (401, "bad_key")


def test_a_key_does_what_its_scopes_say_and_no_more(workspace: Workspace) -> None:
    reader = KeyHolder(workspace, scopes=["read"])
    reporter = KeyHolder(workspace, scopes=["events:write"])

    assert reader.get("runs").status_code == 200
    refused = reader.post(b"{}")
    assert (refused.status_code, error_of(refused).code) == (403, "missing_scope")
    assert 'lacks the scope "events:write"' in error_of(refused).message
    assert "create_api_key acme --scope events:write" in error_of(refused).message

    assert reporter.report(llm_call()).accepted == [0]
    for address in ("agents", "runs", "runs/019a9f00-0000-7000-8000-000000000001", "spend"):
        refused = reporter.get(address)
        assert (refused.status_code, 'lacks the scope "read"' in error_of(refused).message) == (403, True)
    assert reporter.get("key").status_code == 200


def test_a_key_tells_its_own_facts(workspace: Workspace) -> None:
    bound = KeyHolder(workspace, agent=AgentFactory(workspace=workspace, slug="support-bot"), scopes=["read"])

    facts = bound.read("key")

    assert facts["workspace"] == {"slug": "acme", "name": "Acme"}
    assert (facts["agent"], facts["scopes"], facts["wire_version"]) == ("support-bot", ["read"], 1)
    assert abs(datetime.fromisoformat(facts["server_time"]) - datetime.now(UTC)) < timedelta(seconds=60)
    assert facts["version"].count(".") == 2


def test_a_use_is_seen_in_the_admin_within_a_minute(acme: KeyHolder) -> None:
    acme.get("key")

    assert timezone.now() - ApiKey.objects.get(pk=acme.row.pk).last_used_at < timedelta(minutes=1)


def test_no_part_of_a_secret_reaches_an_answer_or_the_log(
    workspace: Workspace, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    row, key = create_key(workspace)
    secret = key.removeprefix(f"{row.prefix}_")
    almost = key[:-1] + ("A" if key[-1] != "A" else "B")
    caplog.set_level(logging.DEBUG)

    answers = []
    for debug in (False, True):
        settings.DEBUG = debug
        client = Client(raise_request_exception=False)
        for header in (f"Bearer {key}", f"Bearer {almost}", f"Basic {key}", f"bearer\t{key}"):
            for address in ("key", "events", "nothing", "runs?limit=x"):
                answers.append(client.get(f"/api/v1/{address}", headers={"Authorization": header}).content.decode())

    for text in (*answers, caplog.text):
        assert secret[:-1] not in text
        assert row.key_hash not in text


class TestWhatAKeyReads:
    """Acme has support-bot and sales-bot; Other has spy. Each made one call."""

    @pytest.fixture(autouse=True)
    def _calls(self, acme: KeyHolder) -> None:
        self.other = KeyHolder(WorkspaceFactory(slug="other"))
        self.support, self.sales, self.spy = llm_call(), llm_call(agent="sales-bot"), llm_call(agent="spy")
        acme.report(self.support, self.sales)
        self.other.report(self.spy)
        self.acme = acme
        agent = acme.row.workspace.agents.get(slug="support-bot")
        self.bound = KeyHolder(acme.row.workspace, agent=agent)

    def test_a_workspaces_key_reads_its_workspace(self) -> None:
        assert [agent["agent"] for agent in self.acme.read("agents")["agents"]] == ["sales-bot", "support-bot"]
        runs = {run["run_id"] for run in self.acme.read("runs")["runs"]}
        assert runs == {str(self.support.run_id), str(self.sales.run_id)}
        spend = self.acme.read("spend", month="2026-11")
        assert spend["total"]["calls"] == 2
        assert {group["agent"] for group in spend["groups"]} == {"support-bot", "sales-bot"}

    def test_an_agents_key_reads_its_agent(self) -> None:
        assert [agent["agent"] for agent in self.bound.read("agents")["agents"]] == ["support-bot"]
        assert [run["run_id"] for run in self.bound.read("runs")["runs"]] == [str(self.support.run_id)]
        for group_by in ("agent", "workspace", "model", "day"):
            assert self.bound.read("spend", month="2026-11", group_by=group_by)["total"]["calls"] == 1

    def test_guessed_ids_and_names_of_others_are_as_unknown_as_those_that_never_were(self) -> None:
        guesses = {
            "another workspace's run": self.acme.get(f"runs/{self.spy.run_id}"),
            "a run that never was": self.acme.get("runs/019a9f00-0000-7000-8000-0000000000aa"),
            "another agent's run": self.bound.get(f"runs/{self.sales.run_id}"),
            "another workspace's agent, runs": self.acme.get("runs", agent="spy"),
            "another workspace's agent, spend": self.acme.get("spend", agent="spy"),
            "another agent, runs": self.bound.get("runs", agent="sales-bot"),
            "another agent, spend": self.bound.get("spend", agent="sales-bot"),
            "an agent that never was": self.acme.get("runs", agent="nobody"),
        }

        answers = {name: (response.status_code, error_of(response).code) for name, response in guesses.items()}

        assert set(answers.values()) == {(404, "unknown_run"), (404, "unknown_agent")}
        assert self.bound.get(f"runs/{self.support.run_id}").status_code == 200

    def test_another_workspaces_cursor_opens_nothing(self) -> None:
        theirs = self.other.read("runs", limit=1)
        assert theirs["next"] is None
        self.other.report(llm_call(agent="spy"))
        cursor = self.other.read("runs", limit=1)["next"]

        runs = {run["run_id"] for run in self.acme.read("runs", after=cursor)["runs"]}

        assert runs <= {str(self.support.run_id), str(self.sales.run_id)}
