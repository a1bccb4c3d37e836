"""A reported model call on its way into the ledger: its time settled, its cost worked out, its row."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from agents import pricing
from agents.clock import EARLIEST, settled
from agents.reports import CallReport
from agents.rollups import Place, Sums, sums_of
from langchain_plugin.wire import TokenCounts

if TYPE_CHECKING:
    from agents.storage import Storage

_AS_REPORTED: Final = (
    "call_index", "step", "sub_agent", "purpose", "provider", "request_model", "response_model", "service_tier",
    "effort", "status", "error_type", "usage_basis", "max_output_tokens", "time_to_first_token_seconds",
    "prompt_messages", "thread_id", "langchain_run_id", "lease_id",
)  # fmt: skip
"""The columns that hold what the report says, as it says it."""

COLUMNS: Final = (
    "workspace_id", "call_id", "agent_id", "client_id", "run_id", "model",
    "started_at", "ended_at", "reported_started_at", "received_at", "day", *_AS_REPORTED,
    *TokenCounts._fields, "tokens_from", "served_from_local_cache", "provisional", "cost_basis", "cost_microcents",
    "saved_microcents", "price_source", "prompt_hash", "tool_calls", "tags",
)  # fmt: skip
"""Of `LLMCall`, in the order of `CallArrival.row`. The first two name the row."""

_as_reported = attrgetter(*_AS_REPORTED)
_tokens_of = attrgetter(*TokenCounts._fields)


class CallArrival(Struct, gc=False):
    index: int
    report: CallReport
    call_id: str
    run_id: str
    started_at: datetime
    ended_at: datetime
    reported_started_at: datetime | None
    """Where the client's clock was not taken at its word."""
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
        return self.report.input_tokens is None or self.report.output_tokens is None

    def price(self, book: pricing.PriceBook) -> None:
        """Work out the cost at the prices of the call's own time."""
        report = self.report
        self.cost, self.saved, self.price_source = book.charge(
            report.provider, report.request_model, report.response_model, report.service_tier,
            self.started_at, self.tokens, served_from_local_cache=report.served_from_local_cache,
        )  # fmt: skip
        self.basis = "unpriced" if self.cost is None else report.usage_basis

    def sums(self) -> Sums:
        report = self.report
        return sums_of(
            self.tokens, report.status != "ok", report.usage_basis == "estimated", report.served_from_local_cache,
            self.cost, self.saved,
        )  # fmt: skip

    def place(self, agent_id: int) -> Place:
        report = self.report
        return Place(
            self.day, agent_id, report.provider, self.model, report.status, report.effort, self.tags, self.run_id
        )

    def row(
        self, workspace_id: int, agent_id: int, client_id: int | None, received_at: Any, storage: Storage
    ) -> tuple[Any, ...]:
        """The values of `COLUMNS`. `received_at` as `storage` takes it."""
        report = self.report
        time = storage.time
        return (
            workspace_id, self.call_id, agent_id, client_id, self.run_id, self.model,
            time(self.started_at), time(self.ended_at),
            None if self.reported_started_at is None else time(self.reported_started_at),
            received_at, storage.day(self.day), *_as_reported(report),
            *self.tokens, self.tokens_from, 1 if report.served_from_local_cache else 0, 1 if self.provisional else 0,
            self.basis, self.cost, self.saved, self.price_source,
            report.prompt_hash or "", storage.pairs(report.tool_calls), storage.strings(self.tags),
        )  # fmt: skip


def call_arrival(
    index: int, report: CallReport, shift: timedelta, received_at: datetime, latest: datetime
) -> CallArrival:
    """`report` with its times settled. It has no cost yet: prices are read where no repricing can come between."""
    started_at = reported_at = datetime.fromtimestamp(report.started_at, UTC)
    ended_at = datetime.fromtimestamp(report.ended_at, UTC)
    if shift or not EARLIEST <= started_at <= ended_at <= latest:  # as hardly ever
        started_at = settled(reported_at, shift, received_at, latest)
        ended_at = max(started_at, settled(ended_at, shift, received_at, latest))
    tokens = _tokens_of(report)
    if tokens[0] is None or tokens[1] is None:
        tokens = (tokens[0] or 0, tokens[1] or 0, *tokens[2:])
    tags = report.tags
    return CallArrival(
        index,
        report,
        report.call_id,
        report.run_id,
        started_at,
        ended_at,
        None if started_at is reported_at else reported_at,
        pricing.canonical_model(report.request_model, report.response_model),
        tags if len(tags) < 2 else tuple(dict.fromkeys(tags)),
        report.usage_basis == "estimated" or report.status in ("cancelled", "abandoned"),
        TokenCounts._make(tokens),
    )
