"""What a price would change is said before it is saved, and comes true when it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents import ledger
from agents.models import LLMCall, ModelPrice, Workspace
from agents.price_preview import Preview, preview
from agents.repricing import Repriced, reprice_unpriced
from tests.factories import WorkspaceFactory, llm_call

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.utils import timezone

    monkeypatch.setattr(timezone, "now", lambda: NOW)


def book(workspace: Workspace, **facts: Any) -> None:
    at = facts.pop("started_at", NOW - timedelta(days=1))
    event = llm_call(**{"provider": "vllm", "request_model": "house-1", "started_at": at, "ended_at": at} | facts)
    assert not ledger.record(workspace, [(0, event)], client=None, received_at=NOW).rejected


def price(**facts: Any) -> ModelPrice:
    known = {"provider": "vllm", "model": "house-1", "effective_from": datetime(2026, 11, 1, tzinfo=UTC)}
    unit_prices = {"input_per_million": Decimal(1), "output_per_million": Decimal(2)}
    return ModelPrice(**known | ({} if facts.get("kind") in ("free", "same_as") else unit_prices) | facts)


def test_it_counts_the_calls_of_this_month_and_what_they_would_cost(workspace: Workspace, elsewhere: Workspace) -> None:
    book(workspace)  # 1,200 in, 300 out: 0.18 cents
    book(workspace, started_at=NOW - timedelta(days=20))
    book(workspace, started_at=NOW - timedelta(days=40))
    book(workspace, request_model="house-2")
    book(elsewhere)

    assert preview(price()) == Preview(waiting=3, read=3, calls=3, cost=3 * 180_000)
    assert preview(price(workspace=workspace)) == Preview(waiting=2, read=2, calls=2, cost=2 * 180_000)
    assert preview(price(model="house-*")) == Preview(waiting=4, read=4, calls=4, cost=4 * 180_000)
    assert preview(price(kind="free")) == Preview(waiting=3, read=3, calls=3, cost=0)
    later = price(effective_from=NOW - timedelta(days=2))
    assert preview(later) == Preview(waiting=3, read=3, calls=2, cost=2 * 180_000)
    assert preview(price(model="other")) == Preview(0, 0, 0, 0)
    assert not ModelPrice.objects.exists()
    assert not LLMCall.objects.exclude(cost_microcents=None).exists()


def test_what_is_not_read_is_said(workspace: Workspace) -> None:
    for _ in range(5):
        book(workspace)

    seen = preview(price(), most=3)

    assert (seen.waiting, seen.read, seen.calls, seen.cost, seen.complete) == (5, 3, 3, 3 * 180_000, False)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    kind=st.sampled_from(["free", "priced", "same_as"]),
    calls=st.lists(
        st.tuples(st.integers(0, 5_000_000), st.integers(0, 100_000), st.sampled_from(["house-1", "house-2"])),
        max_size=6,
    ),
    mine=st.booleans(),
    days=st.integers(0, 30),
)
def test_it_comes_true(kind: str, calls: list[tuple[int, int, str]], mine: bool, days: int) -> None:
    with transaction.atomic():
        said, repriced = previewed_and_repriced(kind, calls, mine, days)
        transaction.set_rollback(True)

    assert said.complete
    assert repriced.calls == said.calls
    assert sum(change.after for change in repriced.changes.values()) == said.cost


def previewed_and_repriced(
    kind: str, calls: list[tuple[int, int, str]], mine: bool, days: int
) -> tuple[Preview, Repriced]:
    workspace, other = WorkspaceFactory(), WorkspaceFactory()
    for number, (tokens_in, tokens_out, model) in enumerate(calls):
        book(
            (workspace, other)[number % 2], request_model=model, input_tokens=tokens_in, output_tokens=tokens_out,
            started_at=NOW - timedelta(days=number * 3),
        )  # fmt: skip
    wanted = price(
        kind=kind, workspace=workspace if mine else None, effective_from=NOW - timedelta(days=days),
        **({"same_as_provider": "openai", "same_as_model": "gpt-4o"} if kind == "same_as" else {}),
    )  # fmt: skip
    said = preview(wanted)
    wanted.save()
    repriced = reprice_unpriced(wanted.pk)
    assert repriced is not None
    return said, repriced
