"""Leases in the admin: who holds what, and letting go of what a dead process holds."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents.models import Agent, Workspace
from agents.models import Client as ReportingClient
from budgets.enforcement import BudgetEnforcementService, Permit
from budgets.models import SpendLease
from budgets.policies import set_budget
from tests.budgets.conftest import CENT, TESTER, queries_of, spend, text
from tests.factories import AgentFactory

pytestmark = pytest.mark.django_db

LIST = "admin:budgets_spendlease_changelist"


def leased(agent: Agent, process: int) -> SpendLease:
    """8 of an agent's 10 cents, held by a process that has reported from worker-1."""
    set_budget(agent, by=TESTER, limit_cents=10)
    client_id = UUID(int=process)
    ReportingClient.objects.create(workspace=agent.workspace, client_id=client_id, host="worker-1", pid=process)
    permit = BudgetEnforcementService().lease(agent, client_id, least=8 * CENT)
    assert isinstance(permit, Permit)
    assert permit.lease is not None
    return permit.lease


def held(agent: Agent) -> int:
    (standing,) = BudgetEnforcementService().standings(agent)
    return standing.held


def release(client: Client, *leases: SpendLease, **fields: str) -> Any:
    form = {"action": "release", "_selected_action": [str(lease.pk) for lease in leases], "index": "0", **fields}
    return client.post(reverse(LIST), form)


def test_a_lease_is_listed_with_its_holder_while_it_holds_something(
    support_bot: Agent, viewer: User, client: Client
) -> None:
    lease = leased(support_bot, 4242)
    spend(support_bot, 3, lease_id=lease.lease_id)
    client.force_login(viewer)
    said = text(client.get(reverse(LIST)).content.decode())
    assert "support-bot worker-1, process 4242 Acme 8 3 5 " in said

    BudgetEnforcementService().release(lease)
    assert "worker-1" not in client.get(reverse(LIST)).content.decode()


def test_a_holder_that_has_not_reported_is_named_by_its_id(support_bot: Agent, viewer: User, client: Client) -> None:
    leased(support_bot, 7)
    ReportingClient.objects.all().delete()
    client.force_login(viewer)
    assert f"process {UUID(int=7)}, which has not reported yet" in client.get(reverse(LIST)).content.decode()


def test_releasing_says_first_what_it_risks_and_then_frees_the_money(
    support_bot: Agent, owner: User, client: Client
) -> None:
    lease = leased(support_bot, 4242)
    client.force_login(owner)

    page = release(client, lease).content.decode()
    assert "One that still runs can spend what it was granted" in text(page)
    assert "worker-1, process 4242" in page
    assert 'value="Release 1 lease"' in page
    assert held(support_bot) == 8 * CENT

    assert release(client, lease, confirmed="yes").status_code == 302
    assert held(support_bot) == 0
    entry = LogEntry.objects.get()
    assert (entry.user, entry.change_message) == (owner, "Released; it held 8 cents ($0.08).")


def test_what_open_calls_hold_of_a_returned_lease_is_not_released(
    support_bot: Agent, owner: User, client: Client
) -> None:
    lease = leased(support_bot, 4242)
    BudgetEnforcementService().release(lease, outstanding=3 * CENT)
    client.force_login(owner)
    assert "returned; open calls hold until " in client.get(reverse(LIST)).content.decode()
    assert "or they have ended" in release(client, lease).content.decode()
    release(client, lease, confirmed="yes")
    assert held(support_bot) == 3 * CENT


@pytest.mark.parametrize(
    ("person", "left"), [("superuser", [0, 0]), ("owner", [0, 8 * CENT]), ("viewer", [8 * CENT] * 2)]
)
def test_only_leases_of_ones_own_workspaces_are_released(
    person: str,
    left: list[int],
    support_bot: Agent,
    elsewhere: Workspace,
    request: pytest.FixtureRequest,
    client: Client,
) -> None:
    stranger = AgentFactory(workspace=elsewhere)
    leases = [leased(support_bot, 1), leased(stranger, 2)]
    client.force_login(request.getfixturevalue(person))
    release(client, *leases, confirmed="yes")
    assert [held(support_bot), held(stranger)] == left


def test_an_owner_of_one_workspace_who_views_another_releases_nothing_there(
    support_bot: Agent, elsewhere: Workspace, viewer: User, client: Client
) -> None:
    viewer.memberships.create(workspace=elsewhere, role="owner")  # type: ignore[attr-defined]
    lease = leased(support_bot, 1)
    client.force_login(viewer)
    assert "None of the chosen leases can be released by you" in release(client, lease).content.decode()
    release(client, lease, confirmed="yes")
    assert held(support_bot) == 8 * CENT


def test_a_longer_list_takes_no_more_queries(support_bot: Agent, superuser: User, client: Client) -> None:
    client.force_login(superuser)

    leased(support_bot, 1)
    queries_of(client, reverse(LIST))
    with_one = queries_of(client, reverse(LIST))
    for process in range(2, 12):
        leased(AgentFactory(workspace=support_bot.workspace), process)
    assert queries_of(client, reverse(LIST)) == with_one
