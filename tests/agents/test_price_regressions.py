"""What calls cost, worked out by hand from the providers' price lists. A library's update that changes one is seen.

All sums are in USD per million tokens first; 1 USD is 100,000,000 microcents.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agents.pricing import PriceBook
from langchain_plugin.wire import TokenCounts

NOVEMBER = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def cost(provider: str, model: str, tokens: TokenCounts, *, tier: str = "", at: datetime = NOVEMBER) -> int | None:
    return PriceBook().charge(provider, model, "", tier, at, tokens).cost


def test_gpt_4o_with_half_of_the_prompt_cached() -> None:
    # 2.50 in, 1.25 cached, 10 out: 5,000 x 2.50 + 5,000 x 1.25 + 1,000 x 10 = 28,750 / 1M = 0.02875 USD
    tokens = TokenCounts(10_000, 1_000, cache_read_tokens=5_000)
    assert cost("openai", "gpt-4o", tokens) == 2_875_000


def test_reasoning_of_o4_mini_is_paid_as_output_once() -> None:
    # 1.10 in, 4.40 out, reasoning within output: 2,000 x 1.10 + 3,000 x 4.40 = 15,400 / 1M = 0.0154 USD
    tokens = TokenCounts(2_000, 3_000, reasoning_tokens=2_560)
    assert cost("openai", "o4-mini", tokens) == 1_540_000


@pytest.mark.parametrize(
    ("at", "microcents"),
    [
        # Until 9 June 2025 o3 was 10 in, 40 out: 1,000 x 10 + 1,000 x 40 = 50,000 / 1M = 0.05 USD
        (datetime(2025, 6, 9, 23, 59, 59, tzinfo=UTC), 5_000_000),
        # From 10 June 2 in, 8 out: 10,000 / 1M = 0.01 USD
        (datetime(2025, 6, 10, tzinfo=UTC), 1_000_000),
    ],
)
def test_o3_costs_what_it_cost_on_the_day_of_the_call(at: datetime, microcents: int) -> None:
    assert cost("openai", "o3", TokenCounts(1_000, 1_000), at=at) == microcents


def test_claude_sonnet_4_5_with_reads_and_writes_of_both_lifetimes() -> None:
    # 3 in, 0.30 read, 3.75 written for 5 minutes, 6 for an hour, 15 out:
    # 100 x 3 + 5,000 x 0.30 + 500 x 3.75 + 1,500 x 6 + 50 x 15 = 13,425 / 1M = 0.013425 USD
    tokens = TokenCounts(7_100, 50, cache_read_tokens=5_000, cache_write_5m_tokens=500, cache_write_1h_tokens=1_500)
    assert cost("anthropic", "claude-sonnet-4-5-20250929", tokens) == 1_342_500


@pytest.mark.parametrize(
    ("input_tokens", "microcents"),
    [
        # At 200,000: 200,000 x 3 + 1,000 x 15 = 615,000 / 1M = 0.615 USD
        (200_000, 61_500_000),
        # One more, and every token of the request is dearer: 200,001 x 6 + 1,000 x 22.50 = 1,222,506 / 1M
        (200_001, 122_250_600),
    ],
)
def test_claude_sonnet_4_5_is_dearer_above_200_000_tokens(input_tokens: int, microcents: int) -> None:
    assert cost("anthropic", "claude-sonnet-4-5", TokenCounts(input_tokens, 1_000)) == microcents


def test_cached_tokens_count_for_the_size_of_the_context() -> None:
    # 150,000 read + 60,000 fresh is 210,000 of context: 150,000 x 0.60 + 60,000 x 6 + 100 x 22.50 = 452,250 / 1M
    tokens = TokenCounts(210_000, 100, cache_read_tokens=150_000)
    assert cost("anthropic", "claude-sonnet-4-5", tokens) == 45_225_000


@pytest.mark.parametrize(
    ("input_tokens", "microcents"),
    [
        # 1.25 in, 10 out up to 200,000: 200,000 x 1.25 + 1,000 x 10 = 260,000 / 1M = 0.26 USD
        (200_000, 26_000_000),
        # 2.50 in, 15 out above: 200,001 x 2.50 + 1,000 x 15 = 515,002.5 / 1M = 0.5150025 USD
        (200_001, 51_500_250),
    ],
)
@pytest.mark.parametrize("model", ["gemini-2.5-pro", "models/gemini-2.5-pro"])
def test_gemini_2_5_pro_is_dearer_above_200_000_tokens(model: str, input_tokens: int, microcents: int) -> None:
    assert cost("google_genai", model, TokenCounts(input_tokens, 1_000)) == microcents


@pytest.mark.parametrize(
    ("tier", "microcents"),
    [
        # Standard 1.25 in, 0.125 cached, 10 out: 2,000 x 1.25 + 8,000 x 0.125 + 1,000 x 10 = 13,500 / 1M
        ("", 1_350_000),
        ("default", 1_350_000),
        # Flex is half of each, priority twice.
        ("flex", 675_000),
        ("priority", 2_700_000),
    ],
)
def test_gpt_5_costs_by_its_service_tier(tier: str, microcents: int) -> None:
    assert cost("openai", "gpt-5", TokenCounts(10_000, 1_000, cache_read_tokens=8_000), tier=tier) == microcents


def test_a_batch_of_claude_is_half_price() -> None:
    # 1.50 in, 7.50 out: 1,000 x 1.50 + 1,000 x 7.50 = 9,000 / 1M = 0.009 USD
    assert cost("anthropic", "claude-sonnet-4-5", TokenCounts(1_000, 1_000), tier="batch") == 900_000


def test_a_realtime_model_hears_and_speaks_at_audio_prices() -> None:
    # gpt-realtime: text 4 in, 16 out; audio 32 in, 64 out:
    # 400 x 4 + 600 x 32 + 100 x 16 + 500 x 64 = 54,400 / 1M = 0.0544 USD
    tokens = TokenCounts(1_000, 600, input_audio_tokens=600, output_audio_tokens=500)
    assert cost("openai", "gpt-realtime", tokens) == 5_440_000


def test_audio_without_a_listed_price_is_priced_as_text() -> None:
    # gpt-4o-mini-audio-preview lists text alone: 0.15 in, 0.60 out: 1,000 x 0.15 + 600 x 0.60 = 510 / 1M
    tokens = TokenCounts(1_000, 600, input_audio_tokens=600, output_audio_tokens=500)
    assert cost("openai", "gpt-4o-mini-audio-preview", tokens) == 51_000


def test_bedrock_by_region_is_a_tenth_dearer_than_global() -> None:
    # 3.30 + 16.50 against 3 + 15, for 1,000 tokens each way
    tokens, model = TokenCounts(1_000, 1_000), "anthropic.claude-sonnet-4-5-20250929-v1:0"
    assert cost("bedrock_converse", f"us.{model}", tokens) == 1_980_000
    assert cost("amazon_bedrock", f"global.{model}", tokens) == 1_800_000
    assert cost("amazon_bedrock", f"arn:aws:bedrock:eu-west-1:12:inference-profile/eu.{model}", tokens) == 1_980_000


def test_vertex_writes_to_the_cache_for_an_hour_at_twice_the_input_price() -> None:
    # The library lists 3 in and 3.75 written for 5 minutes there, and nothing for an hour: 1,000 x 2 x 3 = 6,000 / 1M
    tokens = TokenCounts(1_000, 0, cache_write_1h_tokens=1_000)
    assert cost("google_vertexai", "claude-3-7-sonnet@20250219", tokens) == 600_000


def test_a_fine_tuned_model_has_its_own_price() -> None:
    # ft:gpt-4o-mini 0.30 in, 1.20 out, twice the base model's: 1,000 x 0.30 + 1,000 x 1.20 = 1,500 / 1M
    assert cost("openai", "ft:gpt-4o-mini-2024-07-18:acme::a1b2", TokenCounts(1_000, 1_000)) == 150_000
    assert cost("openai", "ft:gpt-4.1-2025-04-14:acme::a1b2", TokenCounts(1_000, 1_000)) is None


def test_a_search_model_charges_for_the_search_too() -> None:
    # sonar: 1 in, 1 out, and 12 per 1,000 requests: (500 + 300) / 1M + 0.012 = 0.0128 USD
    assert cost("perplexity", "sonar", TokenCounts(500, 300)) == 1_280_000
    # A call that got no answer searched nothing: 500 / 1M = 0.0005 USD
    assert cost("perplexity", "sonar", TokenCounts(500, 0)) == 50_000


@pytest.mark.parametrize(
    ("hour", "microcents"),
    [
        # 0.27 in, 1.10 out by day: 1,000 x 0.27 + 1,000 x 1.10 = 1,370 / 1M
        (12, 137_000),
        # 0.135 in, 0.55 out from 16:30 to 00:30 UTC
        (20, 68_500),
    ],
)
def test_deepseek_costs_by_the_hour(hour: int, microcents: int) -> None:
    at = datetime(2026, 11, 20, hour, tzinfo=UTC)
    assert cost("deepseek", "deepseek-chat", TokenCounts(1_000, 1_000), at=at) == microcents


def test_an_embedding_is_paid_by_its_input() -> None:
    # text-embedding-3-small: 0.02 in: 1,000,000 x 0.02 / 1M = 0.02 USD
    assert cost("openai", "text-embedding-3-small", TokenCounts(1_000_000, 0)) == 2_000_000


def test_half_a_microcent_goes_to_the_even_one() -> None:
    # gpt-4.1-nano 0.10 in, 0.025 cached: 1 cached token is 2.5 microcents, 3 are 7.5: to 2 and to 8
    assert cost("openai", "gpt-4.1-nano", TokenCounts(1, 0, cache_read_tokens=1)) == 2
    assert cost("openai", "gpt-4.1-nano", TokenCounts(3, 0, cache_read_tokens=3)) == 8
