"""The cast of the pages' tests, the afternoon they happen on, and what was spent until then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from agents import ledger
from agents.models import Membership, ModelPrice, Workspace
from langchain_plugin import wire
from tests.factories import MembershipFactory, UserFactory, WorkspaceFactory, llm_call

AFTERNOON = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
"""A Tuesday."""

PRICED = {"provider": "acme-ai", "request_model": "acme-1", "input_tokens": 1_200, "output_tokens": 300}
"""At 1 USD per million in and 2 USD out: 1,200 x 100 + 300 x 200 = 180,000 microcents = 0.18 cents."""
PRICED_MICROCENTS = 180_000
UNPRICED = PRICED | {"request_model": "acme-unheard-of-9"}


@dataclass
class Cast:
    owner: User
    viewer: User
    outsider: User
    superuser: User
    acme: Workspace
    elsewhere: Workspace
    """Only the outsider belongs here."""


@pytest.fixture(autouse=True)
def _cheap_passwords(settings: Any) -> None:
    """What makes a password slow to guess makes a cast of four slow to make."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


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


Spend = Callable[..., wire.LLMCall]


@pytest.fixture
def spend(cast: Cast) -> Spend:
    """Books one call, by default a priced one of Acme's support-bot at noon of 20 November, as a run of its own."""

    def book(workspace: Workspace | None = None, **changes: Any) -> wire.LLMCall:
        call = llm_call(**PRICED | {"is_root": "run_id" not in changes} | changes)
        if "started_at" in changes and "ended_at" not in changes:
            call = call.model_copy(update={"ended_at": call.started_at})
        recorded = ledger.record(workspace or cast.acme, [(0, call)], client=None, received_at=AFTERNOON)
        assert recorded.accepted == [0], recorded.rejected
        return call

    return book


@pytest.fixture
def as_viewer(cast: Cast, client: Client) -> Client:
    client.force_login(cast.viewer)
    return client
