"""How long an answer can get: what people entered, then what providers list, then the model's context."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from agents import ledger
from agents.models import Agent
from budgets.known_maxima import listed_maximum
from budgets.model_maxima import maxima
from budgets.models import ModelMaximum
from budgets.price_card import _bounds, price_card
from langchain_plugin.wire_leases import ModelAsked
from tests.factories import NOON, llm_call

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-4o", 16_384),
        ("gpt-4o-2024-08-06", 16_384),
        ("GPT-4o-mini", 16_384),
        ("claude-opus-4-1-20250805", 32_000),
        ("claude-sonnet-4@20250514", 64_000),
        ("gemini-2.5-pro", 65_536),
        ("gpt-4o-64k-output-alpha", None),
        ("claude-opus-4-9", None),
        ("gpt-4o-audio-preview", None),
        ("", None),
    ],
)
def test_only_a_listed_name_with_or_without_its_date_counts(model: str, tokens: int | None) -> None:
    assert listed_maximum(model) == tokens


def test_what_is_not_listed_is_no_longer_than_its_context() -> None:
    assert maxima([("xai", "grok-3"), ("acme", "nobody-knows-it")]) == {("xai", "grok-3"): 131_072}


def test_a_local_runner_has_nobodys_list() -> None:
    assert maxima([("ollama", "gpt-4o")]) == {}


def test_what_was_entered_goes_first_and_of_this_provider_before_all() -> None:
    ModelMaximum.objects.create(model="GPT-4o", max_output_tokens=2_000)
    assert maxima([("openai", "gpt-4o"), ("openrouter", "openai/gpt-4o")]) == {
        ("openai", "gpt-4o"): 2_000,
        ("openrouter", "openai/gpt-4o"): 2_000,
    }
    ModelMaximum.objects.create(provider="azure", model="gpt-4o", max_output_tokens=1_000)
    assert maxima([("azure_openai", "gpt-4o"), ("openai", "gpt-4o")]) == {
        ("azure_openai", "gpt-4o"): 1_000,
        ("openai", "gpt-4o"): 2_000,
    }


def test_one_model_has_one_maximum_however_it_is_written() -> None:
    ModelMaximum.objects.create(provider="openai", model="gpt-4o", max_output_tokens=1)
    with pytest.raises(ValidationError, match="has a maximum already"):
        ModelMaximum(provider="OpenAI", model="GPT-4o", max_output_tokens=2).full_clean()
    with pytest.raises(ValidationError):
        ModelMaximum(model="other", max_output_tokens=0).full_clean()


def test_a_lease_bounds_an_answer_by_the_models_maximum(support_bot: Agent) -> None:
    def bounds() -> dict[str, int]:
        _bounds.clear()
        asked = [ModelAsked(provider="openai", model="gpt-4-turbo"), ModelAsked(provider="openai", model="gpt-4o")]
        return {entry.model: entry.output_bound_tokens for entry in price_card(support_bot, asked, NOON)}

    assert bounds() == {"gpt-4-turbo": 4_096, "gpt-4o": 4_096}
    # An answer of 12,000 tokens: twice that is more than gpt-4o ever writes.
    long = llm_call(request_model="gpt-4o", output_tokens=12_000)
    ledger.record(support_bot.workspace, [(0, long)], client=None, received_at=NOON)
    assert bounds()["gpt-4o"] == 16_384
    ModelMaximum.objects.create(model="gpt-4o", max_output_tokens=500)
    assert bounds()["gpt-4o"] == 500
