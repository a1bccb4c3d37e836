"""What a run cost by kind of token: it adds up to the run, and says what nobody can tell any more."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.test import Client
from django.urls import reverse

from agents.models import AgentRunLog, ModelPrice
from costsite.analytics.views.run import DRAWN_CALLS
from tests.analytics.facts import UNPRICED, Cast, Spend, exact, file_of, text_of
from tests.factories import NOON


def address_of(run_id: UUID) -> str:
    return reverse("run", args=[AgentRunLog.objects.get(run_id=run_id).pk])


def kinds_of(client: Client, run_id: UUID) -> dict[str, tuple[str, str]]:
    rows = file_of(client, address_of(run_id), "cost-by-kind")
    return {row["kind"]: (row["tokens"], row["cost_cents"]) for row in rows}


def test_each_kind_of_a_run_is_its_calls_tokens_at_their_price(spend: Spend, as_viewer: Client) -> None:
    run_id = uuid4()
    for index, (read, reasoning) in enumerate([(0, 20), (800, 120)]):
        spend(
            run_id=run_id,
            started_at=NOON + timedelta(seconds=index),
            cache_read_tokens=read,
            reasoning_tokens=reasoning,
        )

    # At 1 USD per million in, read or not, and 2 USD out: 100 and 200 microcents a token.
    # Fresh 1,200 + 400; read 800; visible 280 + 180; reasoning 20 + 120.
    assert kinds_of(as_viewer, run_id) == {
        "Input, fresh": ("1600", exact(1_600 * 100)),
        "Input, cache read": ("800", exact(800 * 100)),
        "Input, cache written": ("0", "0"),
        "Output, visible": ("460", exact(460 * 200)),
        "Output, reasoning": ("140", exact(140 * 200)),
    }
    page = text_of(as_viewer, address_of(run_id))
    assert "Fresh input is 44 % of the cost" in page
    assert "Input, fresh 1,600 0.1600¢ 44 %" in page
    assert "Total 0.3600¢" in page


def test_a_price_that_was_changed_since_leaves_the_cost_whole(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    run_id = uuid4()
    spend(run_id=run_id)
    ModelPrice.objects.update(input_per_million=5)
    ModelPrice.objects.get().save()
    spend(run_id=run_id, started_at=NOON + timedelta(seconds=1))

    kinds = kinds_of(as_viewer, run_id)

    assert kinds["1 call whose price then is no longer known"] == ("", exact(180_000))
    # The second call's: 1,200 x 500 + 300 x 200.
    assert kinds["Input, fresh"] == ("2400", exact(600_000))
    assert kinds["Output, visible"] == ("600", exact(60_000))
    assert "its cost stands whole" in text_of(as_viewer, address_of(run_id))


def test_kinds_of_which_no_call_can_be_taken_apart_are_not_said_to_cost_nothing(
    cast: Cast, spend: Spend, as_viewer: Client
) -> None:
    run_id = uuid4()
    spend(run_id=run_id)
    ModelPrice.objects.all().delete()

    assert kinds_of(as_viewer, run_id) == {
        "Input, fresh": ("1200", ""),
        "Input, cache read": ("0", ""),
        "Input, cache written": ("0", ""),
        "Output, visible": ("300", ""),
        "Output, reasoning": ("0", ""),
        "1 call whose price then is no longer known": ("", exact(180_000)),
    }


def test_calls_without_a_price_are_beside_the_sum(spend: Spend, as_viewer: Client) -> None:
    run_id = uuid4()
    spend(run_id=run_id, **UNPRICED)

    alone = kinds_of(as_viewer, run_id)
    assert alone["1 call without a price"] == ("", "")
    assert alone["Input, fresh"] == ("1200", "")
    spend(run_id=run_id, started_at=NOON + timedelta(seconds=1))
    beside = kinds_of(as_viewer, run_id)
    assert beside["1 call without a price"] == ("", "")
    assert beside["Input, fresh"] == ("2400", exact(120_000))


def test_audio_and_the_price_of_a_request_are_named_where_there_is_any(
    cast: Cast, spend: Spend, as_viewer: Client
) -> None:
    run_id = uuid4()
    spend(run_id=run_id, input_audio_tokens=200, output_audio_tokens=100)

    kinds = kinds_of(as_viewer, run_id)

    assert kinds["Input, audio"] == ("200", exact(20_000))
    assert kinds["Output, audio"] == ("100", exact(20_000))
    assert kinds["Input, fresh"] == ("1000", exact(100_000))
    searched = uuid4()
    # Perplexity's sonar: 1 USD per million tokens in and out, and 12 USD per thousand requests of the usual size.
    spend(run_id=searched, provider="perplexity", request_model="sonar")
    run: Any = AgentRunLog.objects.get(run_id=searched)
    kinds = kinds_of(as_viewer, searched)
    assert kinds["Per call"][0] == ""
    assert sum_of(kinds) == exact(run.cost_microcents)


def sum_of(kinds: dict[str, tuple[str, str]]) -> str:
    return exact(sum(round(float(cost) * 1_000_000) for _, cost in kinds.values() if cost))


def test_a_file_has_every_call_of_a_run_that_is_drawn_in_part(spend: Spend, as_viewer: Client) -> None:
    run_id = uuid4()
    for index in range(DRAWN_CALLS + 5):
        spend(run_id=run_id, started_at=NOON + timedelta(seconds=index), input_tokens=333, output_tokens=33)

    kinds = kinds_of(as_viewer, run_id)

    run: Any = AgentRunLog.objects.get(run_id=run_id)
    assert kinds["Input, fresh"][0] == f"{333 * (DRAWN_CALLS + 5)}"
    assert sum_of(kinds) == exact(run.cost_microcents)
    assert f"of calls 1 to {DRAWN_CALLS}" in text_of(as_viewer, address_of(run_id))
    assert f"of calls {DRAWN_CALLS + 1} to {DRAWN_CALLS + 5}" in text_of(
        as_viewer, f"{address_of(run_id)}?from={DRAWN_CALLS}"
    )
