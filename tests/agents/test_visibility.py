"""Whose rows people see, and who sees them all."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory

from agents.admin.access import is_superuser, owned_workspace_ids
from agents.keys import create_key
from agents.models import Membership, ModelPrice, Workspace
from tests.factories import AgentFactory, MembershipFactory, UserFactory, WorkspaceFactory


def test_the_first_workspaces_of_a_member_are_theirs_alone(db: None) -> None:
    mine = [WorkspaceFactory(slug=f"mine-{number}") for number in range(3)]
    WorkspaceFactory(slug="another")
    member = UserFactory()
    for workspace in mine:
        MembershipFactory(user=member, workspace=workspace)

    def first(most: int) -> list[Workspace]:
        return sorted(Workspace.objects.firsts_visible_to(member, "pk", most=most), key=lambda row: row.pk)

    assert first(2) == mine[:2]
    assert first(9) == mine


def test_a_key_opens_its_own_workspace_and_none_when_it_is_bound_to_an_agent(workspace: Workspace) -> None:
    WorkspaceFactory(slug="another")
    whole, _ = create_key(workspace)
    bound, _ = create_key(workspace, agent=AgentFactory(workspace=workspace))

    assert [*Workspace.objects.all().readable_with(whole)] == [workspace]
    assert [*Workspace.objects.all().readable_with(bound)] == []


@pytest.mark.parametrize(
    ("facts", "runs_the_site"),
    [
        ({"is_superuser": True}, True),
        ({"is_superuser": True, "is_active": False}, False),
        ({"is_staff": True}, False),
    ],
)
def test_who_runs_the_site_has_one_answer_everywhere(
    workspace: Workspace, facts: dict[str, bool], runs_the_site: bool
) -> None:
    person = UserFactory(**facts)
    ModelPrice.objects.create(model="llama3", kind=ModelPrice.Kind.FREE, workspace=workspace)
    request = RequestFactory().get("/")
    request.user = person

    assert is_superuser(person) is runs_the_site
    assert Workspace.objects.visible_to(person).exists() is runs_the_site
    assert Workspace.objects.owned_by(person).exists() is runs_the_site
    assert ModelPrice.objects.visible_to(person).exists() is runs_the_site
    assert bool(owned_workspace_ids(request)) is runs_the_site


@pytest.mark.parametrize("person", [AnonymousUser(), None])
def test_who_is_not_signed_in_or_no_longer_may_be_owns_nothing(workspace: Workspace, person: Any) -> None:
    if person is None:
        role = Membership.Role.OWNER
        person = MembershipFactory(workspace=workspace, role=role, user__is_active=False).user
    ModelPrice.objects.create(model="llama3", kind=ModelPrice.Kind.FREE)

    assert not Workspace.objects.owned_by(person).exists()
    assert not Workspace.objects.visible_to(person).exists()
    assert not ModelPrice.objects.visible_to(person).exists()
