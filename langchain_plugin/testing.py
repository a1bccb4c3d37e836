"""What a test's model calls used and would have cost: in memory, offline, with nothing written or sent.

`pytest_plugin.py` hands it to tests as the fixture `costsite`. Prices are those given with `Recording.price`, else the
library genai-prices', where it is installed (`pip install "costsite[testing]"`).
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from langchain_core.tracers.context import register_configure_hook

from langchain_plugin import wire
from langchain_plugin.config import Config
from langchain_plugin.handler import CostCallbackHandler
from langchain_plugin.reporter import Reporter
from langchain_plugin.shown import show_cents

__all__ = ["RecordedCall", "Recording"]

CENTS_PER_USD = 100


@dataclass(frozen=True)
class RecordedCall:
    """One model call. Counts are inclusive: `input_tokens` contains what was read from a cache."""

    provider: str
    model: str
    """As the request names it."""
    step: str
    """The node of the graph that made it; empty where there is none."""
    status: str
    """`ok`, `error`, `cancelled` or `abandoned`."""
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    estimated: bool
    """The provider reported no usage; the counts are worked out from lengths."""
    cost_cents: Decimal | None
    """None: its price is not known."""

    def __str__(self) -> str:
        where = f" in step {self.step}" if self.step else ""
        cost = "unpriced" if self.cost_cents is None else _shown(self.cost_cents)
        return f"{self.model or 'a model'}{where}, {cost}: {self.input_tokens:,} in, {self.output_tokens:,} out"


@dataclass(frozen=True)
class _Price:
    """USD per million tokens."""

    input: Decimal
    output: Decimal
    cache_read: Decimal


@dataclass
class Recording:
    """The model calls of a test, in the order they ended."""

    calls: list[RecordedCall] = field(default_factory=list)
    _prices: dict[str, _Price] = field(default_factory=dict)

    def price(self, model: str, *, input: float, output: float, cache_read: float | None = None) -> None:
        """Give a model its price in USD per million tokens, for the calls that follow; 0 for what costs nothing."""
        reads = input if cache_read is None else cache_read
        self._prices[model] = _Price(Decimal(str(input)), Decimal(str(output)), Decimal(str(reads)))

    @property
    def input_tokens(self) -> int:
        return sum(call.input_tokens for call in self.calls)

    @property
    def output_tokens(self) -> int:
        return sum(call.output_tokens for call in self.calls)

    @property
    def cost_cents(self) -> Decimal | None:
        """What all calls together cost; None when the price of one is not known."""
        costs = [call.cost_cents for call in self.calls]
        return None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0))

    def too_dear(self, limit_cents: Decimal) -> str | None:
        """Why the calls cost more than `limit_cents`, or may; None when they do not."""
        for call in self.calls:
            if call.cost_cents is None:
                return (
                    f"The cost is not known: {call.model or 'a model'} has no price here. Give it one with "
                    f'costsite.price("{call.model}", input=…, output=…) in USD per million tokens, or install '
                    "costsite[testing] for the models that are listed."
                )
        cost = self.cost_cents
        if cost is None or cost <= limit_cents:
            return None
        dearest = max(self.calls, key=lambda call: call.cost_cents or 0)
        count = f"{len(self.calls)} call" + ("" if len(self.calls) == 1 else "s")
        return f"Cost {_shown(cost)} of at most {_shown(limit_cents)} in {count}. The dearest: {dearest}."

    def _add(self, event: dict[str, Any]) -> None:
        tokens = {name: event.get(name) or 0 for name in wire.TokenCounts._fields}
        counts = wire.TokenCounts(**tokens)
        model = event.get("request_model", "")
        if event.get("served_from_local_cache"):
            cost: Decimal | None = Decimal(0)
        elif (price := self._prices.get(model)) is not None:
            fresh = counts.input_tokens - counts.cache_read_tokens
            dollars = fresh * price.input + counts.cache_read_tokens * price.cache_read
            cost = (dollars + counts.output_tokens * price.output) / 1_000_000 * CENTS_PER_USD
        else:
            cost = _listed(event.get("provider", ""), model, event.get("response_model", ""), counts)
        self.calls.append(
            RecordedCall(
                provider=event.get("provider", ""),
                model=model,
                step=event.get("step", ""),
                status=event["status"],
                input_tokens=counts.input_tokens,
                output_tokens=counts.output_tokens,
                cache_read_tokens=counts.cache_read_tokens,
                cache_write_tokens=sum(counts[3:6]),
                reasoning_tokens=counts.reasoning_tokens,
                estimated=event.get("usage_basis") == "estimated",
                cost_cents=cost,
            )
        )


def _shown(cents: Decimal) -> str:
    return show_cents(round(cents * wire.MICROCENTS_PER_CENT))


def _listed(provider: str, model: str, response_model: str, counts: wire.TokenCounts) -> Decimal | None:
    """What the price library says the tokens cost; None where it is not installed, or does not know the model."""
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None
    usage = Usage(
        input_tokens=counts.input_tokens,
        output_tokens=counts.output_tokens,
        cache_read_tokens=counts.cache_read_tokens,
        cache_write_tokens=sum(counts[3:6]),
        input_audio_tokens=counts.input_audio_tokens,
        output_audio_tokens=counts.output_audio_tokens,
    )
    for name in filter(None, (response_model, model)):
        for whose in (provider, None):  # LangChain's word for a provider, else whoever has the model
            try:
                dollars: Decimal = calc_price(usage, model_ref=name, provider_id=whose).total_price
            except LookupError:
                continue
            if dollars or not (counts.input_tokens or counts.output_tokens):
                return dollars * CENTS_PER_USD
    return None


# ── watching ─────────────────────────────────────────────────────────────────────────────────────────────────────

active: Recording | None = None
"""Of the test that runs; None between tests."""
_handler: CostCallbackHandler | None = None


class _ToTheActive(Reporter):
    """Takes what a handler reports, and hands it to the test that runs."""

    def __init__(self) -> None:
        super().__init__(Config.resolve(environ={}))
        self.sends = True  # or the handler would not make the events

    def append(self, *events: dict[str, Any]) -> None:
        if active is not None:
            for event in events:
                if event["type"] == "llm_call":
                    active._add(event)

    def fingerprint(self, *args: Any) -> None:
        pass


def record(recording: Recording | None) -> None:
    """Have `recording` take every model call of the process from now on; None: nobody does."""
    global active, _handler
    if _handler is None:
        # By default value, which every thread and task sees, and beside the callbacks that the tested code uses itself.
        _handler = CostCallbackHandler.reporting_to(_ToTheActive())
        register_configure_hook(ContextVar("costsite_test_handler", default=_handler), inheritable=True)
    active = recording
