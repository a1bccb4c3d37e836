"""The unit prices of any call: entered prices first, then the price library, else unpriced. Pure of Django.

Looking a price up takes tens of microseconds, finding it again about one: a book remembers, per model as the call
names it, the stretches of time and context size it has already answered for.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from agents.pricing import library
from agents.pricing.entered import EnteredPrice
from agents.pricing.library import ALWAYS, NOT_FOUND, Found
from agents.pricing.names import bare
from langchain_plugin import wire

logger = logging.getLogger(__name__)

MODELS_REMEMBERED: Final = 4_096
"""Per book. A reporter that puts a timestamp into model names must not fill the memory."""
STRETCHES_REMEMBERED: Final = 8
"""Per model: standard and long context, around two price changes."""

STRETCHES_WALKED: Final = 20
"""Back in time, to tell since when a price holds."""


class Priced(NamedTuple):
    """What a call's tokens cost each, and who says so."""

    prices: wire.UnitPrices | None
    """None: unpriced. Never zeros that nobody stated."""
    source: str
    """For the row's `price_source`, and no longer: "price #12", "genai-prices 0.2.3"; empty when unpriced."""
    valid_up_to_input_tokens: int | None
    """The largest context these prices hold for; None: any."""


class Charge(NamedTuple):
    """What one call cost, in microcents, and who says so."""

    cost: int | None
    """None: unpriced."""
    saved: int
    source: str


MAX_COST_MICROCENTS: Final = 10**12
"""10,000 USD for one call is a mistyped price: 100 million tokens, more than any context, at 100 USD a million.

Sums stay whole by this bound alone. A column of 64 bits has room for nine million such calls, and no database says
in time when it is full: SQLite goes on with a rounded REAL, and a CHECK on the type of every sum would have to be put
back by hand after each migration that makes its table anew.
"""


class PriceBook:
    """The prices that hold for one workspace. Never changes; `agents.price_books` hands out the current one."""

    def __init__(self, entered: Sequence[EnteredPrice] = ()) -> None:
        self._entered = tuple(entered)
        self._answers: dict[tuple[str, str, str, str], list[tuple[Priced, datetime, datetime, int, int]]] = {}

    def unit_prices(
        self,
        provider: str,
        request_model: str,
        response_model: str,
        service_tier: str,
        at: datetime,
        input_tokens: int,
    ) -> Priced:
        """The unit prices of a call that began `at` (aware) with `input_tokens` in all.

        The model that answered is looked up before the one asked for; either may be empty.
        """
        key = (provider, request_model, response_model, service_tier)
        answers = self._answers.get(key)
        if answers is not None:
            for priced, begins, ends, above, up_to in answers:
                if begins <= at < ends and above < input_tokens <= up_to:
                    return priced
        found = self._find(provider, (response_model, request_model), service_tier, at, input_tokens, frozenset())
        priced = Priced(found.prices, found.source[:100], found.up_to)
        self._remember(
            key, (priced, found.begins, found.ends, found.above, wire.MAX_COUNT if found.up_to is None else found.up_to)
        )
        return priced

    def look_up(self, provider: str, model: str, service_tier: str, at: datetime, input_tokens: int = 0) -> Found:
        """As `unit_prices`, with the stretch of time and of context sizes they hold for: for people to read."""
        return self._find(provider, (model,), service_tier, at, input_tokens, frozenset())

    def since(self, provider: str, model: str, service_tier: str, at: datetime) -> datetime | None:
        """When the price that holds `at` began; None: as long as anybody knows, or not within `STRETCHES_WALKED`.

        Where a stretch begins that a date of another tier cuts off, the price may be the one from before.
        """
        found = self.look_up(provider, model, service_tier, at)
        begins = found.begins
        for _ in range(STRETCHES_WALKED):
            if begins <= ALWAYS[0]:
                return None
            before = self.look_up(provider, model, service_tier, begins - timedelta(microseconds=1))
            if (before.prices, before.source) != (found.prices, found.source):
                return begins
            begins = before.begins
        return None

    def charge(
        self,
        provider: str,
        request_model: str,
        response_model: str,
        service_tier: str,
        at: datetime,
        tokens: wire.TokenCounts,
        *,
        served_from_local_cache: bool = False,
    ) -> Charge:
        """The cost of one call: the one way from tokens to money, for new calls and for repriced ones."""
        priced = self.unit_prices(provider, request_model, response_model, service_tier, at, tokens.input_tokens)
        source = priced.source
        if priced.prices is None:
            # Whatever the model costs, LangChain's own cache answered.
            return Charge(0 if served_from_local_cache else None, 0, source)
        cost, saved = wire.cost_of(tokens, priced.prices, served_from_local_cache=served_from_local_cache)
        if cost > MAX_COST_MICROCENTS or abs(saved) > MAX_COST_MICROCENTS:
            return Charge(0 if served_from_local_cache else None, 0, f"out of bounds: {source}"[:100])
        return Charge(cost, saved, source)

    def knows(self, provider: str, request_model: str, response_model: str) -> bool:
        """False when calls named like this are unpriced whatever their time, tier and size."""
        models = _given(response_model, request_model)
        return any(price.covers(provider, _names(models)) for price in self._entered) or any(
            library.lists(provider, model) for model in models
        )

    def card_entry(
        self, provider: str, model: str, service_tier: str, at: datetime, input_tokens: int = 0
    ) -> wire.PriceCardEntry:
        """What a client is told a call of this model will cost; `input_tokens`: the context it expects."""
        prices, _, up_to = self.unit_prices(provider, model, "", service_tier, at, input_tokens)
        return wire.PriceCardEntry(
            provider=provider, model=model, service_tier=service_tier, prices=prices, valid_up_to_input_tokens=up_to
        )

    def _remember(self, key: tuple[str, str, str, str], answer: tuple[Priced, datetime, datetime, int, int]) -> None:
        # A new list each time: another thread may be reading the old one.
        answers = [answer, *self._answers.get(key, ())][:STRETCHES_REMEMBERED]
        if key not in self._answers and len(self._answers) >= MODELS_REMEMBERED:
            self._answers = {}
        self._answers[key] = answers

    def _find(
        self,
        provider: str,
        models: Sequence[str],
        service_tier: str,
        at: datetime,
        input_tokens: int,
        followed: frozenset[int],
    ) -> Found:
        models = _given(*models)
        names = _names(models)
        covering = [price for price in self._entered if price.covers(provider, names)]
        begins, ends = _stretch_between(covering, at)
        holding = [price for price in covering if price.holds(at)]
        if holding:
            found = self._entered_price(
                max(holding, key=lambda p: p.rank), provider, service_tier, at, input_tokens, followed
            )
        else:
            found = next(
                (
                    listed
                    for model in models
                    if (listed := library.find(provider, model, service_tier, at, input_tokens))
                ),
                NOT_FOUND,
            )
        return found._replace(begins=max(begins, found.begins), ends=min(ends, found.ends))

    def _entered_price(
        self,
        price: EnteredPrice,
        provider: str,
        service_tier: str,
        at: datetime,
        input_tokens: int,
        followed: frozenset[int],
    ) -> Found:
        if price.prices is not None:
            return Found(price.prices, price.source, *ALWAYS, -1, None)
        if price.id in followed:
            logger.error(
                "Price #%s is the same as itself by way of others; change one of %s.", price.id, sorted(followed)
            )
            return NOT_FOUND
        begins, ends = ALWAYS
        # Without a provider of its own it means the call's, else whoever alone makes a model of that name.
        for target in (price.same_as_provider,) if price.same_as_provider else (provider, ""):
            found = self._find(target, (price.same_as_model,), service_tier, at, input_tokens, followed | {price.id})
            begins, ends = max(begins, found.begins), min(ends, found.ends)
            if found.prices is not None:
                return found._replace(source=f"{price.source}, as {found.source}", begins=begins, ends=ends)
        return NOT_FOUND._replace(begins=begins, ends=ends)


def _given(*models: str) -> list[str]:
    return [stripped for model in models if (stripped := model.strip())]


def _names(models: Sequence[str]) -> list[str]:
    """What an entered price may call the models; of a call that names none, what a * covers."""
    return [name for model in models for name in (model, bare(model))] or [""]


def _stretch_between(prices: Sequence[EnteredPrice], at: datetime) -> tuple[datetime, datetime]:
    begins, ends = ALWAYS
    for price in prices:
        for boundary in (price.effective_from, price.effective_to):
            if boundary is None:
                continue
            if boundary <= at:
                begins = max(begins, boundary)
            else:
                ends = min(ends, boundary)
    return begins, ends
