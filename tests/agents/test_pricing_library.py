"""Our whole numbers against the price library's own arithmetic, over everything it lists."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, Provider, Usage
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agents.pricing import PriceBook
from agents.pricing.library import UnrepresentablePriceError, whole_microcents
from agents.pricing.names import library_provider
from langchain_plugin.wire import TokenCounts

MICROCENTS_PER_USD = 100_000_000
BOOK = PriceBook()
"""One for all examples, so that what it remembers of one is put to the test by the others."""


def _token_priced() -> list[tuple[Provider, ModelInfo]]:
    """Every listed model that its own name finds and that has a price per input token."""
    found = []
    for provider in get_snapshot().providers:
        for model in provider.models:
            if provider.id == "openai" and "gpt-oss" in model.id:
                continue  # OpenAI does not sell it; see test_pricing_names
            prices = (
                [model.prices] if isinstance(model.prices, ModelPrice) else [entry.prices for entry in model.prices]
            )
            names_itself = provider.find_model(model.id) is model
            if names_itself and all(price.input_mtok is not None and price.audio_hours is None for price in prices):
                found.append((provider, model))
    return found


LISTED = _token_priced()
SIZES = sorted(
    {0, 1, 1_000}
    | {s + d for s in (32_000, 100_000, 128_000, 199_999, 200_000, 256_000, 272_000, 512_000, 524_288) for d in (0, 1)}
)


def test_every_provider_of_the_library_is_known_by_its_own_name() -> None:
    assert [p.id for p in get_snapshot().providers if library_provider(p.id) != p.id] == []


def test_what_is_billed_by_the_hour_beside_its_tokens_is_unpriced() -> None:
    at = datetime(2026, 11, 20, tzinfo=UTC)
    assert BOOK.unit_prices("elevenlabs", "eleven_realtime_v1_max", "", "", at, 10).prices is None


def test_most_of_the_library_is_put_to_the_test() -> None:
    assert len(LISTED) > 1_900


@st.composite
def usages(draw: st.DrawFn) -> TokenCounts:
    total_in = draw(st.sampled_from(SIZES) | st.integers(0, 1_000_000))
    left, parts = total_in, []
    for _ in range(4):
        parts.append(draw(st.integers(0, left)))
        left -= parts[-1]
    read, write_5m, write_1h, audio_in = parts
    unknown = draw(st.integers(0, left))
    total_out = draw(st.integers(0, 200_000))
    reasoning = draw(st.integers(0, total_out))
    audio_out = draw(st.integers(0, total_out - reasoning))
    return TokenCounts(total_in, total_out, read, write_5m, write_1h, unknown, reasoning, audio_in, audio_out)


def library_cost(
    provider: Provider, model: ModelInfo, tokens: TokenCounts, tier: str, at: datetime
) -> tuple[Fraction, bool]:
    """What the library comes to, in microcents before any rounding, and whether all its prices are whole microcents."""
    written = tokens.cache_write_5m_tokens + tokens.cache_write_1h_tokens + tokens.cache_write_unknown_tokens
    context: dict[str, str] | None = {"service_tier": tier} if tier else None
    if tier == "batch":
        context = {"processing": "batch"}
    elif tier == "fast" and provider.id == "anthropic":
        context = {"speed": "fast"}
    calculated = calc_price(
        Usage(
            input_tokens=tokens.input_tokens,
            output_tokens=tokens.output_tokens,
            cache_read_tokens=tokens.cache_read_tokens,
            cache_write_tokens=written,
            cache_write_1h_tokens=tokens.cache_write_1h_tokens,
            output_reasoning_tokens=tokens.reasoning_tokens,
            input_audio_tokens=tokens.input_audio_tokens,
            output_audio_tokens=tokens.output_audio_tokens,
            cache_audio_read_tokens=0,
        ),
        model.id,
        provider_id=provider.id,
        genai_request_timestamp=at,
        price_context=context,
    )
    cost = Fraction(calculated.total_price) * MICROCENTS_PER_USD
    per_thousand = calculated.model_price.requests_kcount
    if per_thousand is not None and not tokens.output_tokens:
        cost -= Fraction(per_thousand) / 1_000 * MICROCENTS_PER_USD  # no answer, no search to pay
    values = vars(calculated.model_price).values()
    flat = [
        p
        for v in values
        if v is not None
        for p in ([v] if isinstance(v, Decimal) else [v.base, *(t.price for t in v.tiers)])
    ]
    return cost, all((price * MICROCENTS_PER_USD) % 1 == 0 for price in flat)


def without_what_we_price_otherwise(
    provider: Provider, model: ModelInfo, tokens: TokenCounts, at: datetime
) -> TokenCounts:
    """Leave out the two kinds of tokens for which docs/prices.md departs from the library."""
    listed = model.get_prices(at)
    if listed.output_mtok is None:
        tokens = tokens._replace(output_tokens=0, reasoning_tokens=0, output_audio_tokens=0)
    if "claude" in model.id and listed.cache_write_1h_mtok is None:
        tokens = tokens._replace(cache_write_1h_tokens=0)
    return tokens


def assert_same(provider: Provider, model: ModelInfo, tokens: TokenCounts, tier: str, at: datetime) -> None:
    tokens = without_what_we_price_otherwise(provider, model, tokens, at)
    exact, whole = library_cost(provider, model, tokens, tier, at)
    ours = BOOK.charge(provider.id, model.id, "", tier, at, tokens).cost
    assert ours is not None
    if whole:
        assert ours == round(exact), (provider.id, model.id, tokens, tier, at)
    else:
        slack = Fraction(1, 2) + Fraction(tokens.input_tokens + tokens.output_tokens, 2_000_000)
        assert abs(ours - exact) <= slack, (provider.id, model.id, tokens, tier, at)


TIERS = ["", "default", "flex", "priority", "fast", "batch", "unheard-of"]


@settings(max_examples=1_500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    listed=st.sampled_from(LISTED),
    tokens=usages(),
    tier=st.sampled_from(TIERS),
    at=st.datetimes(datetime(2024, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),
)
@example(LISTED[0], TokenCounts(0, 0), "", datetime(2026, 11, 20, tzinfo=UTC))
def test_any_call_costs_what_the_library_says_rounded_once(
    listed: tuple[Provider, ModelInfo], tokens: TokenCounts, tier: str, at: datetime
) -> None:
    assert_same(*listed, tokens, tier, at)


def _turning_points() -> list[tuple[Provider, ModelInfo, datetime]]:
    points = []
    for provider, model in LISTED:
        constraints = [] if isinstance(model.prices, ModelPrice) else [entry.constraint for entry in model.prices]
        constraints += [variant.constraint for variant in model.price_variants or ()]
        for constraint in constraints:
            if hasattr(constraint, "start_date"):
                points.append((provider, model, datetime.combine(constraint.start_date, time(), tzinfo=UTC)))
            elif constraint is not None:
                day = datetime(2026, 11, 20, tzinfo=UTC).date()
                points += [
                    (provider, model, datetime.combine(day, at)) for at in (constraint.start_time, constraint.end_time)
                ]
    return points


def test_every_price_changes_at_the_instant_the_library_changes_it() -> None:
    points = _turning_points()
    tokens = TokenCounts(100_000, 1_000, cache_read_tokens=50_000)
    assert len(points) > 300
    for provider, model, at in points:
        for tier in ("", "flex", "batch"):
            for moment in (at - timedelta(microseconds=1), at, at + timedelta(days=1)):
                assert_same(provider, model, tokens, tier, moment)


def test_every_step_of_context_size_begins_at_the_token_the_library_begins_it() -> None:
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    stepped = 0
    for provider, model in LISTED:
        steps = {tier.start for price in vars(model.get_prices(at)).values() for tier in getattr(price, "tiers", ())}
        for step in steps:
            stepped += 1
            assert BOOK.unit_prices(provider.id, model.id, "", "", at, step).valid_up_to_input_tokens == step
            for size in (step, step + 1):
                assert_same(provider, model, TokenCounts(size, 1_000, cache_read_tokens=10), "", at)
    assert stepped > 100


UNDERSTOOD = {
    "input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_5m_mtok", "cache_write_1h_mtok",
    "output_reasoning_mtok", "input_audio_mtok", "output_audio_mtok", "requests_kcount",
}  # fmt: skip
NOT_REPORTED = {
    # LangChain reports no such count: these tokens arrive, and are priced, as text.
    "cache_audio_read_mtok", "cache_image_read_mtok", "input_image_mtok", "output_image_mtok", "input_video_mtok",
    "output_video_mtok", "output_citation_mtok",
    # Not tokens: tools and media, billed beside the call.
    "web_searches_kcount", "storage_searches_kcount", "audio_hours", "input_audio_hours", "input_document_kpages",
    "input_annotated_document_kpages", "input_mchars", "input_text_messages_kcount",
}  # fmt: skip


def test_every_kind_of_price_in_the_library_is_one_that_was_thought_about() -> None:
    listed: set[str] = set()
    for provider in get_snapshot().providers:
        for model in provider.models:
            prices: list[Any] = (
                [model.prices] if isinstance(model.prices, ModelPrice) else [e.prices for e in model.prices]
            )
            prices += [variant.prices for variant in model.price_variants or ()]
            listed.update(key for price in prices for key, value in vars(price).items() if value is not None)
    assert listed <= UNDERSTOOD | NOT_REPORTED


@pytest.mark.parametrize(
    ("usd", "microcents"),
    [
        ("2.5", 250_000_000),
        ("0.00000001", 1),
        ("0.18000000000000002", 18_000_000),  # 0.18 by way of a binary float
        ("0.041666666666666664", 4_166_667),  # a twenty-fourth
        ("0", 0),
    ],
)
def test_a_listed_price_becomes_whole_microcents(usd: str, microcents: int) -> None:
    assert whole_microcents(Decimal(usd)) == microcents


@pytest.mark.parametrize("usd", ["0.000000001", "0.000000015", "0.00001234567"])
def test_a_price_that_whole_microcents_would_falsify_is_refused(usd: str) -> None:
    with pytest.raises(UnrepresentablePriceError, match="finer than a microcent"):
        whole_microcents(Decimal(usd))


def test_every_price_in_the_library_can_be_represented() -> None:
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    for provider, model in LISTED:
        assert BOOK.unit_prices(provider.id, model.id, "", "", at, 1_000).prices is not None, (provider.id, model.id)
