"""Two workspaces with a row of everything: what people and keys may reach, and what they may not.

Whatever belongs to the first carries the word QUARTZ in its names, whatever belongs to the other ZEPHYR; so a page that
shows either says whose it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone

from agents import ledger
from agents.clients import note_client
from agents.keys import create_key
from agents.models import (
    Agent,
    AgentMerge,
    AgentRunLog,
    ApiKey,
    Client,
    CostCorrection,
    LLMCall,
    Membership,
    ModelPrice,
    Workspace,
)
from agents.models.ledger_state import LedgerState
from budgets.models import (
    BudgetChange,
    DefaultBudget,
    ModelMaximum,
    MonthlyStatement,
    Notification,
    NotificationChannel,
    Refusal,
    SpendLease,
    ThresholdCrossing,
)
from budgets.policies import By, grant, set_budget
from costsite.advice import kinds
from costsite.advice.models import Advice, AdviceChange, AgentMonth, ModelTier, RunReview, TaskRow
from langchain_plugin import wire
from tests.factories import MembershipFactory, UserFactory, llm_call

QUARTZ: Final = "quartz"
ZEPHYR: Final = "zephyr"
BY: Final = By(command="test")

Role = Membership.Role


@dataclass
class World:
    """`rows` names the primary keys that a table's addresses stand for: `{run}` is Quartz's run."""

    quartz: Workspace
    zephyr: Workspace
    people: dict[str, User | None]
    """By the heading of their column."""
    rows: dict[str, object] = field(default_factory=dict)


def make_world() -> World:
    quartz, zephyr = (Workspace.objects.create(slug=word, name=f"{word.title()} Works") for word in (QUARTZ, ZEPHYR))
    people: dict[str, User | None] = {
        "nobody": None,
        "stranger": UserFactory(username="stranger", is_staff=True),
        "outsider": UserFactory(username=f"{ZEPHYR}-owner", is_staff=True),
        "viewer": UserFactory(username=f"{QUARTZ}-viewer", is_staff=True),
        "owner": UserFactory(username=f"{QUARTZ}-owner", is_staff=True),
        "superuser": UserFactory(username="root", is_staff=True, is_superuser=True),
    }
    MembershipFactory(user=people["outsider"], workspace=zephyr, role=Role.OWNER)
    MembershipFactory(user=people["viewer"], workspace=quartz, role=Role.VIEWER)
    MembershipFactory(user=people["owner"], workspace=quartz, role=Role.OWNER)
    attic = Workspace.objects.create(slug=f"{QUARTZ}-attic", name=f"{QUARTZ.title()} Attic", archived_at=timezone.now())
    MembershipFactory(user=people["viewer"], workspace=attic, role=Role.VIEWER)
    MembershipFactory(user=people["owner"], workspace=attic, role=Role.OWNER)
    world = World(quartz, zephyr, people)
    _fill_site(world)
    world.rows |= _fill(quartz, QUARTZ)
    today = LedgerState.current().today()
    world.rows |= {"hidden_slug": f"{ZEPHYR}-bot"}
    # Beside rows, what forms name: 500 cents and 100 granted, 10^6 microcents each.
    retired = Agent.objects.create(workspace=quartz, slug=f"{QUARTZ}-retired", archived_at=timezone.now())
    world.rows |= {"archived_agent": retired.pk, "archived_workspace": attic.pk}
    world.rows |= {"user_type": ContentType.objects.get_for_model(User).pk}
    world.rows |= {"limit": 600 * 10**6, "site_limit": 900_000 * 10**6, "today": today, "last_day": today}
    _fill(zephyr, ZEPHYR)
    return world


def _fill_site(world: World) -> None:
    policy = set_budget(None, by=BY, limit_cents=900_000)
    price = _price(None, "everybodys")
    assert policy is not None
    world.rows |= {
        "site_budget": policy.pk,
        "site_price": price.pk,
        "modelmaximum": ModelMaximum.objects.create(provider="any", model="any-1", max_output_tokens=1_000).pk,
        "modeltier": ModelTier.objects.create(model="any-1", tier="small").pk,
        "taskrow": TaskRow.objects.create(task="any", name="Any", effort="low", tier="small").pk,
        "user": UserFactory(username="anybody").pk,
        "group": Group.objects.create(name="anybodies").pk,
    }


def _fill(workspace: Workspace, word: str) -> dict[str, object]:
    """A row of every table of a workspace, by the name it has in addresses."""
    now = timezone.now()
    _price(workspace, word)
    run, call, client = _traffic(workspace, word, now)
    agent = call.agent
    rows = {
        "workspace": workspace.pk, "slug": workspace.slug, "agent": agent.pk, "agent_slug": agent.slug,
        "other_agent": Agent.objects.get(slug=f"{word}-two").pk, "other_slug": f"{word}-two",
        "agentrunlog": run.pk, "run_id": run.run_id, "llmcall": call.pk, "client": client.pk,
        "modelprice": ModelPrice.objects.get(workspace=workspace).pk,
        "apikey": create_key(workspace, name=f"{word}-key")[0].pk, "agentmerge": _merged(agent, word, now).pk,
    }  # fmt: skip
    return rows | _budget(agent, word, now) | _told(agent, word, now) | _advised(run, word, now)


def _price(workspace: Workspace | None, word: str) -> ModelPrice:
    return ModelPrice.objects.create(
        workspace=workspace, provider=f"{word}-ai", model=f"{word}-1", input_per_million=Decimal(1),
        output_per_million=Decimal(2), effective_from=datetime(2025, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def _traffic(workspace: Workspace, word: str, now: datetime) -> tuple[AgentRunLog, LLMCall, Client]:
    """Two agents, a run each; calls with a price and without one."""
    batch = wire.EventBatch(
        batch_id=uuid4(), client_id=uuid4(), sent_at=now, events=[], health=wire.ClientHealth(host=f"{word}-host")
    )
    client = note_client(workspace, batch, now=now)
    named = {
        "provider": f"{word}-ai", "step": f"{word}-step", "sub_agent": f"{word}-sub", "tags": (f"{word}-tag",),
        "thread_id": f"{word}-thread", "error_type": f"{word}Error", "status": "error", "started_at": now,
        "ended_at": now, "is_root": True,
    }  # fmt: skip
    events = [
        llm_call(agent=f"{word}-bot", request_model=f"{word}-1", **named),
        llm_call(agent=f"{word}-bot", request_model=f"{word}-unheard-of", **named),
        llm_call(agent=f"{word}-two", request_model=f"{word}-1", **named),
    ]
    recorded = ledger.record(workspace, list(enumerate(events)), client=client, received_at=now)
    assert recorded.accepted == [0, 1, 2], recorded.rejected
    call = LLMCall.objects.get(call_id=events[0].call_id)
    return AgentRunLog.objects.get(run_id=call.run_id), call, Client.objects.get(pk=client)


def _merged(agent: Agent, word: str, now: datetime) -> AgentMerge:
    """Into `agent`, another name that it had."""
    place = agent.workspace
    name = Agent.objects.create(workspace=place, slug=f"{word}-botx", archived_at=now, merged_into=agent)
    return AgentMerge.objects.create(
        workspace=place, source=name, target=agent, by_name=f"{word}-owner", finished_at=now
    )


def _budget(agent: Agent, word: str, now: datetime) -> dict[str, object]:
    """A budget with all that hangs on one."""
    policy = set_budget(agent, by=BY, limit_cents=500, reason=f"{word}-reason")
    of_workspace = set_budget(agent.workspace, by=BY, limit_cents=9_000)
    assert policy is not None
    assert of_workspace is not None
    given = grant(policy, 100, ends_at=now + timedelta(days=2), reason=f"{word}-launch", by=BY)
    DefaultBudget.objects.create(workspace=agent.workspace, limit_cents=10)
    month = f"{LedgerState.current().today():%Y-%m}"
    ThresholdCrossing.objects.create(
        policy=policy, month=month, threshold=50, limit_microcents=5 * 10**8, spent_microcents=3 * 10**8
    )
    refusal = Refusal.objects.create(
        policy=policy, workspace=agent.workspace, agent=agent, kind="exhausted", minute=now, count=3
    )
    lease = SpendLease.objects.create(
        workspace=agent.workspace, agent=agent, client_id=uuid4(), month=month, granted_microcents=1_000,
        expires_at=now + timedelta(hours=1), frees_at=now + timedelta(hours=1),
    )  # fmt: skip
    statement = MonthlyStatement.objects.create(
        workspace=agent.workspace, agent=agent, month="2025-01", calls=3, unpriced_calls=1, estimated_calls=0,
        input_tokens=10, output_tokens=5, cost_microcents=123_000_000, limit_microcents=500_000_000,
    )  # fmt: skip
    change = BudgetChange.objects.filter(policy=policy).order_by("pk")[0]
    return {
        "budgetpolicy": policy.pk, "workspace_budget": of_workspace.pk,
        "grant": given.pk, "refusal": refusal.pk, "spendlease": lease.pk,
        "monthlystatement": statement.pk, "budgetchange": change.pk,
    }  # fmt: skip


def _told(agent: Agent, word: str, now: datetime) -> dict[str, object]:
    """Notices, the channel they go through, and a correction of the books."""
    channel = NotificationChannel.objects.create(
        workspace=agent.workspace, kind=NotificationChannel.Kind.WEBHOOK, name=f"{word}-channel",
        url=f"jsons://hooks.example.com/{word}-secret",
    )  # fmt: skip
    told = {"cause": "crossing", "workspace": agent.workspace, "title": f"{word}-notice", "body": f"{word}-body"}
    for membership in agent.workspace.memberships.all():
        notice = Notification.objects.create(cause_key=word, user=membership.user, **told)
    Notification.objects.create(cause_key=f"{word}-sent", channel=channel, **told)
    correction = CostCorrection.objects.create(
        repricing_id=uuid4(), workspace=agent.workspace, agent=agent, day=now.date(), model=f"{word}-1",
        reason=f"{word}-correction", calls=1, cost_before_microcents=1, cost_after_microcents=2,
    )  # fmt: skip
    return {"notificationchannel": channel.pk, "notice": notice.pk, "costcorrection": correction.pk}


def _advised(run: AgentRunLog, word: str, now: datetime) -> dict[str, object]:
    """An advice for the agent, with what it was found in."""
    today = now.date()
    of = {"workspace": run.workspace, "agent": run.agent}
    found: dict[str, Any] = {"first_found": today, "last_found": today, "month_microcents": 10**9}
    figures = {
        "calls": 3, "task": f"{word}-task", "model": f"{word}-1", "tier": "large", "needs": "small", "instead": "less",
    }  # fmt: skip
    advice = Advice.objects.create(kind=kinds.TASK_MODEL, key=f"{word}-1", figures=figures, **of, **found)
    change = AdviceChange.objects.create(
        workspace=run.workspace, advice=advice, username=f"{word}-owner", state_before="open", state_after="open",
        reason=f"{word}-decision",
    )  # fmt: skip
    AgentMonth.objects.create(through=today, runs=1, calls=1, cost_microcents=10**9, **of)
    RunReview.objects.create(run=run, started_at=run.started_at, day=run.day, over_microcents=10**6, **of)
    return {"advice": advice.pk, "advicechange": change.pk}


def make_keys(world: World) -> dict[str, str]:
    """An API key for each heading of the table of keys; a person's session stands in none."""
    other = Agent.objects.get(pk=world.rows["other_agent"])
    attic = Workspace.objects.get(pk=world.rows["archived_workspace"])
    every = ApiKey.Scope.values
    return {
        "none": "",
        "unknown": f"cs_0123456789_{'x' * 43}",
        "revoked": _key(world.quartz, every, archived_at=timezone.now()),
        "archived": _key(attic, every),
        "elsewhere": _key(world.zephyr, every),
        "bound": _key(world.quartz, every, agent=other),
        "reads": _key(world.quartz, [ApiKey.Scope.READ]),
        "reports": _key(world.quartz, [ApiKey.Scope.EVENTS_WRITE]),
        "budgets": _key(world.quartz, [ApiKey.Scope.BUDGETS_WRITE]),
        "whole": _key(world.quartz, every),
    }


def _key(workspace: Workspace, scopes: Sequence[str], *, agent: Agent | None = None, **columns: Any) -> str:
    row, key = create_key(workspace, agent=agent, scopes=scopes)
    # Used just now: that it is used again within a minute is not written.
    ApiKey.objects.filter(pk=row.pk).update(last_used_at=timezone.now(), **columns)
    return key
