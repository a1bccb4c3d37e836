"""What a call's cost is made of: worked out by hand, and held against the one rule that makes costs."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.pricing import PriceBook
from agents.pricing.entered import EnteredPrice
from agents.pricing.parts import NOTHING, Parts, cost_by_kind, parts_of_cost, tokens_by_kind
from langchain_plugin.wire import TokenCounts, UnitPrices, cost_of

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
DOLLAR = 100_000_000
PRICES = UnitPrices(
    input=3 * DOLLAR, output=15 * DOLLAR, cache_read=30_000_000, cache_write_5m=375_000_000,
    cache_write_1h=6 * DOLLAR, reasoning=15 * DOLLAR, input_audio=40 * DOLLAR, output_audio=80 * DOLLAR,
    request=500_000,
)  # fmt: skip


def test_each_kind_costs_its_tokens_at_its_price() -> None:
    tokens = TokenCounts(
        10_000, 1_000, cache_read_tokens=5_000, cache_write_5m_tokens=400, cache_write_1h_tokens=300,
        cache_write_unknown_tokens=100, reasoning_tokens=600, input_audio_tokens=200, output_audio_tokens=50,
    )  # fmt: skip

    assert tokens_by_kind(tokens) == Parts(4_000, 5_000, 800, 200, 350, 600, 50, 1)
    # Microcents a token: 300 in, 30 read, 375 and 600 written, 4,000 heard, 1,500 out, 8,000 said.
    assert cost_by_kind(tokens, PRICES) == Parts(
        4_000 * 300, 5_000 * 30, 500 * 375 + 300 * 600, 200 * 4_000, 350 * 1_500, 600 * 1_500, 50 * 8_000, 500_000
    )


def test_what_single_amounts_lack_goes_to_those_that_lack_least() -> None:
    # 0.6 microcents read and 0.7 fresh are 1.3: one in all, and it is of the fresh ones.
    prices = PRICES.model_copy(update={"input": 700_000, "cache_read": 600_000})

    assert cost_by_kind(TokenCounts(2, 0, cache_read_tokens=1), prices) == NOTHING._replace(fresh=1)


counts = st.integers(0, 300_000)
unit_prices = st.integers(0, 10**12)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.tuples(*[counts] * 7), st.booleans(), st.tuples(*[unit_prices] * 9))
def test_the_kinds_come_to_the_cost_to_the_microcent(
    of_kinds: tuple[int, ...], overlapping: bool, prices: tuple[int, ...]
) -> None:
    fresh, read, short, hour, unknown, visible, reasoning = of_kinds
    cached = read + short + hour + unknown
    heard = fresh + cached if overlapping else fresh // 2  # some providers count cached audio twice
    tokens = TokenCounts(
        fresh + cached, visible + reasoning, read, short, hour, unknown, reasoning, heard, visible // 3
    )
    each = UnitPrices(**dict(zip(UnitPrices.model_fields, prices, strict=True)))

    parts = cost_by_kind(tokens, each)

    assert sum(parts) == cost_of(tokens, each).cost
    assert min(parts) >= 0
    assert sum(tokens_by_kind(tokens)[:7]) == tokens.input_tokens + tokens.output_tokens
    assert all(count or not cost for count, cost in zip(tokens_by_kind(tokens), parts, strict=True))


def of_book(prices: UnitPrices, tokens: TokenCounts, *, cost: int, saved: int, cached: bool = False) -> Parts | None:
    entered = EnteredPrice(1, True, "", "acme-1", prices, datetime(2020, 1, 1, tzinfo=UTC))
    book = PriceBook([entered])
    return parts_of_cost(
        book, "acme", "acme-1", "", "", NOON, tokens, cost=cost, saved=saved, served_from_local_cache=cached
    )


def test_a_cost_that_the_prices_of_now_no_longer_come_to_is_not_taken_apart() -> None:
    tokens = TokenCounts(1_000, 100, cache_read_tokens=500)
    cost, saved = cost_of(tokens, PRICES)

    assert of_book(PRICES, tokens, cost=cost, saved=saved) == cost_by_kind(tokens, PRICES)
    assert of_book(PRICES, tokens, cost=cost - 1, saved=saved) is None
    assert of_book(PRICES, tokens, cost=cost, saved=saved + 1) is None
    assert parts_of_cost(PriceBook(), "acme", "acme-1", "", "", NOON, tokens, cost=cost, saved=saved) is None


def test_what_langchains_cache_answered_is_made_of_nothing() -> None:
    tokens = TokenCounts(1_000, 100)

    assert of_book(PRICES, tokens, cost=0, saved=999, cached=True) == NOTHING
