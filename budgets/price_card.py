"""What a client needs to know to hold a call's worst case: prices and lengths of the models an agent uses."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings

from agents.models import Agent, LedgerState, UsageDay
from agents.output_bounds import LEAST_TOKENS, output_bounds
from agents.price_books import price_book
from agents.spend import MICROCENTS_PER_USD
from budgets.model_maxima import maxima
from langchain_plugin import wire, wire_leases

USED_WITHIN: Final = timedelta(days=30)
MAX_MODELS: Final = 100
BOUNDS_KEPT_SECONDS: Final = 300.0
NO_MAXIMUM: Final = wire.MAX_TOKENS_PER_CALL
AGENTS_KEPT: Final = 1_000

_bounds: dict[int, tuple[float, dict[str, int], list[tuple[str, str]]]] = {}
"""By agent id: when they were read (monotonic), bounds by model, and the models used."""


def price_card(agent: Agent, asked: Iterable[wire_leases.ModelAsked], now: datetime) -> list[wire_leases.LeasePrice]:
    """The models asked for, then those the agent used in 30 days, each once; at most `MAX_MODELS`."""
    bounds, used = _recent(agent, now)
    named = [(model.provider, model.model, model.service_tier) for model in asked]
    named += [(provider, model, "") for provider, model in used]
    if agent.default_model:
        named += [(provider, agent.default_model, "") for provider in {provider for provider, _, _ in named} or {""}]
    book = price_book(agent.workspace_id)
    chosen = list(dict.fromkeys(named))[:MAX_MODELS]
    longest = maxima((provider, model) for provider, model, _ in chosen)
    return [
        wire_leases.LeasePrice(
            **dict(book.card_entry(provider, model, tier, now)),
            output_bound_tokens=min(bounds.get(model, LEAST_TOKENS), longest.get((provider, model), NO_MAXIMUM)),
        )
        for provider, model, tier in chosen
    ]


def fallback_of(card: Iterable[wire_leases.LeasePrice]) -> wire.UnitPrices:
    """Prices that no model on the card exceeds in any kind of token; where none has a price, the setting's."""
    priced = [entry.prices for entry in card if entry.prices is not None]
    if not priced:
        input_price, output_price = (price * MICROCENTS_PER_USD for price in settings.COSTSITE_FALLBACK_PRICE)
        return wire.UnitPrices(
            input=input_price,
            output=output_price,
            cache_read=input_price,
            cache_write_5m=input_price,
            cache_write_1h=input_price,
            reasoning=output_price,
            input_audio=input_price,
            output_audio=output_price,
        )
    return wire.UnitPrices(
        **{name: max(getattr(prices, name) for prices in priced) for name in wire.UnitPrices.model_fields}
    )


def _recent(agent: Agent, now: datetime) -> tuple[dict[str, int], list[tuple[str, str]]]:
    known = _bounds.get(agent.pk)
    if known is not None and known[0] > time.monotonic() - BOUNDS_KEPT_SECONDS:
        return known[1], known[2]
    since = LedgerState.current().days().of(now - USED_WITHIN)
    used = list(
        UsageDay.objects.filter(agent=agent, day__gte=since)
        .order_by()
        .values_list("provider", "model")
        .distinct()[:MAX_MODELS]
    )
    bounds = output_bounds(agent.workspace_id, agent.pk)
    if len(_bounds) >= AGENTS_KEPT:
        _bounds.clear()
    _bounds[agent.pk] = (time.monotonic(), bounds, used)
    return bounds, used
