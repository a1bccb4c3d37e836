"""A workspace with prices, and traffic booked into it as an afternoon in November sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.utils import timezone

from agents import ledger
from agents.models import ModelPrice, Workspace
from langchain_plugin import wire
from tests.advice.planted import DEARER, MODEL

AFTERNOON = datetime(2026, 11, 29, 15, 0, tzinfo=UTC)
FIRST = datetime(2026, 11, 1, tzinfo=UTC)
YESTERDAY = date(2026, 11, 28)

Book = Callable[[Iterable[wire.LLMCall]], int]


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> datetime:
    monkeypatch.setattr(timezone, "now", lambda: AFTERNOON)
    return AFTERNOON


@pytest.fixture
def prices(db: None) -> None:
    for model, times in ((MODEL, 1), (DEARER, 10)):
        ModelPrice.objects.create(
            provider="acme-ai",
            model=model,
            input_per_million=Decimal(times),
            output_per_million=Decimal(2 * times),
            cache_read_per_million=Decimal(times) / 10,
            effective_from=datetime(2025, 1, 1, tzinfo=UTC),
        )


@pytest.fixture
def book(workspace: Workspace, prices: None) -> Book:
    """Books calls into the workspace; how many it took."""

    def record(events: Iterable[wire.LLMCall]) -> int:
        taken, waiting = 0, list(events)
        for start in range(0, len(waiting), 500):
            batch = list(enumerate(waiting[start : start + 500]))
            recorded = ledger.record(workspace, batch, client=None, received_at=AFTERNOON)
            assert not recorded.rejected, recorded.rejected[:1]
            taken += len(recorded.accepted)
        return taken

    return record
