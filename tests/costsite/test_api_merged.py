"""A process that still uses the name of a merged agent: whatever it sends or asks is of the other one."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from agents.merging import merge
from agents.models import Agent, LLMCall, Workspace
from agents.moving import sweep
from budgets.policies import policy_of, set_budget
from langchain_plugin import wire, wire_leases
from tests.budgets.conftest import CENT, TESTER
from tests.costsite.api_client import KeyHolder, error_of
from tests.factories import AgentFactory, llm_call

pytestmark = pytest.mark.django_db


@pytest.fixture
def bots(workspace: Workspace) -> tuple[Agent, Agent]:
    source = AgentFactory(workspace=workspace, slug="suport-bot")
    return source, AgentFactory(workspace=workspace, slug="support-bot", effort="high", default_model="gpt-4o")


@pytest.fixture(params=["a key of the workspace", "a key bound to the merged agent"])
def key(request: Any, workspace: Workspace, bots: tuple[Agent, Agent]) -> KeyHolder:
    bound = request.param == "a key bound to the merged agent"
    holder = KeyHolder(workspace, agent=bots[0] if bound else None)
    holder.report(llm_call(agent="suport-bot"))
    merge(*bots, by_name="test")
    return holder


def test_its_events_are_booked_to_the_other_with_the_others_settings(key: KeyHolder, bots: tuple[Agent, Agent]) -> None:
    set_budget(bots[1], by=TESTER, limit_cents=50)

    receipt = key.report(llm_call(agent="suport-bot"), llm_call(agent="support-bot"))

    assert receipt.accepted == [0, 1]
    told = {one.agent: (one.effort, one.default_model, one.active) for one in receipt.agent_settings}
    assert told == dict.fromkeys(("suport-bot", "support-bot"), ("high", "gpt-4o", True))
    assert {news.agent: news.limit_microcents for news in receipt.budgets} == dict.fromkeys(told, 50 * CENT)
    assert receipt.notices == []
    sweep()
    assert LLMCall.objects.filter(agent=bots[1]).count() == LLMCall.objects.count() == 3


def test_its_leases_are_of_the_others_budget_one_for_each_name(key: KeyHolder, bots: tuple[Agent, Agent]) -> None:
    set_budget(bots[1], by=TESTER, limit_cents=50)
    client_id = str(uuid4())

    def ask(name: str) -> wire_leases.LeaseAnswer:
        body = json.dumps({"agent": name, "client_id": client_id, "least_microcents": CENT})
        answer = key.client.post("/api/v1/leases", body, content_type="application/json")
        assert answer.status_code == 200, answer.content
        return wire_leases.LeaseAnswer.model_validate_json(answer.content)

    one, other = ask("suport-bot"), ask("support-bot")

    assert one.agent == one.agent_settings.agent == "suport-bot"
    assert one.agent_settings.effort == "high"
    assert one.lease_id not in (None, other.lease_id)
    # Its call of before, 36,000 microcents, counts for the other although it has not been moved yet.
    assert one.budget == wire.BudgetNews(agent="suport-bot", spent_microcents=36_000, limit_microcents=50 * CENT)
    assert ask("suport-bot").lease_id == one.lease_id
    assert (one.available_microcents or 0) + (other.available_microcents or 0) <= 50 * CENT
    released = key.client.post(f"/api/v1/leases/{one.lease_id}/release", "{}", content_type="application/json")
    assert released.status_code == 204


def test_what_is_asked_of_its_name_is_answered_of_the_other(key: KeyHolder, bots: tuple[Agent, Agent]) -> None:
    sweep()
    for name in ("suport-bot", "support-bot"):
        assert [run["agent"] for run in key.read("runs", agent=name)["runs"]] == ["support-bot"]
        assert key.read("spend", agent=name)["total"]["calls"] == 1
    assert [agent["agent"] for agent in key.read("agents")["agents"]] == ["support-bot"]


def test_a_budget_that_is_set_by_its_name_is_the_others(workspace: Workspace, bots: tuple[Agent, Agent]) -> None:
    merge(*bots, by_name="test")
    holder = KeyHolder(workspace, scopes=["read", "budgets:write"])

    answer = holder.client.put(
        "/api/v1/budgets/agents/suport-bot", json.dumps({"limit_cents": 40}), content_type="application/json"
    )

    assert answer.status_code == 201, answer.content
    policy = policy_of(bots[1])
    assert policy is not None
    assert policy.limit_cents == 40
    assert policy_of(bots[0]) is None


def test_a_key_bound_to_another_agent_learns_and_spends_nothing_by_the_name(
    workspace: Workspace, bots: tuple[Agent, Agent]
) -> None:
    holder = KeyHolder(workspace, agent=AgentFactory(workspace=workspace, slug="triage"))
    merge(*bots, by_name="test")

    assert error_of(holder.get("runs", agent="suport-bot")).code == "unknown_agent"
    asked = json.dumps({"agent": "suport-bot", "client_id": str(uuid4())})
    answer = holder.client.post("/api/v1/leases", asked, content_type="application/json")
    assert (answer.status_code, error_of(answer).code) == (403, "agent_not_allowed")
    receipt = holder.report(llm_call(agent="suport-bot"))
    assert [one.code for one in receipt.rejected] == ["agent_not_allowed"]
