"""Which price wins, from when to when, and what a book remembers of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from agents.models import ModelPrice, Workspace
from agents.price_books import price_book
from agents.pricing import PriceBook, library
from agents.pricing.book import MODELS_REMEMBERED
from agents.pricing.entered import EnteredPrice
from agents.pricing.library import FREE, source
from langchain_plugin import wire
from tests.factories import MembershipFactory, UserFactory, WorkspaceFactory

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def usd(amount: int | str) -> wire.UnitPrices:
    """The same price for every kind of token, in USD per million."""
    return wire.UnitPrices(**dict.fromkeys(FREE.model_fields_set, int(Decimal(amount) * 100_000_000)))


def entered(number: int, model: str, **facts: Any) -> EnteredPrice:
    """Price number N costs N USD per million tokens, so that an answer tells which one won."""
    return EnteredPrice(
        **{
            "id": number,
            "of_workspace": False,
            "provider": "",
            "model": model,
            "prices": usd(number),
            "effective_from": LONG_AGO,
        }
        | facts
    )


def winner(
    *prices: EnteredPrice, provider: str = "openai", asked: str = "gpt-4o", answered: str = "", at: datetime = NOON
) -> str:
    return PriceBook(prices).unit_prices(provider, asked, answered, "", at, 100).source


def test_an_entered_price_wins_over_the_library() -> None:
    assert winner() == source()
    assert winner(entered(1, "gpt-4o")) == "price #1"
    assert winner(entered(1, "gpt-4")) == source()


@pytest.mark.parametrize(
    ("loser", "stronger"),
    [
        ({"model": "gpt-4o"}, {"model": "gpt-*", "of_workspace": True}),
        ({"model": "gpt-*", "provider": "openai"}, {"model": "gpt-4o"}),
        ({"model": "gpt-*", "provider": "openai"}, {"model": "gpt-4*"}),
        ({"model": "gpt-4o"}, {"model": "gpt-4o", "provider": "openai"}),
        ({"model": "gpt-4o"}, {"model": "gpt-4o", "effective_from": datetime(2026, 1, 1, tzinfo=UTC)}),
        ({"model": "gpt-4o"}, {"model": "gpt-4o"}),  # the later row, of two that say the same
    ],
)
def test_the_closer_price_wins_whatever_the_order(loser: dict[str, Any], stronger: dict[str, Any]) -> None:
    one, two = entered(1, **loser), entered(2, **stronger)
    assert winner(one, two) == winner(two, one) == "price #2"


def test_a_price_for_a_provider_holds_under_its_other_names_and_for_no_other() -> None:
    assert winner(entered(1, "nova", provider="bedrock"), provider="amazon_bedrock", asked="nova") == "price #1"
    assert winner(entered(1, "nova", provider="bedrock"), provider="openai", asked="nova") == ""


def test_a_price_holds_for_the_model_asked_for_and_the_one_that_answered() -> None:
    assert winner(entered(1, "gpt-4o"), answered="gpt-4o-2024-08-06") == "price #1"
    assert winner(entered(1, "gpt-4o-2024-08-06"), answered="gpt-4o-2024-08-06") == "price #1"
    assert winner(entered(1, "GPT-4o"), asked="openai/gpt-4o") == "price #1"


def test_a_price_holds_from_its_first_instant_to_the_one_before_its_last() -> None:
    begins, ends = NOON, NOON + timedelta(days=1)
    price = entered(1, "gpt-4o", effective_from=begins, effective_to=ends)
    book = PriceBook([price])  # one book for all: what it remembers must not reach over an edge

    def at(moment: datetime) -> str:
        return book.unit_prices("openai", "gpt-4o", "", "", moment, 100).source

    tick = timedelta(microseconds=1)
    assert [at(begins - tick), at(begins), at(ends - tick), at(ends)] == [source(), "price #1", "price #1", source()]
    assert [at(ends), at(begins), at(begins - tick), at(ends - tick)] == [source(), "price #1", source(), "price #1"]


def test_a_price_is_said_to_hold_since_it_last_changed() -> None:
    """Not since some stretch of time began: another tier's date, or a price that covers and loses, changes nothing."""
    changed = NOON - timedelta(days=30)
    old, new = entered(1, "house", effective_to=changed), entered(2, "house", effective_from=changed)
    weaker = entered(3, "hous*", effective_from=NOON - timedelta(days=2))
    book = PriceBook((old, new, weaker))

    assert book.since("vllm", "house", "", NOON) == changed
    assert book.since("vllm", "house", "", changed - timedelta(days=1)) == LONG_AGO
    assert PriceBook().since("vllm", "house", "", NOON) is None
    # Since October 2026 the library has flex and priority prices for it, and the standard one is what it was.
    assert library.find("openai", "gpt-5", "", NOON, 0) == PriceBook().look_up("openai", "gpt-5", "", NOON)
    assert PriceBook().look_up("openai", "gpt-5", "", NOON).begins > LONG_AGO
    assert PriceBook().since("openai", "gpt-5", "", NOON) is None


def test_free_is_zero_and_says_who_says_so() -> None:
    book = PriceBook([entered(1, "llama3*", provider="ollama", prices=FREE)])
    charge = book.charge("ollama", "llama3.1:8b", "", "", NOON, wire.TokenCounts(1_000, 1_000))
    assert (charge.cost, charge.source) == (0, "price #1")


def test_a_star_covers_a_call_that_names_no_model() -> None:
    assert winner(entered(1, "*", provider="ollama"), provider="ollama", asked="") == "price #1"


def test_the_same_as_another_model_is_its_price_at_the_time_and_size_of_the_call() -> None:
    book = PriceBook(
        [entered(7, "house-model", prices=None, same_as_provider="google", same_as_model="gemini-2.5-pro")]
    )
    small = book.unit_prices("openai", "house-model", "", "", NOON, 200_000)
    large = book.unit_prices("openai", "house-model", "", "", NOON, 200_001)
    assert small.prices is not None
    assert large.prices is not None
    assert (small.prices.input, large.prices.input) == (125_000_000, 250_000_000)
    assert small.source == f"price #7, as {source()}"
    assert small.valid_up_to_input_tokens == 200_000


def test_the_same_as_a_model_without_a_provider_means_the_calls_provider_then_the_maker() -> None:
    same = entered(1, "house-model", prices=None, same_as_model="gpt-4o")
    assert winner(same, provider="azure", asked="house-model").startswith("price #1, as genai-prices")
    assert winner(same, provider="ollama", asked="house-model").startswith("price #1, as genai-prices")
    assert (
        winner(same, entered(2, "gpt-4o", provider="ollama"), provider="ollama", asked="house-model")
        == "price #1, as price #2"
    )


def test_prices_that_lead_back_to_themselves_are_unpriced(caplog: pytest.LogCaptureFixture) -> None:
    loop = [
        entered(1, "a", prices=None, same_as_model="b"),
        entered(2, "b", prices=None, same_as_model="c"),
        entered(3, "c", prices=None, same_as_model="a"),
    ]
    assert winner(*loop, asked="a") == ""
    assert "change one of [1, 2, 3]" in caplog.text


def test_a_tier_the_library_has_no_price_for_is_said() -> None:
    priced = PriceBook().unit_prices("openai", "gpt-4o-2024-05-13", "", "flex", NOON, 100)
    assert priced.source == f"{source()} (no flex price: standard)"


def test_a_local_cache_hit_costs_nothing_even_without_a_price() -> None:
    tokens = wire.TokenCounts(1_000, 1_000)
    unpriced = PriceBook().charge("ollama", "llama3", "", "", NOON, tokens, served_from_local_cache=True)
    # gpt-4o, 2.50 in and 10 out: 1,000 x 2.50 + 1,000 x 10 = 12,500 / 1M = 1,250,000 microcents saved
    priced = PriceBook().charge("openai", "gpt-4o", "", "", NOON, tokens, served_from_local_cache=True)
    assert (unpriced.cost, unpriced.saved) == (0, 0)
    assert (priced.cost, priced.saved) == (0, 1_250_000)


def test_a_cost_beyond_all_measure_is_no_cost() -> None:
    # 100 USD per million for 100 million tokens is 10,000 USD, 10^12 microcents; one price step more is over it.
    most, over = (PriceBook([entered(1, "gpt-4o", prices=usd(each))]) for each in ("100", "100.00000001"))
    tokens = wire.TokenCounts(100_000_000, 0)
    dearest = most.charge("openai", "gpt-4o", "", "", NOON, tokens)
    beyond = over.charge("openai", "gpt-4o", "", "", NOON, tokens)
    assert (dearest.cost, dearest.source) == (10**12, "price #1")
    assert (beyond.cost, beyond.source) == (None, "out of bounds: price #1")


def test_a_card_entry_is_what_the_book_says_of_a_small_call() -> None:
    entry = PriceBook().card_entry("google_genai", "gemini-2.5-pro", "", NOON)
    assert entry.prices is not None
    assert (entry.prices.output, entry.valid_up_to_input_tokens) == (1_000_000_000, 200_000)
    assert PriceBook().card_entry("ollama", "llama3", "", NOON).prices is None


def test_what_a_book_remembers_is_bounded_and_quick_to_find() -> None:
    book = PriceBook()
    for number in range(MODELS_REMEMBERED + 100):
        book.unit_prices("ollama", f"model-{number}", "", "", NOON, 10)
    assert len(book._answers) <= MODELS_REMEMBERED

    book.unit_prices("openai", "gpt-4o", "gpt-4o-2024-08-06", "", NOON, 10)
    fastest = min(_seconds_for_a_thousand(book) for _ in range(20))
    assert fastest < 0.005  # 5 us each; 0.2 on the machine this was written on


def _seconds_for_a_thousand(book: PriceBook) -> float:
    begun = time.perf_counter()
    for _ in range(1_000):
        book.unit_prices("openai", "gpt-4o", "gpt-4o-2024-08-06", "", NOON, 10)
    return time.perf_counter() - begun


# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────


def price(**facts: Any) -> ModelPrice:
    return ModelPrice(
        **{
            "model": "llama3",
            "input_per_million": Decimal(2),
            "output_per_million": Decimal(10),
            "effective_from": LONG_AGO,
        }
        | facts
    )


def input_price(workspace: Workspace, model: str = "llama3") -> int | None:
    prices = price_book(workspace.pk).unit_prices("ollama", model, "", "", NOON, 10).prices
    return None if prices is None else prices.input // 100_000_000


def test_every_change_of_a_price_holds_from_the_next_batch_on(workspace: Workspace) -> None:
    assert input_price(workspace) is None
    row = price()
    row.save()
    assert input_price(workspace) == 2
    row.input_per_million = Decimal(3)
    row.save()
    assert input_price(workspace) == 3
    ModelPrice.objects.update(input_per_million=Decimal(4))
    assert input_price(workspace) == 4
    row.delete()
    assert input_price(workspace) is None
    ModelPrice.objects.bulk_create([price(input_per_million=Decimal(5))])
    assert input_price(workspace) == 5
    ModelPrice.objects.all().delete()
    assert input_price(workspace) is None


def test_a_price_that_was_rolled_back_is_not_used_again(workspace: Workspace) -> None:
    with transaction.atomic():
        price(input_per_million=Decimal(9)).save()
        assert input_price(workspace) == 9
        transaction.set_rollback(True)
    assert input_price(workspace) is None
    price().save()
    assert input_price(workspace) == 2


def test_a_book_is_one_query_while_no_price_changes(workspace: Workspace, django_assert_num_queries: Any) -> None:
    price().save()
    price_book(workspace.pk)
    with django_assert_num_queries(1, connection=connection):
        price_book(workspace.pk)


def test_a_workspaces_price_is_its_own(workspace: Workspace) -> None:
    other = WorkspaceFactory()
    price(workspace=workspace, input_per_million=Decimal(7)).save()
    price().save()
    assert (input_price(workspace), input_price(other)) == (7, 2)


def test_what_is_left_empty_has_the_price_of_what_it_is_part_of() -> None:
    prices = price(
        cache_write_5m_per_million=Decimal("2.5"), input_audio_per_million=Decimal("0.00000001")
    ).unit_prices()
    assert prices == wire.UnitPrices(
        input=200_000_000,
        output=1_000_000_000,
        cache_read=200_000_000,
        cache_write_5m=250_000_000,
        cache_write_1h=250_000_000,
        reasoning=1_000_000_000,
        input_audio=1,
        output_audio=1_000_000_000,
    )


def test_people_see_the_prices_of_their_workspaces_and_those_of_everybody(workspace: Workspace) -> None:
    other = WorkspaceFactory()
    for owner in (workspace, other, None):
        price(workspace=owner).save()
    member = MembershipFactory(workspace=workspace).user
    stranger, root = UserFactory(), UserFactory(is_superuser=True)
    gone = UserFactory(is_active=False)

    def seen(user: Any) -> set[int | None]:
        return set(ModelPrice.objects.visible_to(user).values_list("workspace_id", flat=True))

    assert seen(member) == {workspace.pk, None}
    assert seen(stranger) == {None}
    assert seen(root) == {workspace.pk, other.pk, None}
    assert seen(gone) == set()


@pytest.mark.parametrize(
    ("facts", "column", "mend"),
    [
        ({"model": "lla*ma"}, "model", "only stand at the end"),
        ({"model": "*"}, "model", "name the provider"),
        ({"output_per_million": None}, "output_per_million", "It costs nothing"),
        ({"kind": "free"}, "input_per_million", "Leave it empty"),
        ({"same_as_model": "gpt-4o"}, "same_as_model", "Leave it empty"),
        ({"kind": "same_as", "input_per_million": None, "output_per_million": None}, "same_as_model", "Name the model"),
        (
            {"kind": "same_as", "input_per_million": None, "output_per_million": None, "same_as_model": "gpt-*"},
            "same_as_model",
            "without a",
        ),
        (
            {"kind": "same_as", "input_per_million": None, "output_per_million": None, "same_as_model": "llama3"},
            "same_as_model",
            "leads back",
        ),
        ({"effective_to": LONG_AGO}, "effective_to", "later than the start"),
        ({"input_per_million": Decimal(-1)}, "input_per_million", "greater than or equal to 0"),
        ({"output_per_million": Decimal("100000.01")}, "output_per_million", "the price of a million tokens, in USD"),
    ],
)
def test_a_price_that_makes_no_sense_says_the_mend(db: None, facts: dict[str, Any], column: str, mend: str) -> None:
    with pytest.raises(ValidationError) as refused:
        price(**facts).full_clean()
    assert any(mend in message for message in refused.value.message_dict[column])


def test_the_dearest_price_that_can_be_entered_is_taken(db: None) -> None:
    price(output_per_million=Decimal(100_000)).full_clean()


def test_a_chain_that_would_close_through_other_rows_is_refused(db: None) -> None:
    unpriced = {"kind": "same_as", "input_per_million": None, "output_per_million": None}
    price(model="b*", same_as_model="c", **unpriced).save()
    price(model="c", same_as_model="a", **unpriced).save()
    with pytest.raises(ValidationError, match="leads back"):
        price(model="a", same_as_model="b-small", **unpriced).full_clean()
    price(model="a", same_as_model="d", **unpriced).full_clean()


def test_the_database_itself_refuses_half_a_price(db: None) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        price(output_per_million=None).save()
