"""Unit prices out of the `genai-prices` package, as whole microcents per million tokens. Pure of Django.

The package knows prices by date, time of day, service tier and size of the context, but takes 120-280 us a call and
computes in `Decimal`. Here its price of one model is read once for a stretch of time and of context sizes within
which nothing changes; the sum is then whole numbers (`wire.cost_of`). Tests hold the two against each other.

Where it gives no figure for a kind of token:

- cache reads, and cache writes: the input price. Conservative for reads; no discount is assumed that nobody states.
- cache writes for an hour: twice the input price for Anthropic's models, as Anthropic lists it
  (docs.claude.com, "Prompt caching", pricing table: 1.25x for five minutes, 2x for an hour); else as for five minutes.
- reasoning: the output price. Audio: the text price of its side. Output: the input price; such entries are
  embeddings and classifiers, which have no output.
- nothing at all: unpriced, unless the name ends in `:free`. The package would say 0 for both.

What is billed by the hour or the character beside its tokens is unpriced too: its tokens alone would be a fraction.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from agents.pricing.names import spellings
from agents.spend import MICROCENTS_PER_USD
from langchain_plugin import wire

if TYPE_CHECKING:
    from genai_prices import types

logger = logging.getLogger(__name__)

SMALLEST_SHARE: Final = Fraction(1, 1_000_000)
"""How far the nearest whole microcent per million tokens may be from a listed price."""
_BILLED_OTHERWISE: Final = ("audio_hours", "input_audio_hours", "output_audio_hours", "input_mchars")
ALWAYS: Final = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))
FREE: Final = wire.UnitPrices(
    input=0, output=0, cache_read=0, cache_write_5m=0, cache_write_1h=0, reasoning=0, input_audio=0, output_audio=0
)


class UnrepresentablePriceError(ValueError):
    """A listed price so small that a whole microcent per million tokens cannot stand for it."""


class Found(NamedTuple):
    """Unit prices and where they hold: `begins` <= time < `ends`, `above` < input tokens <= `up_to` (None: any)."""

    prices: wire.UnitPrices | None
    source: str
    begins: datetime
    ends: datetime
    above: int
    up_to: int | None


NOT_FOUND: Final = Found(None, "", *ALWAYS, -1, None)


def find(provider: str, model: str, service_tier: str, at: datetime, input_tokens: int) -> Found | None:
    """The library's price of a call; None where it does not know the model or gives it no price per token."""
    for home, name in spellings(provider, model):
        listed = _listed(home, name)
        if listed is not None:
            return _priced(*listed, service_tier, at, input_tokens)
    return None


def lists(provider: str, model: str) -> bool:
    """True when the library has an entry for the model, with or without a price."""
    return any(_listed(home, name) is not None for home, name in spellings(provider, model))


def context_window(provider: str, model: str) -> int | None:
    """Tokens of prompt and answer together; None where the library does not say."""
    for home, name in spellings(provider, model):
        listed = _listed(home, name)
        if listed is not None and listed[1].context_window:
            return listed[1].context_window
    return None


@lru_cache(maxsize=8192)
def _listed(home: str, name: str) -> tuple[types.Provider, types.ModelInfo] | None:
    # Imported where it is first needed: 0.4 s that `migrate` and every other command need not pay.
    from genai_prices import data_snapshot

    try:
        return data_snapshot.get_snapshot().find_provider_model(name, None, home, None)
    except LookupError:
        return None


@lru_cache(maxsize=1)
def source() -> str:
    """What a row's `price_source` says: the package and its version."""
    return f"genai-prices {version('genai-prices')}"


def _priced(
    provider: types.Provider, model: types.ModelInfo, service_tier: str, at: datetime, input_tokens: int
) -> Found | None:
    context = _context(provider.id, service_tier)
    # A model lent by another provider has the lender's standard prices: tiers are its host's own business.
    own = any(model is listed for listed in provider.models)
    listed = model.get_prices(at, context if own else None)
    begins, ends = _stretch(model, at)
    steps = sorted({tier.start for price in vars(listed).values() for tier in getattr(price, "tiers", ())})
    above = max((step for step in steps if step < input_tokens), default=-1)
    up_to = min((step for step in steps if step >= input_tokens), default=None)
    try:
        prices = _unit_prices(listed, model, input_tokens)
    except UnrepresentablePriceError as problem:
        logger.warning("%s/%s counts as unpriced: %s", provider.id, model.id, problem)
        return None
    if prices is None:
        return None
    said = source()
    if context and not (own and _has_tier(model, context, at)):
        said += f" (no {service_tier.strip().lower()[:20]} price: standard)"
    return Found(prices, said, begins, ends, above, up_to)


def _context(provider_id: str, service_tier: str) -> dict[str, str] | None:
    """The library's words for a service tier; None for the standard one."""
    tier = service_tier.strip().lower()
    if tier in ("", "auto", "default", "standard", "standard_only", "on_demand"):
        return None
    if tier == "batch":
        return {"processing": "batch"}
    if tier == "fast" and provider_id == "anthropic":
        return {"speed": "fast"}
    return {"service_tier": tier}


def _has_tier(model: types.ModelInfo, context: dict[str, str], at: datetime) -> bool:
    return any(
        all(context.get(key) == value for key, value in variant.when.items())
        and (variant.constraint is None or variant.constraint.active(at))
        for variant in model.price_variants or ()
    )


def _unit_prices(listed: types.ModelPrice, model: types.ModelInfo, input_tokens: int) -> wire.UnitPrices | None:
    def microcents(*keys: str) -> int | None:
        for key in keys:
            price: Any = vars(listed).get(key)
            if price is not None:
                return whole_microcents(_at_size(price, input_tokens))
        return None

    price_in = microcents("input_mtok")
    if any(vars(listed).get(key) is not None for key in _BILLED_OTHERWISE):
        return None
    if price_in is None:
        # An empty list of prices is how the library writes "free" and "not known" alike; the name tells them apart.
        return FREE if model.id.endswith(":free") and not any(v is not None for v in vars(listed).values()) else None
    price_out = _first(microcents("output_mtok"), price_in)
    write_5m = _first(microcents("cache_write_5m_mtok", "cache_write_mtok"), price_in)
    hour = 2 * price_in if "claude" in model.id else write_5m
    per_thousand_calls = microcents("requests_kcount") or 0
    return wire.UnitPrices(
        input=price_in,
        output=price_out,
        cache_read=_first(microcents("cache_read_mtok"), price_in),
        cache_write_5m=write_5m,
        cache_write_1h=_first(microcents("cache_write_1h_mtok"), hour),
        reasoning=_first(microcents("output_reasoning_mtok"), price_out),
        input_audio=_first(microcents("input_audio_mtok"), price_in),
        output_audio=_first(microcents("output_audio_mtok"), price_out),
        request=per_thousand_calls // 1_000,
    )


def _first(price: int | None, otherwise: int) -> int:
    return otherwise if price is None else price


def _at_size(price: Decimal | types.TieredPrices, input_tokens: int) -> Decimal:
    """The price of a whole request of this size: a step holds for every token of a request above it."""
    if isinstance(price, Decimal):
        return price
    applicable = price.base
    for tier in price.tiers:
        if input_tokens > tier.start:
            applicable = tier.price
    return applicable


def whole_microcents(usd: Decimal) -> int:
    """USD per million tokens as whole microcents per million tokens, 10^-8 USD each.

    Listed prices have at most six decimals, but for some that went through binary floats on their way into the
    library: 0.18000000000000002 for 0.18, 0.041666666666666664 for a twenty-fourth. The nearest whole number stands
    for these; it moves the cost of a million tokens by half a microcent at most. What it would move by more than a
    millionth of the price is refused.
    """
    exact = Fraction(usd) * MICROCENTS_PER_USD
    nearest = round(exact)
    if abs(exact - nearest) > exact * SMALLEST_SHARE:
        raise UnrepresentablePriceError(f"{usd} USD per million tokens is finer than a microcent per million tokens")
    return nearest


def _stretch(model: types.ModelInfo, at: datetime) -> tuple[datetime, datetime]:
    """The longest stretch around `at` in which none of the model's dates or times of day begins or ends."""
    begins, ends = ALWAYS
    constraints = [price.constraint for price in model.prices] if isinstance(model.prices, list) else []
    constraints += [variant.constraint for variant in model.price_variants or ()]
    for constraint in constraints:
        for boundary in _boundaries(constraint, at):
            if boundary <= at:
                begins = max(begins, boundary)
            else:
                ends = min(ends, boundary)
    return begins, ends


def _boundaries(constraint: Any, at: datetime) -> list[datetime]:
    """The times nearest to `at` at which a constraint turns. The library's dates and naive times are UTC."""
    if constraint is None:
        return []
    if hasattr(constraint, "start_date"):
        return [datetime.combine(constraint.start_date, time(), tzinfo=UTC)]
    today = at.astimezone(UTC).date()
    return [
        datetime.combine(today + timedelta(days=days), turn if turn.tzinfo else turn.replace(tzinfo=UTC)).astimezone(
            UTC
        )
        for turn in (constraint.start_time, constraint.end_time)
        for days in (-1, 0, 1)
    ]
