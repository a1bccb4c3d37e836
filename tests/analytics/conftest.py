"""Who reads the pages in their tests, when, and how something is spent for them to read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents import ledger
from agents.keys import create_key
from agents.models import Agent, AgentRunLog, LLMCall, Membership, ModelPrice, Workspace
from budgets.models import BudgetPolicy, MonthlyStatement, Notification, Refusal
from budgets.policies import By, grant, set_budget
from langchain_plugin import wire
from tests.analytics.facts import AFTERNOON, PRICED, UNPRICED, Cast, Spend
from tests.factories import MembershipFactory, UserFactory, WorkspaceFactory, llm_call


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> datetime:
    monkeypatch.setattr(timezone, "now", lambda: AFTERNOON)
    return AFTERNOON


@pytest.fixture
def cast(db: None, now: datetime) -> Cast:
    acme, elsewhere = WorkspaceFactory(slug="acme", name="Acme"), WorkspaceFactory(slug="elsewhere", name="Elsewhere")
    ModelPrice.objects.create(
        provider="acme-ai",
        model="acme-1",
        input_per_million=Decimal(1),
        output_per_million=Decimal(2),
        effective_from=datetime(2025, 1, 1, tzinfo=UTC),
    )
    cast = Cast(
        UserFactory(username="olive"),
        UserFactory(username="vera"),
        UserFactory(username="otto"),
        UserFactory(username="root", is_superuser=True, is_staff=True),
        acme,
        elsewhere,
    )
    MembershipFactory(user=cast.owner, workspace=acme, role=Membership.Role.OWNER)
    MembershipFactory(user=cast.viewer, workspace=acme)
    MembershipFactory(user=cast.outsider, workspace=elsewhere)
    return cast


@pytest.fixture
def spend(cast: Cast) -> Spend:
    """Books one call, by default a priced one of Acme's support-bot at noon of 20 November, as a run of its own."""

    def book_one(workspace: Workspace | None = None, **changes: Any) -> wire.LLMCall:
        call = priced_call(**changes)
        book(workspace or cast.acme, [call])
        return call

    return book_one


def priced_call(**changes: Any) -> wire.LLMCall:
    call = llm_call(**PRICED | {"is_root": "run_id" not in changes} | changes)
    if "started_at" in changes and "ended_at" not in changes:
        call = call.model_copy(update={"ended_at": call.started_at})
    return call


def book(workspace: Workspace, calls: list[wire.LLMCall], received_at: datetime = AFTERNOON) -> None:
    recorded = ledger.record(workspace, list(enumerate(calls)), client=None, received_at=received_at)
    assert len(recorded.accepted) == len(calls), recorded.rejected


@pytest.fixture
def as_viewer(cast: Cast, client: Client) -> Client:
    client.force_login(cast.viewer)
    return client


@pytest.fixture
def pages(cast: Cast, spend: Spend) -> list[str]:
    """Every page, with something to show on it: two agents, an unpriced model, a run of several calls."""
    run_id = uuid4()
    for index in range(3):
        spend(
            run_id=run_id,
            step="agent",
            sub_agent="planner" if index else "",
            cache_read_tokens=200,
            reasoning_tokens=20,
        )
    spend(agent="triage", **UNPRICED)
    spend(cast.elsewhere, agent="stranger")
    agent = Agent.objects.get(slug="support-bot")
    run = AgentRunLog.objects.get(run_id=run_id)
    budget = everything_about_a_budget(agent)
    set_budget(None, by=By(command="test"), limit_cents=900_000)
    set_budget(Agent.objects.get(slug="stranger"), by=By(command="test"), limit_cents=5)
    create_key(cast.acme, name="production")
    entered = ModelPrice.objects.get()
    return [
        reverse("dashboard"),
        reverse("analytics"),
        reverse("agent", args=[agent.pk]),
        reverse("workspaces"),
        reverse("workspace", args=["acme"]),
        reverse("runs"),
        reverse("run", args=[run.pk]),
        reverse("budgets"),
        reverse("budget", args=[budget.pk]),
        reverse("inbox"),
        reverse("prices"),
        f"{reverse('prices')}?model=acme-1&provider=acme-ai",
        reverse("price", args=[entered.pk]),
        reverse("keys"),
        reverse("optimization"),
        reverse("what-if"),
    ]


def everything_about_a_budget(agent: Agent) -> BudgetPolicy:
    """With a crossing, a grant, a refusal, a statement and a notice of it."""
    budget = set_budget(agent, by=By(command="test"), limit_cents=1)
    assert budget is not None
    grant(budget, 2, ends_at=AFTERNOON + timedelta(days=2), reason="launch week", by=By(command="test"))
    Refusal.objects.create(
        policy=budget, workspace=agent.workspace, agent=agent, kind="exhausted", minute=AFTERNOON, count=3
    )
    MonthlyStatement.objects.create(
        workspace=agent.workspace, agent=agent, month="2026-10", calls=3, unpriced_calls=1, estimated_calls=0,
        input_tokens=10, output_tokens=5, cost_microcents=123_000_000, limit_microcents=500_000_000,
    )  # fmt: skip
    for membership in agent.workspace.memberships.all():
        Notification.objects.create(
            cause="crossing",
            cause_key="a",
            user=membership.user,
            workspace=agent.workspace,
            title="half of it is spent",
        )
    return budget


MODELS = ("acme-1", "acme-1", "acme-1", "acme-unheard-of-9")
AGENTS = ("support-bot", "triage", "drafter")
TAGS = ((), ("web",), ("web", "pro"), ("mail",))
STATUSES = ("ok", "ok", "ok", "ok", "error", "abandoned")


@pytest.fixture
def history(cast: Cast) -> None:
    """150 runs of one to three calls, from 1 October to this afternoon."""
    price = ModelPrice.objects.get()
    price.cache_read_per_million = Decimal("0.1")
    price.save()
    chance = Random(7)
    booked: dict[Workspace, list[wire.LLMCall]] = {cast.acme: [], cast.elsewhere: []}
    for number in range(150):
        run_id, agent = uuid4(), chance.choice(AGENTS)
        place = cast.elsewhere if number % 7 == 0 else cast.acme
        at = datetime(2026, 10, 1, 9, tzinfo=UTC) + timedelta(hours=chance.randrange(54 * 24))
        at = min(at, AFTERNOON - timedelta(minutes=5))
        for call in range(chance.randint(1, 3)):
            tokens = chance.randrange(1_000, 90_000)
            one = priced_call(
                agent=agent,
                run_id=run_id,
                request_model=chance.choice(MODELS),
                effort=chance.choice(("", "low", "high")),
                status=chance.choice(STATUSES),
                tags=chance.choice(TAGS),
                step=chance.choice(("plan", "act")),
                input_tokens=tokens,
                cache_read_tokens=tokens // 3,
                output_tokens=tokens // 5,
                reasoning_tokens=tokens // 11,
                usage_basis=chance.choice(("measured", "measured", "estimated")),
                started_at=at + timedelta(seconds=call),
            )
            booked[place].append(one)
    for place, calls in booked.items():
        book(place, calls)


@pytest.fixture
def calls(history: None) -> list[LLMCall]:
    """Acme's."""
    return list(LLMCall.objects.filter(workspace__slug="acme").select_related("agent"))
