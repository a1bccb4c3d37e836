"""Who reads the pages in their tests, when, and how something is spent for them to read."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from agents import ledger
from agents.models import Membership, ModelPrice, Workspace
from langchain_plugin import wire
from tests.analytics.facts import AFTERNOON, PRICED, Cast, Spend
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
