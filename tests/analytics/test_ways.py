"""No page offers a door that is shut, and none hides one that is open."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents.models import Agent, Membership, Workspace
from budgets.granting import may_grant
from budgets.models import BudgetPolicy
from budgets.policies import By, archive, set_budget
from tests.analytics.facts import Cast, Spend
from tests.factories import MembershipFactory, UserFactory

TESTER = By(command="test")


@pytest.fixture
def people(cast: Cast) -> list[User]:
    """Members and who runs the site, each with and without the way into the admin."""
    found = [cast.owner, cast.viewer, cast.outsider, cast.superuser]
    for role in (Membership.Role.OWNER, Membership.Role.VIEWER):
        person = UserFactory(username=f"staff-{role}", is_staff=True)
        MembershipFactory(user=person, workspace=cast.acme, role=role)
        found.append(person)
    return [*found, UserFactory(username="outside", is_superuser=True)]


@pytest.fixture
def policies(cast: Cast, spend: Spend) -> list[BudgetPolicy]:
    """Of an agent, a workspace and the site, and an archived one."""
    spend()
    made = [
        set_budget(of, by=TESTER, limit_cents=100)
        for of in (Agent.objects.get(), cast.acme, None, Agent.objects.create(workspace=cast.acme, slug="gone"))
    ]
    found = [policy for policy in made if policy is not None]
    archive(found[-1], by=TESTER)
    return list(BudgetPolicy.objects.order_by("pk"))


def test_the_way_to_set_a_budget_is_shown_to_whom_the_admin_lets_set_one(
    people: list[User], policies: list[BudgetPolicy], client: Client
) -> None:
    opened = 0
    for person in people:
        client.force_login(person)
        doors = {reverse("budgets"): reverse("admin:budgets_budgetpolicy_add")}
        for policy in policies:
            doors[reverse("budget", args=[policy.pk])] = reverse("admin:budgets_budgetpolicy_change", args=[policy.pk])
        for page, door in doors.items():
            answer = client.get(page)
            if answer.status_code == 404:
                continue
            behind = client.get(door)
            is_open = behind.status_code == 200 and b'name="limit_cents"' in behind.content

            assert (f'href="{door}"' in answer.content.decode()) is is_open, (person.username, page)
            opened += is_open
    assert opened


def test_more_is_granted_by_who_may_change_the_budget(people: list[User], policies: list[BudgetPolicy]) -> None:
    may = 0
    for person in people:
        changeable = set(BudgetPolicy.objects.changeable_by(person))
        owned = set(Workspace.objects.owned_by(person).values_list("pk", flat=True))
        for policy in policies:
            allowed = may_grant(person, policy, owned=policy.workspace_id in owned)

            assert allowed is (policy in changeable), (person.username, policy)
            may += allowed
    assert 0 < may < len(people) * len(policies)
