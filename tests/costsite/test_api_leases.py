from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.utils import timezone

from agents.models import Agent, ApiKey, LedgerState, Workspace
from budgets import price_card
from budgets.models import SpendLease
from budgets.policies import set_budget
from costsite.api import leases
from langchain_plugin import wire, wire_leases
from tests.budgets.conftest import CENT, TESTER, spend
from tests.costsite.api_client import KeyHolder
from tests.factories import AgentFactory, WorkspaceFactory

pytestmark = pytest.mark.django_db

MINE = UUID(int=7)


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    price_card._bounds.clear()  # a rolled-back test gives its agents' numbers to the next


@pytest.fixture
def support_bot(workspace: Workspace) -> Agent:
    return AgentFactory(workspace=workspace, slug="support-bot")


@pytest.fixture
def key(workspace: Workspace) -> KeyHolder:
    return KeyHolder(workspace)


def ask(key: KeyHolder, **fields: Any) -> Any:
    body = {"agent": "support-bot", "client_id": str(MINE)} | fields
    return key.client.post("/api/v1/leases", json.dumps(body), content_type="application/json")


def granted(response: Any) -> wire_leases.LeaseAnswer:
    assert response.status_code == 200, response.content
    return wire_leases.LeaseAnswer.model_validate_json(response.content)


def refused(response: Any) -> tuple[wire.ErrorBody, wire_leases.RefusalFacts]:
    assert response.status_code == 402, response.content
    body = wire.ErrorBody.model_validate_json(response.content, extra="forbid")
    return body, wire_leases.RefusalFacts.model_validate(body.details[0])


def release(key: KeyHolder, lease_id: object, **fields: Any) -> Any:
    return key.client.post(f"/api/v1/leases/{lease_id}/release", json.dumps(fields), content_type="application/json")


def test_without_a_budget_the_answer_is_leave_without_bound(key: KeyHolder, support_bot: Agent) -> None:
    answer = granted(ask(key))
    assert (answer.lease_id, answer.available_microcents, answer.budget) == (None, None, None)


def test_an_agent_that_is_seen_first_registers_itself(key: KeyHolder, workspace: Workspace) -> None:
    granted(ask(key, agent="newcomer"))
    assert Agent.objects.filter(workspace=workspace, slug="newcomer").exists()


def test_a_lease_comes_with_the_budget_and_the_prices_of_the_models_in_use(key: KeyHolder, support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    spend(support_bot, 10)
    answer = granted(ask(key, models=[{"provider": "anthropic", "model": "claude-sonnet-4-5"}]))

    assert answer.lease_id == SpendLease.objects.get().pk
    assert answer.available_microcents == 45 * CENT
    assert answer.budget == wire.BudgetNews(
        agent="support-bot", spent_microcents=10 * CENT, limit_microcents=100 * CENT
    )
    prices = {entry.model: entry.prices for entry in answer.price_card}
    assert set(prices) >= {"claude-sonnet-4-5", "gpt-4o"}
    assert answer.fallback is not None
    assert all(answer.fallback.output >= entry.output for entry in prices.values() if entry is not None)


def test_a_refusal_says_which_budget_and_until_when(key: KeyHolder, support_bot: Agent) -> None:
    policy = set_budget(support_bot, by=TESTER, limit_cents=10)
    spend(support_bot, 10)
    body, facts = refused(ask(key))

    assert policy is not None
    assert (body.code, facts.kind, facts.policy_id, facts.scope) == ("exhausted", "exhausted", policy.pk, "agent")
    assert (facts.limit_microcents, facts.spent_microcents, facts.left_microcents) == (10 * CENT, 10 * CENT, 0)
    assert facts.blocked_until_text in body.message
    assert "(UTC)" in facts.blocked_until_text


def test_what_others_spend_is_told_to_no_key(key: KeyHolder, workspace: Workspace, support_bot: Agent) -> None:
    AgentFactory(workspace=WorkspaceFactory(), slug="elsewhere")
    set_budget(None, by=TESTER, limit_cents=10)
    spend(support_bot, 4)
    assert granted(ask(key)).budget is None

    _, facts = refused(ask(key, least_microcents=7 * CENT))
    assert facts.scope == "site"
    assert (facts.limit_microcents, facts.spent_microcents, facts.held_microcents) == (None, None, None)

    set_budget(workspace, by=TESTER, limit_cents=5)
    of_one_agent = KeyHolder(workspace, agent=support_bot)
    assert granted(ask(of_one_agent)).budget is None
    assert granted(ask(key)).budget is not None


@pytest.mark.parametrize(
    ("spent_cents", "asked", "kind", "told"),
    [
        (52.3, 60 * CENT, "too_large", 40 * CENT),  # 47.7 cents are left
        (53.1, 60 * CENT, "too_large", 40 * CENT),  # 46.9: what others spent between is not to be seen
        (99.96, 60 * CENT, "too_large", 40_000),
        (100, 60 * CENT, "exhausted", 0),
        (110, 60 * CENT, "exhausted", 0),
        (40, 37 * CENT, "held", 30 * CENT),  # 60 are left, of which another process holds 30
    ],
)
def test_of_what_others_spend_a_refusal_tells_one_digit_of_what_is_left(
    key: KeyHolder, support_bot: Agent, spent_cents: float, asked: int, kind: str, told: int
) -> None:
    elsewhere = AgentFactory(workspace=WorkspaceFactory(), slug="elsewhere")
    set_budget(None, by=TESTER, limit_cents=100)
    spend(elsewhere, spent_cents)
    if kind == "held":
        granted(ask(key, client_id=str(uuid4()), least_microcents=30 * CENT))

    body, facts = refused(ask(key, least_microcents=asked))
    assert (facts.kind, facts.left_microcents, facts.asked_microcents) == (kind, told, asked)
    assert not re.search(r"\d", body.message.replace(facts.blocked_until_text or "-", ""))


def test_a_refusal_by_a_budget_of_ones_own_has_what_is_left_to_the_microcent(
    key: KeyHolder, support_bot: Agent, workspace: Workspace
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    spend(support_bot, 52.3)
    of_one_agent = KeyHolder(workspace, agent=support_bot)

    _, facts = refused(ask(of_one_agent, least_microcents=60 * CENT))
    assert facts.left_microcents == 47_700_000


def test_who_must_wait_for_others_is_told_how_long(key: KeyHolder, support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10)
    granted(ask(key, client_id=str(uuid4()), least_microcents=9 * CENT))
    response = ask(key, least_microcents=2 * CENT)
    _, facts = refused(response)
    assert (facts.kind, facts.held_microcents, response.headers["Retry-After"]) == ("held", 9 * CENT, "2")


def test_a_call_that_may_cost_more_than_is_left_is_too_large(key: KeyHolder, support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10)
    body, facts = refused(ask(key, least_microcents=11 * CENT))
    assert (body.code, facts.left_microcents, facts.asked_microcents) == ("too_large", 10 * CENT, 11 * CENT)


def test_a_released_lease_holds_nothing(key: KeyHolder, support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10)
    lease_id = granted(ask(key)).lease_id
    assert release(key, lease_id).status_code == 204
    assert granted(ask(key, client_id=str(uuid4()), least_microcents=10 * CENT)).available_microcents == 10 * CENT


def test_a_lease_of_another_workspace_cannot_be_released(key: KeyHolder, support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10)
    lease_id = granted(ask(key)).lease_id
    stranger = KeyHolder(WorkspaceFactory())
    assert release(stranger, lease_id).status_code == 404
    assert SpendLease.objects.get(pk=lease_id).released_at is None


def test_a_key_of_one_agent_spends_for_no_other(workspace: Workspace, support_bot: Agent) -> None:
    key = KeyHolder(workspace, agent=support_bot)
    response = ask(key, agent="other")
    assert (response.status_code, response.json()["code"]) == (403, "agent_not_allowed")


def test_a_key_that_only_reads_spends_nothing(workspace: Workspace) -> None:
    response = ask(KeyHolder(workspace, scopes=[ApiKey.Scope.READ]))
    assert (response.status_code, response.json()["code"]) == (403, "missing_scope")


def test_what_a_client_says_is_outstanding_moves_no_more_than_its_own_lease(key: KeyHolder, support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=10)
    answer = granted(ask(key, outstanding_microcents=10**15))
    assert answer.available_microcents == 5 * CENT
    granted(ask(key, outstanding_microcents=10**15))
    assert SpendLease.objects.get().held_microcents <= 10 * CENT


@pytest.mark.parametrize(
    "fields",
    [
        {"least_microcents": -1},
        {"least_microcents": 10**19},
        {"least_microcents": 1.5},
        {"outstanding_microcents": "all"},
        {"client_id": "me"},
        {"agent": ""},
        {"agent": "\u0000"},
        {"models": [{}] * 51},
        {"surprise": 1},
    ],
    ids=str,
)
def test_a_bad_request_says_what_is_wrong(key: KeyHolder, fields: dict[str, Any]) -> None:
    response = ask(key, **fields)
    assert response.status_code == 422
    assert wire.ErrorBody.model_validate_json(response.content, extra="forbid").code == "bad_request"


# ── clocks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("sent_seconds_ahead", "ahead"), [(0, 0.0), (45, 45.0), (-45, -45.0), (90, 0.0), (-86_400, 0.0), (None, 0.0)]
)
def test_a_clock_that_is_taken_as_it_is_decides_the_month_of_the_lease(
    sent_seconds_ahead: int | None, ahead: float
) -> None:
    now = timezone.now()
    sent_at = None if sent_seconds_ahead is None else now + timedelta(seconds=sent_seconds_ahead)
    assert leases._ahead(sent_at).total_seconds() == pytest.approx(ahead, abs=10)


def test_a_server_whose_clock_is_wrong_lends_nothing(key: KeyHolder, support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    state = LedgerState.current()
    state.trusted_day = timezone.now().date() - timedelta(days=400)
    state.save()
    answer = ask(key, sent_at=(timezone.now() - timedelta(days=400)).isoformat())

    assert (answer.status_code, answer.json()["code"]) == (503, "server_clock")
    assert not SpendLease.objects.exists()
