"""What `costs.last_run` shows: the run that ended last, in one line."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from langchain_plugin import wire
from langchain_plugin.shown import show_cents

if TYPE_CHECKING:
    from langchain_plugin.reporter import Reporter

MAX_CALLS_KEPT = 10_000
"""So many calls of a run are kept, to be priced later; a run with more is summed at the site, and has no cost here."""
PRICE_WAIT_SECONDS = 1.0
"""How long printing waits, once per run, for the Receipt that brings a new model's price."""


class CountedCall(NamedTuple):
    """What a cost is worked out from."""

    provider: str
    request_model: str
    service_tier: str
    counts: wire.TokenCounts
    served_from_local_cache: bool
    is_estimated: bool


class _Sums(NamedTuple):
    calls: int
    input_tokens: int
    output_tokens: int
    estimated_calls: int


_NO_SUMS = _Sums(0, 0, 0, 0)
# Reentrant: the garbage collector may close an abandoned stream, and so count a call, while this is held.
_adding = threading.RLock()


def _sums(calls: Sequence[CountedCall], sums: _Sums) -> _Sums:
    return _Sums(
        sums.calls + len(calls),
        sums.input_tokens + sum(call.counts.input_tokens for call in calls),
        sums.output_tokens + sum(call.counts.output_tokens for call in calls),
        sums.estimated_calls + sum(call.is_estimated for call in calls),
    )


class LastRun:
    """The sums of one run; its cost as soon as the prices are known. Safe to read while the run goes on."""

    def __init__(self, agent: str, run_id: str, reporter: Reporter) -> None:
        self.agent = agent
        self.run_id = run_id
        self.status = "running"
        self._reporter = reporter
        # Appended to by any thread, and added up by whoever reads: most runs are read never, or once.
        self._counted: list[CountedCall] = []
        self._beyond = _NO_SUMS
        self._waited = False

    def add(self, call: CountedCall) -> None:
        """Count a call. Costs the caller's thread an append."""
        if len(self._counted) < MAX_CALLS_KEPT:
            self._counted.append(call)
        else:
            with _adding:
                self._beyond = _sums([call], self._beyond)

    @property
    def calls(self) -> int:
        return self._beyond.calls + len(self._counted)

    @property
    def input_tokens(self) -> int:
        return _sums(tuple(self._counted), self._beyond).input_tokens

    @property
    def output_tokens(self) -> int:
        return _sums(tuple(self._counted), self._beyond).output_tokens

    @property
    def estimated_calls(self) -> int:
        """Calls whose provider reported no usage, or that were cut short."""
        return _sums(tuple(self._counted), self._beyond).estimated_calls

    @property
    def cost_microcents(self) -> int | None:
        """Estimated cost in microcents (10^-8 USD); None while a model's price is not known here."""
        if self._beyond.calls:
            return None
        total = 0
        for call in tuple(self._counted):
            prices = self._prices(call)
            if prices is None:
                return None
            total += wire.cost_of(call.counts, prices, served_from_local_cache=call.served_from_local_cache).cost
        return total

    @property
    def cost_cents(self) -> Decimal | None:
        """Estimated cost in cents, exact; None while a model's price is not known here."""
        cost = self.cost_microcents
        return None if cost is None else Decimal(cost) / wire.MICROCENTS_PER_CENT

    def _prices(self, call: CountedCall) -> wire.UnitPrices | None:
        return self._reporter.news.unit_prices(
            call.provider, call.request_model, call.service_tier, call.counts.input_tokens
        )

    def _is_settled(self) -> bool:
        """Every price is known, or known to be missing."""
        return all(
            self._reporter.news.knows_model(call.provider, call.request_model, call.service_tier)
            for call in tuple(self._counted)
        )

    def __str__(self) -> str:
        """One line for people. Waits at most a second, once, where a model was never priced before; never on a loop."""
        if self._reporter.sends and not self._waited and not _on_event_loop():
            self._waited = True
            self._reporter.news.wait_for(self._is_settled, PRICE_WAIT_SECONDS)
        parts = [
            f"{self.calls} call" + ("" if self.calls == 1 else "s"),
            f"{self.input_tokens:,} in",
            f"{self.output_tokens:,} out",
            self._cost_in_words(),
        ]
        budget = self._reporter.budget(self.agent)
        if budget is not None:
            left = max(0, budget.limit_microcents - budget.spent_microcents)
            parts.append(f"{show_cents(left)} of {show_cents(budget.limit_microcents)} left")
        return f"{self.agent}: " + ", ".join(parts)

    def _cost_in_words(self) -> str:
        cost = self.cost_microcents
        if cost is not None:
            words = show_cents(cost)
        elif not self._reporter.sends:
            words = "cost unknown without an API key"
        else:
            words = "unpriced" if self._is_settled() else "cost not known yet"
        return words + (" (estimated usage)" if self.estimated_calls else "")

    def __repr__(self) -> str:
        return f"<LastRun {self.agent} {self.run_id} {self.status}: {self.calls} calls>"


def _on_event_loop() -> bool:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
