"""A budget that moves its agent to another model: set, kept with who did it, told, and shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.models import Agent, LedgerState, Workspace
from budgets import price_card
from budgets.changes import difference
from budgets.model_moves import LONGEST_NAME, move_told, problem_with_move
from budgets.models import BudgetChange, BudgetPolicy
from budgets.months import month_at
from budgets.policies import By, archive, grant, set_budget, set_model_move
from langchain_plugin import wire, wire_leases
from tests.budgets.conftest import CENT, TESTER, spend, text
from tests.budgets.test_admin_policies import changed, new, page_of
from tests.costsite.api_client import KeyHolder
from tests.factories import AgentFactory, llm_call

pytestmark = [pytest.mark.django_db]

MINI = "openai/gpt-5-mini"
ADD = "admin:budgets_budgetpolicy_add"


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    price_card._bounds.clear()  # a rolled-back test gives its agents' numbers to the next


@pytest.fixture
def policy(support_bot: Agent) -> BudgetPolicy:
    made = set_budget(support_bot, by=TESTER, limit_cents=100)
    assert made is not None
    return made


# ── the act ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_move_is_kept_with_who_set_it_and_why(policy: BudgetPolicy, ada: User) -> None:
    assert set_model_move(policy, f" {MINI}\x00", 80, by=By(user=ada), reason="After a what-if.")
    assert not set_model_move(policy, MINI, 80, by=TESTER), "it was so already"
    assert set_model_move(policy, MINI, 90, by=TESTER)
    assert set_model_move(policy, "", None, by=TESTER)

    told = [(change.by_name, difference(change), change.reason) for change in BudgetChange.objects.order_by("pk")[1:]]
    assert told == [
        ("ada", f"moves to: none → {MINI}; at percent: none → 80", "After a what-if."),
        ("test", "at percent: 80 → 90", ""),
        ("test", f"moves to: {MINI} → none; at percent: 90 → none", ""),
    ]


@pytest.mark.parametrize(
    ("model", "percent", "mend"),
    [
        (MINI, None, "Say from how much of the budget on"),
        (MINI, 0, "greater than or equal to 1"),
        (MINI, 101, "less than or equal to 100"),
        ("openai/", 80, "Name the model as its provider and name"),
        ("x" * 201, 80, "Name the model as its provider and name"),
        ("x" * 300 + "/y", 80, "Name the model as its provider and name"),
    ],
)
def test_what_is_no_move_is_refused_with_the_mend(
    model: str, percent: int | None, mend: str, policy: BudgetPolicy
) -> None:
    with pytest.raises(ValidationError, match=mend):
        set_model_move(policy, model, percent, by=TESTER)

    policy.refresh_from_db()
    assert (policy.moves_to, policy.moves_at_percent) == ("", None)


def test_the_longest_names_fit(policy: BudgetPolicy) -> None:
    model = f"{'p' * 200}/{'m' * 200}"
    assert len(model) == LONGEST_NAME

    assert set_model_move(policy, model, 100, by=TESTER)


def test_only_an_agents_own_budget_moves_it(workspace: Workspace) -> None:
    of_workspace = set_budget(workspace, by=TESTER, limit_cents=100)
    assert of_workspace is not None

    with pytest.raises(ValidationError, match="Only an agent's own budget"):
        set_model_move(of_workspace, MINI, 80, by=TESTER)


@pytest.mark.parametrize(
    "fields",
    [
        {"moves_to": MINI},
        {"moves_at_percent": 80},
        {"moves_to": MINI, "moves_at_percent": 0},
        {"moves_to": MINI, "moves_at_percent": 101},
        {"moves_to": MINI, "moves_at_percent": 80, "scope": "workspace", "agent": None},
    ],
)
def test_the_database_takes_no_half_a_move(fields: dict[str, Any], policy: BudgetPolicy) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        BudgetPolicy.objects.filter(pk=policy.pk).update(**fields)


def test_nothing_is_said_of_a_budget_that_moves_nobody() -> None:
    at = datetime(2026, 12, 1, tzinfo=UTC)

    assert problem_with_move("", None, of_an_agent=False) == {}
    assert move_told(BudgetPolicy(), limit=100, spent=100, month_ends_at=at) is None


@pytest.mark.parametrize(
    ("spent", "limit", "due"), [(79, 100, False), (80, 100, True), (3, 4, False), (4, 4, True), (0, 0, True)]
)
def test_it_is_due_from_the_first_amount_that_has_passed_the_percent(spent: int, limit: int, due: bool) -> None:
    at = datetime(2026, 12, 1, tzinfo=UTC)
    own = BudgetPolicy(moves_to="gpt-5-mini", moves_at_percent=80)

    told = move_told(own, limit=limit, spent=spent, month_ends_at=at)

    assert told == wire.ModelMove(model="gpt-5-mini", at_percent=80, due_until=at if due else None)


# ── what processes are told ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def key(workspace: Workspace) -> KeyHolder:
    return KeyHolder(workspace)


def leased(key: KeyHolder, agent: str = "support-bot") -> wire_leases.LeaseAnswer:
    body = {"agent": agent, "client_id": str(UUID(int=7))}
    response = key.client.post("/api/v1/leases", json.dumps(body), content_type="application/json")
    assert response.status_code == 200, response.content
    return wire_leases.LeaseAnswer.model_validate_json(response.content)


def told(key: KeyHolder, cents: float, agent: str = "support-bot") -> list[wire.ModelMove | None]:
    """By the Receipt of a call that costs so much, and by a lease after it."""
    now = datetime.now(UTC)
    event = llm_call(
        agent=agent, request_model="gpt-4o", input_tokens=round(cents * 4_000), output_tokens=0, started_at=now,
        ended_at=now,
    )  # fmt: skip
    receipt, lease = key.report(event), leased(key, agent)
    assert lease.agent_settings is not None
    again = key.report(event)  # a duplicate is answered with what holds now, too
    assert again.agent_settings == receipt.agent_settings
    return [receipt.agent_settings[0].model_move, lease.agent_settings.model_move]


def test_receipts_and_leases_tell_the_move_and_from_when_it_is_due(
    key: KeyHolder, policy: BudgetPolicy, zone: LedgerState
) -> None:
    assert told(key, 10) == [None, None]
    set_model_move(policy, MINI, 80, by=TESTER)
    waits = wire.ModelMove(provider="openai", model="gpt-5-mini", at_percent=80)
    ends_at = month_at(timezone.now(), zone.days()).ends_at

    assert told(key, 69) == [waits, waits]
    assert told(key, 1) == [waits.model_copy(update={"due_until": ends_at})] * 2
    grant(policy, 10, ends_at=timezone.now() + timedelta(days=1), reason="launch", by=TESTER)
    assert told(key, 1) == [waits, waits], "80 % of 110 cents are not spent"
    archive(policy, by=TESTER)
    assert told(key, 1) == [None, None]


def test_another_agent_and_a_wider_budget_are_not_what_counts(
    key: KeyHolder, policy: BudgetPolicy, workspace: Workspace
) -> None:
    set_model_move(policy, "house-70b", 80, by=TESTER)
    set_budget(workspace, by=TESTER, limit_cents=1_000)
    AgentFactory(workspace=workspace, slug="other-bot")
    waits = wire.ModelMove(model="house-70b", at_percent=80)

    assert told(key, 900, agent="other-bot") == [None, None]
    assert told(key, 10) == [waits, waits], "its own budget is spent by a tenth, whatever the workspace's"


def test_a_key_of_one_agent_is_told_its_move(workspace: Workspace, support_bot: Agent, policy: BudgetPolicy) -> None:
    set_model_move(policy, MINI, 80, by=TESTER)

    assert all(told(KeyHolder(workspace, agent=support_bot), 81))


def test_the_price_of_the_model_it_moves_to_comes_with_the_lease(key: KeyHolder, policy: BudgetPolicy) -> None:
    set_model_move(policy, MINI, 80, by=TESTER)

    (entry,) = leased(key).price_card
    assert (entry.provider, entry.model) == ("openai", "gpt-5-mini")
    assert entry.prices is not None


def test_the_api_says_where_a_budget_moves_its_agent(key: KeyHolder, policy: BudgetPolicy) -> None:
    set_model_move(policy, MINI, 80, by=TESTER)

    said = key.read(f"budgets/{policy.pk}")

    assert (said["moves_to"], said["moves_at_percent"]) == (MINI, 80)


def test_what_last_month_spent_makes_nothing_due(key: KeyHolder, policy: BudgetPolicy, support_bot: Agent) -> None:
    set_model_move(policy, MINI, 80, by=TESTER)
    BudgetPolicy.objects.filter(pk=policy.pk).update(first_month="2020-01")
    now = datetime.now(UTC)
    spend(support_bot, 95, at=now.replace(day=1) - timedelta(days=2), received_at=now)

    waits = wire.ModelMove(provider="openai", model="gpt-5-mini", at_percent=80)
    assert told(key, 1) == [waits, waits]
    assert policy.periods.count() == 2
    assert max(period.spent_microcents for period in policy.periods.all()) == 95 * CENT


# ── in the admin ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_owner_sets_and_ends_it_in_the_admin(policy: BudgetPolicy, owner: User, client: Client) -> None:
    client.force_login(owner)
    shown = {"initial-moves_to": MINI, "initial-moves_at_percent": "75"}
    for fields, expected in (
        ({"moves_to": f"{MINI} ", "moves_at_percent": "75"}, (MINI, 75)),
        (shown | {"moves_to": "", "moves_at_percent": ""}, ("", None)),
    ):
        assert client.post(page_of(policy), changed(policy, **fields)).status_code == 302

        policy.refresh_from_db()
        assert (policy.moves_to, policy.moves_at_percent) == expected
    assert [change.by_name for change in BudgetChange.objects.filter(what="changed")] == ["olive", "olive"]


@pytest.mark.parametrize(
    ("fields", "mend"),
    [
        ({"moves_to": MINI}, "Say from how much of the budget on"),
        ({"moves_at_percent": "80"}, "Name the model it moves to"),
        ({"moves_to": MINI, "moves_at_percent": "0"}, "greater than or equal to 1"),
    ],
)
def test_half_a_move_is_said_with_the_mend(
    fields: dict[str, str], mend: str, policy: BudgetPolicy, owner: User, client: Client
) -> None:
    client.force_login(owner)

    answer = client.post(page_of(policy), changed(policy, **fields))

    assert answer.status_code == 200
    assert mend in text(answer)
    assert not BudgetChange.objects.filter(what="changed").exists()


def test_it_can_be_set_with_a_new_budget_of_an_agent_and_of_nothing_wider(
    support_bot: Agent, workspace: Workspace, superuser: User, client: Client
) -> None:
    client.force_login(superuser)
    moving = {"moves_to": MINI, "moves_at_percent": "80"}

    refused = client.post(reverse(ADD), new(scope="workspace", workspace=workspace.pk, **moving))
    assert "Only an agent" in text(refused)
    assert client.post(reverse(ADD), new(scope="agent", agent=support_bot.pk, **moving)).status_code == 302

    made = BudgetPolicy.objects.get()
    assert (made.agent, made.moves_to, made.moves_at_percent) == (support_bot, MINI, 80)
    assert f"moves to: {MINI}; at percent: 80" in difference(BudgetChange.objects.get())


def test_a_workspaces_budget_has_no_such_field_and_a_viewer_reads_an_agents(
    policy: BudgetPolicy, workspace: Workspace, owner: User, viewer: User, client: Client
) -> None:
    set_model_move(policy, MINI, 80, by=TESTER)
    wide = set_budget(workspace, by=TESTER, limit_cents=100)
    assert wide is not None
    client.force_login(owner)
    assert 'name="moves_to"' in client.get(page_of(policy)).content.decode()
    assert 'name="moves_to"' not in client.get(page_of(wide)).content.decode()
    client.force_login(viewer)
    assert MINI in text(client.get(page_of(policy)))
    assert 'name="moves_to"' not in client.get(page_of(policy)).content.decode()
