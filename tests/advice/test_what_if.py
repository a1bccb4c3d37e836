"""Another model: the same as pricing each call by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from agents.models import Agent as AgentRow
from agents.models import LLMCall, Workspace
from agents.price_books import price_book
from costsite.advice.nightly import review
from costsite.advice.whatif_months import what_if
from langchain_plugin.wire import TokenCounts, cost_of
from tests.advice.conftest import AFTERNOON, FIRST, YESTERDAY, Book
from tests.advice.planted import Agent, Month

pytestmark = [pytest.mark.django_db]


def one_by_one(workspace: Workspace, provider: str, model: str, *, cached: bool) -> int:
    book, total = price_book(workspace.pk), 0
    for call in LLMCall.objects.all():
        counts = TokenCounts(*(getattr(call, name) for name in TokenCounts._fields))
        if not cached:
            names = (name for name in TokenCounts._fields if name.startswith("cache_"))
            counts = counts._replace(**dict.fromkeys(names, 0))
        prices = book.unit_prices(provider, model, "", "", AFTERNOON, call.input_tokens).prices
        assert prices is not None
        total += cost_of(counts, prices, served_from_local_cache=call.served_from_local_cache).cost
    return total


@pytest.fixture
def month(book: Book) -> AgentRow:
    """With contexts on both sides of every step in the price list, and calls the local cache answered."""
    month = Month(Agent(), FIRST, days=4)
    book(month.events())
    sizes = (31_999, 32_000, 32_001, 128_000, 128_001, 199_999, 200_000, 200_001, 272_000, 272_001, 600_000)
    for index, size in enumerate(sizes):
        at = FIRST + timedelta(days=2, hours=index)
        for changes in (
            {},
            {"cache_read_tokens": size // 3, "reasoning_tokens": 77},
            {"served_from_local_cache": True},
        ):
            facts: dict[str, Any] = {"input_tokens": size, "output_tokens": 333} | changes
            book([month.call(month.uuid(at), at, 0, **facts)])
    review(YESTERDAY)
    return AgentRow.objects.get()


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-5-mini"),
        ("anthropic", "claude-sonnet-4-5"),
        ("google_genai", "gemini-2.5-pro"),
        ("acme-ai", "acme-large"),
    ],
)
def test_what_if_is_what_repricing_each_call_one_by_one_comes_to(
    month: AgentRow, superuser: User, provider: str, model: str
) -> None:
    found = what_if(superuser, month.workspace_id, month.pk, FIRST.date(), YESTERDAY, provider, model)

    assert found.repriced is not None
    calls = LLMCall.objects.filter(served_from_local_cache=False).count()
    assert found.spend.calls == calls
    # Rounded once in place of once a call: half a microcent each at most.
    for shown, cached in ((found.repriced.with_cache, True), (found.repriced.without_cache, False)):
        exact = one_by_one(month.workspace, provider, model, cached=cached)
        assert abs(shown - exact) * 2 <= calls, (shown, exact)
        assert exact > 0


def test_the_range_is_wider_where_another_vendor_counts_tokens(month: AgentRow, superuser: User) -> None:
    def on(provider: str, model: str) -> Any:
        return what_if(superuser, month.workspace_id, month.pk, FIRST.date(), YESTERDAY, provider, model)

    own, other = on("acme-ai", "acme-large"), on("openai", "gpt-5-mini")

    assert (own.same_vendor, other.same_vendor) == (True, False)
    assert (own.repriced.least, own.repriced.most) == tuple(
        sorted((own.repriced.with_cache, own.repriced.without_cache))
    )
    assert other.repriced.least == min(other.repriced.with_cache, other.repriced.without_cache) * 80 // 100
    assert other.repriced.most == max(other.repriced.with_cache, other.repriced.without_cache) * 135 // 100


@pytest.mark.parametrize(
    ("calls_of", "model", "same"),
    [
        ("openai", "gpt-5-nano", True),
        ("google_genai", "gemini-2.5-flash", True),
        ("openai", "claude-haiku-4-5", False),
        ("", "gpt-5-nano", False),
    ],
)
def test_a_bare_name_is_the_vendors_under_which_its_price_is_found(
    book: Book, workspace: Workspace, superuser: User, calls_of: str, model: str, same: bool
) -> None:
    month = Month(Agent(), FIRST)
    book([month.call(month.uuid(FIRST), FIRST, 0, provider=calls_of, input_tokens=900_000, output_tokens=9_000)])
    review(YESTERDAY)

    found = what_if(superuser, workspace.pk, AgentRow.objects.get().pk, FIRST.date(), YESTERDAY, "", model)

    assert found.repriced is not None
    assert found.same_vendor is same
    assert (found.repriced.most == found.repriced.with_cache == found.repriced.least) is same


def test_a_model_without_a_price_is_no_figure(month: AgentRow, superuser: User) -> None:
    found = what_if(superuser, month.workspace_id, month.pk, FIRST.date(), YESTERDAY, "acme-ai", "unheard-of")

    assert found.repriced is None
    assert found.spend.calls > 0


def test_a_range_without_calls_and_an_agent_one_may_not_see_are_nothing(
    month: AgentRow, superuser: User, elsewhere: Workspace, django_user_model: type[User]
) -> None:
    early = FIRST.date() - timedelta(days=60)
    stranger = django_user_model.objects.create_user("stan")
    stranger.memberships.create(workspace=elsewhere)
    for person, first, last in ((superuser, early, early), (stranger, FIRST.date(), YESTERDAY)):
        found = what_if(person, month.workspace_id, month.pk, first, last, "openai", "gpt-5-mini")

        assert (found.repriced, found.spend.calls, found.first) == (None, 0, None)
