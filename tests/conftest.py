"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import override_settings

from agents.models import Membership, Workspace
from costsite import large_files
from tests.both_databases import pytest_collection_modifyitems, pytest_configure
from tests.factories import MembershipFactory, UserFactory, WorkspaceFactory
from tests.no_skips_in_ci import pytest_sessionfinish

__all__ = ["pytest_collection_modifyitems", "pytest_configure", "pytest_sessionfinish", "workspace"]


@pytest.fixture(autouse=True)
def _cheap_passwords() -> Iterator[None]:
    """What makes a password slow to guess makes a cast of four slow to make."""
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture(autouse=True)
def _free_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file that a test did not read takes no place from the next."""
    monkeypatch.setattr(large_files, "_places", threading.BoundedSemaphore(large_files.AT_A_TIME))


@pytest.fixture
def workspace(db: None) -> Workspace:
    return WorkspaceFactory(slug="acme", name="Acme")


@pytest.fixture
def elsewhere(db: None) -> Workspace:
    """Where nobody of the cast belongs."""
    return WorkspaceFactory(slug="elsewhere", name="Elsewhere")


@pytest.fixture
def owner(workspace: Workspace) -> User:
    person: User = UserFactory(username="olive", is_staff=True)
    MembershipFactory(user=person, workspace=workspace, role=Membership.Role.OWNER)
    return person


@pytest.fixture
def viewer(workspace: Workspace) -> User:
    person: User = UserFactory(username="vera", is_staff=True)
    MembershipFactory(user=person, workspace=workspace)
    return person


@pytest.fixture
def superuser(db: None) -> User:
    person: User = UserFactory(username="root", is_staff=True, is_superuser=True)
    return person
