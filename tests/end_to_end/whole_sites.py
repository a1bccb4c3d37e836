"""Three sites to look at every page of: with the demo's months, with nothing, and with names nobody would choose."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import Any
from uuid import uuid4

from django.core.management import call_command
from django.urls import reverse
from django.utils import timezone

from agents import ledger
from agents.keys import create_key
from agents.models import Agent, AgentRunLog, ApiKey, Membership, ModelPrice, Workspace
from budgets.models import BudgetPolicy, MonthlyStatement, Notification, Refusal
from budgets.policies import By, grant, set_budget
from costsite.advice.models import Advice
from costsite.demo.budgets import give_demo_budgets
from langchain_plugin import wire
from tests.factories import MembershipFactory, UserFactory, llm_call

HOSTILE_NAMES = (
    "<script>alert('x')</script><img src=x onerror=alert(1)>&amp;\"'",
    "W" * 200,
    "مساعد الدعم لخدمة العملاء 123 \u2067إجابات\u2069 ؟",
    "🤖👩\u200d👩\u200d👧\u200d👦🏳️\u200d🌈" * 12,
)
REPORTED = tuple(wire.clean_name(name) for name in HOSTILE_NAMES)
"""As far as the wire takes them; the admin takes all of it."""


def with_months_of_demo() -> list[str]:
    """Two months of two workspaces, reviewed, with budgets, a grant, keys and notices."""
    _olive()
    call_command("load_demo", verbosity=0)
    call_command("review_runs", verbosity=0)
    support = Workspace.objects.get(slug="acme-support")
    give_demo_budgets(support)
    agent = Agent.objects.get(slug="support-bot")
    _facts_of_a_budget(agent, "launch week")
    create_key(support, name="production")
    _price("vllm", "some-other-model", support)
    return _pages(agent)


def with_nothing() -> list[str]:
    """A workspace that somebody made a minute ago."""
    olive = _olive()
    workspace = Workspace.objects.create(slug="acme", name="Acme")
    MembershipFactory(user=olive, workspace=workspace, role=Membership.Role.OWNER)
    agent = Agent.objects.create(workspace=workspace, slug="new-bot")
    return _pages(agent)


def with_hostile_names() -> list[str]:
    """Every name a person or a process can give is one of `HOSTILE_NAMES`, everywhere they are shown."""
    olive = _olive()
    now = timezone.now()
    for index, name in enumerate(HOSTILE_NAMES):
        workspace = Workspace.objects.create(slug=f"hostile-{index}", name=name[:200])
        MembershipFactory(user=olive, workspace=workspace, role=Membership.Role.OWNER)
        create_key(workspace, name=name[:80])
    workspace = Workspace.objects.get(slug="hostile-0")
    _price("", REPORTED[0], None)
    events: list[Any] = []
    for number, (agent, status) in enumerate(product(REPORTED, ("ok", "ok", "error", "abandoned"))):
        run_id, other = uuid4(), REPORTED[(number + 1) % len(REPORTED)]
        for call in range(3):
            at = now - timedelta(hours=number % 7, seconds=60 - call)
            events.append(
                llm_call(
                    agent=agent,
                    run_id=run_id,
                    provider=other if call == 1 else "",
                    request_model=other if call else agent,
                    step=other,
                    sub_agent=agent if call else "",
                    effort=other if call else "",
                    service_tier=other if call == 2 else "",
                    error_type="" if status == "ok" else other,
                    status=status,
                    call_index=call,
                    thread_id=other,
                    tags=tuple(wire.clean_name(tag, 64) for tag in REPORTED),
                    tool_calls=((other, "a" * 16),),
                    started_at=at,
                    ended_at=at,
                    input_tokens=98_765_432 if call == 1 else 20_000,
                    cache_read_tokens=300,
                    output_tokens=123_456,
                    reasoning_tokens=23_456,
                )
            )
    recorded = ledger.record(workspace, list(enumerate(events)), client=None, received_at=now)
    assert not recorded.rejected, recorded.rejected[:1]
    for agent_named, name in zip(Agent.objects.order_by("pk"), HOSTILE_NAMES, strict=True):
        Agent.objects.filter(pk=agent_named.pk).update(name=name[:200])
        _facts_of_a_budget(agent_named, name)
    call_command("review_runs", "--today", verbosity=0)
    for agent_named, name in zip(Agent.objects.order_by("pk"), HOSTILE_NAMES, strict=True):
        Advice.objects.filter(agent=agent_named).update(key=name[:200])
    return _pages(Agent.objects.order_by("pk")[1])


def _olive() -> Any:
    return UserFactory(username="olive", is_staff=True, is_superuser=True)


def _price(provider: str, model: str, workspace: Workspace | None) -> ModelPrice:
    return ModelPrice.objects.create(
        workspace=workspace,
        provider=provider,
        model=model,
        input_per_million="1.25",
        output_per_million="5",
        effective_from=timezone.now() - timedelta(days=90),
    )


def _facts_of_a_budget(agent: Agent, words: str) -> BudgetPolicy:
    policy = set_budget(agent, by=By(command="test"), limit_cents=400)
    assert policy is not None
    now = timezone.now()
    grant(policy, 25, ends_at=now + timedelta(days=2), reason=words, by=By(command="test"))
    Refusal.objects.create(policy=policy, workspace=agent.workspace, agent=agent, kind="exhausted", minute=now, count=3)
    MonthlyStatement.objects.create(
        workspace=agent.workspace, agent=agent, month="2020-10", calls=3, unpriced_calls=1, estimated_calls=0,
        input_tokens=10, output_tokens=5, cost_microcents=123_000_000, limit_microcents=500_000_000,
    )  # fmt: skip
    for person in {membership.user for membership in Membership.objects.select_related("user")}:
        Notification.objects.create(
            cause="crossing", cause_key=f"{policy.pk}", user=person, workspace=agent.workspace,
            title=f"{words[:200]}: half of it is spent", body=words,
        )  # fmt: skip
    return policy


def _pages(agent: Agent) -> list[str]:
    """Every page one can open, and with each kind of thing that there is one of."""
    run = AgentRunLog.objects.filter(agent=agent).order_by("-cost_microcents").first()
    budget = BudgetPolicy.objects.filter(agent=agent).first()
    price, key = ModelPrice.objects.first(), ApiKey.objects.first()
    pages = [
        reverse("dashboard"),
        f"{reverse('dashboard')}?range=90-days&by=model&compare=1",
        reverse("analytics"),
        reverse("agent", args=[agent.pk]),
        reverse("workspaces"),
        reverse("workspace", args=[agent.workspace.slug]),
        reverse("runs"),
        f"{reverse('runs')}?unusual=1&tag=none&cost_over=1",
        reverse("budgets"),
        reverse("inbox"),
        reverse("prices"),
        f"{reverse('prices')}?model=gpt-5&provider=openai",
        f"{reverse('enter-price')}?kind=priced",
        f"{reverse('enter-price')}?kind=same_as",
        reverse("keys"),
        reverse("optimization"),
        f"{reverse('what-if')}?agent={agent.pk}&model=openai/gpt-5-mini",
        reverse("password"),
        "/no-such-page/",
    ]
    if run is not None:
        pages.append(reverse("run", args=[run.pk]))
    if budget is not None:
        pages += [reverse("budget", args=[budget.pk]), reverse("grant-more", args=[budget.pk])]
        pages += [reverse("revoke-grant", args=[given.pk]) for given in budget.grants.all()[:1]]
    if price is not None:
        pages.append(reverse("price", args=[price.pk]))
    if key is not None:
        pages.append(reverse("first-event", args=[key.pk]))
    return pages
