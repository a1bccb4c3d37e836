"""What Receipts and leases tell of budgets: how they stand, and lines that were passed; each read once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Agent, Workspace
from budgets.models import BudgetPolicy, ThresholdCrossing
from budgets.policies import grant, set_budget
from langchain_plugin import wire, wire_leases
from tests.budgets.conftest import CENT, TESTER, TOKENS_PER_CENT
from tests.costsite.api_client import KeyHolder
from tests.factories import AgentFactory, WorkspaceFactory, llm_call

pytestmark = pytest.mark.django_db


@pytest.fixture
def support_bot(workspace: Workspace) -> Agent:
    return AgentFactory(workspace=workspace, slug="support-bot")


@pytest.fixture
def key(workspace: Workspace) -> KeyHolder:
    return KeyHolder(workspace)


def call(cents: int, at: datetime | None = None) -> wire.LLMCall:
    """Of support-bot, that costs so many cents."""
    at = at or datetime.now(UTC)
    return llm_call(
        request_model="gpt-4o", input_tokens=cents * TOKENS_PER_CENT, output_tokens=0, started_at=at, ended_at=at
    )


def leased(key: KeyHolder) -> wire_leases.LeaseAnswer:
    body = {"agent": "support-bot", "client_id": str(uuid4())}
    response = key.client.post("/api/v1/leases", json.dumps(body), content_type="application/json")
    assert response.status_code == 200, response.content
    return wire_leases.LeaseAnswer.model_validate_json(response.content)


def titles(lines: list[wire.LinePassed]) -> list[str]:
    return [line.title for line in lines]


def test_the_batch_that_passes_a_line_is_told_so_once(key: KeyHolder, support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    assert key.report(call(40)).lines_passed == []
    (line,) = key.report(call(20)).lines_passed
    assert line.title.startswith("support-bot: 60 % of the ")
    assert "60.00¢ of $1.00" in line.body
    assert line.crossing_id == ThresholdCrossing.objects.get().pk
    assert key.report(call(1)).lines_passed == []


def test_of_several_lines_the_highest_is_told(key: KeyHolder, support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    assert titles(key.report(call(100)).lines_passed) == ["support-bot is blocked"]


def test_a_process_that_renews_hears_what_another_passed(key: KeyHolder, support_bot: Agent) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    told = key.report(call(85)).lines_passed
    assert leased(key).lines_passed == told
    ThresholdCrossing.objects.update(crossed_at=timezone.now() - timedelta(hours=1))
    assert leased(key).lines_passed == []


def test_lines_that_ring_nowhere_are_told_to_no_process(key: KeyHolder, support_bot: Agent) -> None:
    key.report(call(60))
    set_budget(support_bot, by=TESTER, limit_cents=100)
    assert ThresholdCrossing.objects.filter(at_creation=True).exists()
    assert leased(key).lines_passed == []
    BudgetPolicy.objects.update(first_month="2020-01")
    late = key.report(call(90, at=datetime.now(UTC).replace(day=1) - timedelta(days=2)))
    assert ThresholdCrossing.objects.filter(late=True).exists()
    assert late.lines_passed == []


def test_what_others_spend_is_told_in_no_line(key: KeyHolder, workspace: Workspace, support_bot: Agent) -> None:
    WorkspaceFactory()
    set_budget(None, by=TESTER, limit_cents=10)
    assert key.report(call(9)).lines_passed == []
    of_agent = KeyHolder(workspace, agent=support_bot)
    set_budget(workspace, by=TESTER, limit_cents=20)
    assert of_agent.report(call(9)).lines_passed == []
    assert titles(key.report(call(9)).lines_passed) == ["Workspace Acme is blocked"]


def test_a_batch_reads_its_budgets_and_their_limits_once(key: KeyHolder, support_bot: Agent) -> None:
    policy = set_budget(support_bot, by=TESTER, limit_cents=100)
    assert policy is not None
    grant(policy, 10, ends_at=timezone.now() + timedelta(days=1), reason="more", by=TESTER)
    with CaptureQueriesContext(connection) as asked:
        receipt = key.report(call(10))
    statements = [query["sql"] for query in asked.captured_queries]
    for table in ("budgets_budgetpolicy", "budgets_budgetgrant", "budgets_budgetperiod"):
        assert len([sql for sql in statements if table in sql]) == 1, table
    assert receipt.budgets == [
        wire.BudgetNews(agent="support-bot", spent_microcents=10 * CENT, limit_microcents=110 * CENT)
    ]


def test_a_batch_that_adds_nothing_to_this_month_is_told_how_it_stands_all_the_same(
    key: KeyHolder, support_bot: Agent
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    paid = call(10)
    key.report(paid)
    stands = [wire.BudgetNews(agent="support-bot", spent_microcents=10 * CENT, limit_microcents=100 * CENT)]
    assert key.report(paid).budgets == stands  # a duplicate
    BudgetPolicy.objects.update(first_month="2020-01")
    last_month = call(5, at=datetime.now(UTC).replace(day=1) - timedelta(days=2))
    assert key.report(last_month).budgets == stands
    assert key.report(call(0)).budgets == stands
