"""A reported model call on its way into the ledger: its time settled, its cost worked out, its row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from agents import pricing
from agents.clock import settled
from agents.rollups import Place, Sums, sums_of
from langchain_plugin import wire
from langchain_plugin.wire import TokenCounts

if TYPE_CHECKING:
    from agents.storage import Storage

_AS_REPORTED: Final = (
    "call_index", "step", "sub_agent", "purpose", "provider", "request_model", "response_model", "service_tier",
    "effort", "status", "error_type", "usage_basis", "max_output_tokens", "time_to_first_token_seconds",
    "prompt_messages", "thread_id",
)  # fmt: skip
"""The columns that hold what the event says, as it says it."""

COLUMNS: Final = (
    "workspace_id", "call_id", "agent_id", "client_id", "run_id", "langchain_run_id", "lease_id", "model",
    "started_at", "ended_at", "reported_started_at", "received_at", "day", *_AS_REPORTED,
    *TokenCounts._fields, "tokens_from", "served_from_local_cache", "provisional", "cost_basis", "cost_microcents",
    "saved_microcents", "price_source", "prompt_hash", "tool_calls", "tags",
)  # fmt: skip
"""Of `LLMCall`, in the order of `CallArrival.row`. The first two name the row."""

_as_reported = itemgetter(*_AS_REPORTED)
"""Out of an event's `__dict__`: one by one, a pydantic model's attributes take three times as long."""


@dataclass(slots=True)
class CallArrival:
    index: int
    event: wire.LLMCall
    call_id: str
    run_id: str
    started_at: datetime
    ended_at: datetime
    corrected: bool
    """The client's clock was not taken at its word."""
    model: str
    tags: tuple[str, ...]
    provisional: bool
    tokens: TokenCounts
    day: date = date.min
    """Set once the zone in force is known."""
    tokens_from: str = ""
    basis: str = ""
    cost: int | None = None
    saved: int = 0
    price_source: str = ""

    @property
    def lacks_tokens(self) -> bool:
        return self.event.input_tokens is None or self.event.output_tokens is None

    def price(self, book: pricing.PriceBook) -> None:
        """Work out the cost at the prices of the call's own time."""
        event = self.event
        self.cost, self.saved, self.price_source = book.charge(
            event.provider, event.request_model, event.response_model, event.service_tier,
            self.started_at, self.tokens, served_from_local_cache=event.served_from_local_cache,
        )  # fmt: skip
        self.basis = "unpriced" if self.cost is None else event.usage_basis

    def sums(self) -> Sums:
        return sums_of(
            self.tokens,
            failed=self.event.status != "ok",
            estimated=self.event.usage_basis == "estimated",
            local_cache_hit=self.event.served_from_local_cache,
            cost=self.cost,
            saved=self.saved,
        )

    def place(self, agent_id: int) -> Place:
        event = self.event
        return Place(self.day, agent_id, event.provider, self.model, event.status, event.effort, self.tags, self.run_id)

    def row(
        self, workspace_id: int, agent_id: int, client_id: int | None, received_at: Any, storage: Storage
    ) -> tuple[Any, ...]:
        """The values of `COLUMNS`. `received_at` as `storage` takes it."""
        event = self.event
        time = storage.time
        return (
            workspace_id, self.call_id, agent_id, client_id, self.run_id,
            event.langchain_run_id.hex if event.langchain_run_id else None,
            event.lease_id.hex if event.lease_id else None, self.model,
            time(self.started_at), time(self.ended_at),
            time(event.started_at.astimezone(self.started_at.tzinfo)) if self.corrected else None,
            received_at, storage.day(self.day), *_as_reported(event.__dict__),
            *self.tokens, self.tokens_from, 1 if event.served_from_local_cache else 0, 1 if self.provisional else 0,
            self.basis, self.cost, self.saved, self.price_source,
            event.prompt_hash or "", storage.pairs(event.tool_calls), storage.strings(self.tags),
        )  # fmt: skip


def call_arrival(
    index: int, event: wire.LLMCall, shift: timedelta, received_at: datetime, latest: datetime
) -> CallArrival:
    """`event` with its times settled. It has no cost yet: prices are read where no repricing can come between."""
    started_at = settled(event.started_at, shift, received_at, latest)
    ended_at = settled(event.ended_at, shift, received_at, latest)
    return CallArrival(
        index=index,
        event=event,
        call_id=event.call_id.hex,
        run_id=event.run_id.hex,
        started_at=started_at,
        ended_at=ended_at if ended_at > started_at else started_at,
        corrected=bool(shift) or started_at is received_at,
        model=pricing.canonical_model(event.request_model, event.response_model),
        tags=tuple(dict.fromkeys(event.tags)) if event.tags else (),
        provisional=event.usage_basis == "estimated" or event.status in ("cancelled", "abandoned"),
        tokens=TokenCounts(
            event.input_tokens or 0, event.output_tokens or 0, event.cache_read_tokens, event.cache_write_5m_tokens,
            event.cache_write_1h_tokens, event.cache_write_unknown_tokens, event.reasoning_tokens,
            event.input_audio_tokens, event.output_audio_tokens,
        ),
    )  # fmt: skip
