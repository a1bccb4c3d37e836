"""Names as LangChain, routers and clouds write them, and which price they lead to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agents.pricing import PriceBook, canonical_model
from agents.pricing.names import bare, is_local, library_provider, same_provider

AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def input_price(provider: str, request_model: str, response_model: str = "") -> float | None:
    """USD per million tokens."""
    prices = PriceBook().unit_prices(provider, request_model, response_model, "", AT, 1_000).prices
    return None if prices is None else prices.input / 100_000_000


@pytest.mark.parametrize(
    ("provider", "model", "usd"),
    [
        ("openai", "gpt-4o", 2.5),
        ("openai", "openai/gpt-4o", 2.5),
        ("openai", "openai:gpt-4o", 2.5),
        ("OpenAI", "GPT-4o", 2.5),
        ("azure", "gpt-4o", 2.5),
        ("azure_openai", "azure/gpt-4o", 2.5),
        ("azure_ai", "claude-sonnet-4-5", 3),
        ("anthropic", "claude-sonnet-4-5", 3),
        ("anthropic", "anthropic:claude-sonnet-4-5", 3),
        ("anthropic", "claude-3-5-sonnet-latest", 3),
        ("amazon_bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", 3.3),
        ("bedrock_converse", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", 3),
        ("bedrock", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-5-20250929-v1:0", 3.3),
        ("bedrock_converse", "us.amazon.nova-lite-v1:0", 0.06),
        ("bedrock_converse", "apac.amazon.nova-lite-v1:0", 0.06),
        ("bedrock_converse", "us.meta.llama3-3-70b-instruct-v1:0", 0.72),
        ("google_genai", "models/gemini-2.5-pro", 1.25),
        ("google_vertexai", "publishers/google/models/gemini-2.5-pro", 1.25),
        ("google_vertexai", "projects/p/locations/us/publishers/google/models/gemini-2.5-pro", 1.25),
        ("google_vertexai", "claude-sonnet-4-5@20250929", 3),
        ("google_anthropic_vertex", "claude-sonnet-4-5@default", 3),
        ("mistralai", "mistral-large-2411", 2),
        ("xai", "grok-4", 3),
        ("groq", "llama-3.3-70b-versatile", 0.59),
        ("groq", "openai/gpt-oss-20b", 0.075),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", 0.88),
        ("fireworks", "accounts/fireworks/models/llama-v3p1-8b-instruct", 0.2),
        ("deepseek", "deepseek-chat", 0.27),
        ("databricks", "databricks-meta-llama-3-3-70b-instruct", 0.5),
        ("openrouter", "anthropic/claude-sonnet-4.5", 3),
        ("openrouter", "meta-llama/llama-3.3-70b-instruct:free", 0),
        ("perplexity", "sonar-pro", 3),
        ("cohere", "command-r-08-2024", 0.15),
        ("huggingface_groq", "openai/gpt-oss-20b", 0.1),
        # An OpenAI client in front of a router, and routers that say whose the model is.
        ("openai", "anthropic/claude-sonnet-4-5", 3),
        ("litellm", "anthropic/claude-sonnet-4-5", 3),
        ("litellm", "gpt-4o", 2.5),
        ("", "gpt-4o", 2.5),
        ("", "google_genai:gemini-2.5-pro", 1.25),
    ],
)
def test_a_name_leads_to_its_price(provider: str, model: str, usd: float) -> None:
    assert input_price(provider, model) == usd


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("ollama", "llama3.1:8b"),
        ("ollama", "gpt-oss:20b"),
        ("huggingface", "gpt-4o"),
        ("llama_cpp", "gpt-4o"),
        ("llama.cpp", "gpt-4o"),
        ("vllm", "openai/gpt-oss-20b"),
        ("openai", "openai/gpt-oss-20b"),  # OpenAI does not sell it: somebody's own server behind an OpenAI client
        ("openai", "gpt-oss-20b"),
        ("openai", "llama3.1"),
        ("", "deepseek-r1"),  # anybody may run it
        ("", "llama3.1"),
        ("my-own-gateway", "gpt-4o"),
        ("openai", "ft:gpt-4.1-2025-04-14:acme::a1b2"),
        ("azure", "my-deployment"),
        ("amazon_bedrock", "arn:aws:bedrock:us-east-1:12:application-inference-profile/a1b2c3"),
        ("google_genai", "tunedModels/mine-123"),
        ("google_genai", "gemma-3"),  # listed without a price: not known to be free
        ("openai", "whisper-1"),  # billed by the hour
        ("openai", ""),
        ("", ""),
        ("openai", "/"),
        ("openai", ":"),
        ("openai", "x" * 10_000),
    ],
)
def test_what_no_list_can_know_is_unpriced(provider: str, model: str) -> None:
    assert input_price(provider, model) is None


def test_the_model_that_answered_is_priced_before_the_one_asked_for() -> None:
    assert input_price("azure", "my-deployment", "gpt-4o-2024-08-06") == 2.5
    assert input_price("openai", "gpt-4o", "gpt-4o-2024-05-13") == 5
    assert input_price("openai", "gpt-4o", "a-name-nobody-lists") == 2.5
    assert input_price("openai", "gpt-4o-mini", "ft:gpt-4o-mini-2024-07-18:acme::a1b2") == 0.3


@pytest.mark.parametrize(
    ("asked", "answered", "name"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o", "gpt-4o", "gpt-4o"),
        ("openai/gpt-4o", "gpt-4o-2024-08-06", "gpt-4o"),
        ("openai/gpt-4o", "openai/gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022", "claude-3-5-sonnet-latest"),
        ("gemini-2.0-flash", "gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro", "gemini-2.5-pro"),
        ("models/gemini-2.5-pro", "", "gemini-2.5-pro"),
        ("command-r", "command-r-08-2024", "command-r"),
        ("gpt-4", "gpt-4-0613", "gpt-4"),
        (
            "us.anthropic.claude-sonnet-4-5",
            "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
            "us.anthropic.claude-sonnet-4-5",
        ),
        ("gpt-4o", "gpt-4o-mini", "gpt-4o-mini"),
        ("gpt-4", "gpt-4-32k", "gpt-4-32k"),
        ("gpt-4", "gpt-4-1106-preview", "gpt-4-1106-preview"),
        ("o1", "o1-mini", "o1-mini"),
        ("llama-3.1-8b", "llama-3.1-8b-instruct", "llama-3.1-8b-instruct"),
        ("my-deployment", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("gpt-4o", "", "gpt-4o"),
        ("", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06"),
        ("", "", ""),
    ],
)
def test_pages_name_the_model_that_answered_unless_it_is_only_a_snapshot(asked: str, answered: str, name: str) -> None:
    assert canonical_model(asked, answered) == name


@pytest.mark.parametrize(
    ("model", "plain"),
    [
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ("ft:gpt-4o:acme::a1", "ft:gpt-4o:acme::a1"),
        ("llama3.1:8b", "llama3.1:8b"),
        ("mistral:7b", "mistral:7b"),
        ("mistral:latest", "mistral:latest"),
        ("meta-llama/Llama-3.3-70B", "meta-llama/Llama-3.3-70B"),
        ("in.house-model", "in.house-model"),
    ],
)
def test_a_bare_name_keeps_everything_but_the_place(model: str, plain: str) -> None:
    assert bare(model) == plain


def test_providers_go_by_several_names() -> None:
    assert same_provider("bedrock_converse", "amazon_bedrock")
    assert same_provider("Ollama", "ollama")
    assert not same_provider("ollama", "vllm")  # both unknown to the library, and not the same
    assert library_provider("litellm") is None
    assert is_local("llama-cpp")
    assert not is_local("openai")
