"""Monthly statements in the admin: read by members, written by nobody."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents.models import Agent, Workspace
from budgets.models import MonthlyStatement
from budgets.policies import set_budget
from budgets.statements import monthly_rollover
from tests.budgets.conftest import TESTER, spend, text
from tests.factories import AgentFactory

pytestmark = pytest.mark.django_db

LIST = "admin:budgets_monthlystatement_changelist"
OCTOBER = datetime(2026, 10, 15, 12, tzinfo=UTC)


@pytest.fixture
def statements(support_bot: Agent, elsewhere: Workspace) -> list[MonthlyStatement]:
    spend(support_bot, 12, at=OCTOBER)
    spend(AgentFactory(workspace=elsewhere, slug="stranger"), 3, at=OCTOBER)
    monthly_rollover(datetime(2026, 11, 1, 6, tzinfo=UTC))
    return list(MonthlyStatement.objects.order_by("pk"))


def test_a_member_reads_those_of_their_workspaces(
    statements: list[MonthlyStatement], viewer: User, superuser: User, client: Client
) -> None:
    client.force_login(viewer)
    said = text(client.get(reverse(LIST)))
    assert "support-bot" in said
    assert "12 cents ($0.12)" in said
    assert "stranger" not in said
    client.force_login(superuser)
    assert "stranger" in text(client.get(reverse(LIST)))


def test_a_month_without_a_budget_says_none(support_bot: Agent, superuser: User, client: Client) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=50)
    of_agent = MonthlyStatement.objects.create(
        workspace=support_bot.workspace, agent=support_bot, month="2026-10", calls=0, unpriced_calls=0,
        estimated_calls=0, input_tokens=0, output_tokens=0, cost_microcents=0,
    )  # fmt: skip
    client.force_login(superuser)
    page = text(client.get(reverse("admin:budgets_monthlystatement_change", args=[of_agent.pk])))
    assert "budget at its end: none" in page.lower()
