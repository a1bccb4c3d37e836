"""What calls may cost, and did, by the prices that came with a lease. Money in microcents."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from langchain_plugin.hold import hold_of

if TYPE_CHECKING:
    from langchain_plugin.wire import TokenCounts, UnitPrices
    from langchain_plugin.wire_leases import LeaseAnswer, LeasePrice

LEAST_OUTPUT_TOKENS = 4_096

Model = tuple[str, str, str]
"""Provider, model and service tier, as the request names them."""


class Size(NamedTuple):
    """What bounds a call's cost."""

    model: Model
    input_tokens: int
    """At most."""
    max_output_tokens: int | None
    """Of each answer; None: the request sets no maximum."""
    answers: int


class LeasePrices:
    """Of one agent. Never changes: each answer of the site makes new ones."""

    def __init__(self, answer: LeaseAnswer | None = None) -> None:
        self._by_model: dict[Model, LeasePrice] = {}
        self._fallback: UnitPrices | None = None
        self._fallback_output_tokens = LEAST_OUTPUT_TOKENS
        self._unpriced = "allow"
        if answer is not None:
            self._by_model = {(e.provider, e.model, e.service_tier): e for e in answer.price_card}
            self._fallback = answer.fallback
            self._fallback_output_tokens = answer.fallback_output_bound_tokens
            self._unpriced = answer.unpriced

    def __contains__(self, model: Model) -> bool:
        """It is on the card: the fallback is not for it."""
        return model in self._by_model

    def worst_case(self, size: Size) -> int | None:
        """What a call may cost; None: it has no price, and is to be refused for that."""
        entry = self._by_model.get(size.model)
        prices, output_tokens = self._fallback, self._fallback_output_tokens
        if entry is not None:
            output_tokens = entry.output_bound_tokens
            if entry.prices is not None:
                prices = entry.prices
            elif self._unpriced == "refuse":
                return None
            elif self._unpriced == "allow":
                return 0
        if size.max_output_tokens is not None:
            output_tokens = size.max_output_tokens
        return 0 if prices is None else hold_of(prices, size.input_tokens, output_tokens * size.answers)

    def cost_of(self, model: Model, counts: TokenCounts, *, served_from_local_cache: bool) -> int:
        """What an ended call cost; 0 where it has no price."""
        from langchain_plugin.wire_prices import cost_of  # pydantic, which a process without calls need not load

        entry = self._by_model.get(model)
        prices = entry.prices if entry is not None else self._fallback
        if prices is None:
            return 0
        return cost_of(counts, prices, served_from_local_cache=served_from_local_cache).cost
