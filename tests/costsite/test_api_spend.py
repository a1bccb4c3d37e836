"""GET /spend: a period's sums, grouped, from the ledger's days."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from agents.models import LedgerState, ModelPrice
from costsite.api import spend as spend_topic
from tests.costsite.api_client import KeyHolder, error_of
from tests.factories import NOON, llm_call


@pytest.fixture
def november(acme: KeyHolder) -> KeyHolder:
    """At 100 ¢ a million tokens in and 400 ¢ out:

    support-bot  20 Nov  1,200 in, 300 out   0.12 + 0.12 = 0.24 ¢
    support-bot  21 Nov  1,200 in, 300 out                 0.24 ¢
    sales-bot    21 Nov  5,000 in,   0 out                 0.5 ¢
    sales-bot    21 Nov     10 in,   5 out of a model that nobody prices
    support-bot  31 Oct  1,200 in, 300 out                 0.24 ¢
    """
    ModelPrice.objects.create(
        model="gpt-4o-mini",
        input_per_million="1",
        output_per_million="4",
        effective_from=datetime(2026, 1, 1, tzinfo=UTC),
    )

    def at(day: datetime) -> dict[str, Any]:
        return {"started_at": day, "ended_at": day}

    next_day = NOON + timedelta(days=1)
    acme.report(
        llm_call(**at(NOON)),
        llm_call(**at(next_day)),
        llm_call(**at(next_day), agent="sales-bot", input_tokens=5_000, output_tokens=0),
        llm_call(
            **at(next_day),
            agent="sales-bot",
            provider="nobody",
            request_model="mystery",
            input_tokens=10,
            output_tokens=5,
        ),
        llm_call(**at(datetime(2026, 10, 31, 23, 59, tzinfo=UTC))),
    )
    return acme


def grouped(answer: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(group[name] for name in (*names, "estimated_cost_cents")) for group in answer["groups"]]


def test_a_month_by_agent_the_dearest_first(november: KeyHolder) -> None:
    spend = november.read("spend", month="2026-11")

    assert (spend["period_start"], spend["period_end"], spend["time_zone"]) == ("2026-11-01", "2026-12-01", "UTC")
    assert grouped(spend, "agent") == [("sales-bot", "0.5"), ("support-bot", "0.48")]
    total = spend["total"]
    assert (total["estimated_cost_cents"], total["cost_microcents"]) == ("0.98", 980_000)
    # 1,200 + 1,200 + 5,000 + 10 in; 300 + 300 + 0 + 5 out
    assert (total["calls"], total["unpriced_calls"], total["input_tokens"], total["output_tokens"]) == (
        4,
        1,
        7_410,
        605,
    )
    assert spend["more_groups"] is False


def test_by_model_by_day_and_by_workspace(november: KeyHolder) -> None:
    def groups(by: str, *names: str) -> list[tuple[Any, ...]]:
        return grouped(november.read("spend", month="2026-11", group_by=by), *names)

    assert groups("model", "provider", "model") == [("openai", "gpt-4o-mini", "0.98"), ("nobody", "mystery", None)]
    assert groups("day", "day") == [("2026-11-20", "0.24"), ("2026-11-21", "0.74")]
    assert groups("workspace", "workspace") == [("acme", "0.98")]


def test_one_agents_spend(november: KeyHolder) -> None:
    spend = november.read("spend", month="2026-11", agent="support-bot", group_by="day")

    assert grouped(spend, "day") == [("2026-11-20", "0.24"), ("2026-11-21", "0.24")]
    assert spend["total"]["calls"] == 2


def test_a_period_has_its_first_day_and_not_its_last(november: KeyHolder) -> None:
    def calls(**period: str) -> int:
        return int(november.read("spend", **period)["total"]["calls"])

    assert calls(**{"from": "2026-11-20", "to": "2026-11-21"}) == 1
    assert calls(**{"from": "2026-10-31", "to": "2026-11-22"}) == 5
    assert calls(**{"from": "2026-10-31"}) == 5
    assert calls(month="2026-10") == 1


def test_without_a_period_it_is_this_month_in_the_ledgers_zone(acme: KeyHolder) -> None:
    LedgerState.objects.update_or_create(pk=1, defaults={"time_zone": "Pacific/Auckland"})

    spend = acme.read("spend")

    today = timezone.now().astimezone(ZoneInfo("Pacific/Auckland")).date()
    assert spend["period_start"] == today.replace(day=1).isoformat()
    assert spend["time_zone"] == "Pacific/Auckland"


def test_a_period_without_calls_cost_nothing_which_is_known(acme: KeyHolder) -> None:
    spend = acme.read("spend", month="2026-02")

    assert (spend["groups"], spend["total"]["calls"], spend["total"]["estimated_cost_cents"]) == ([], 0, "0")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"group_by": "tag"}, "'agent', 'workspace', 'model' or 'day'"),
        ({"month": "November"}, "must be a month, as 2026-11"),
        ({"month": "2026-13"}, "must be a month, as 2026-11"),
        ({"month": "9999-12"}, "must be a month, as 2026-11"),
        ({"month": "2026-11", "from": "2026-11-01"}, "stands alone"),
        ({"to": "2026-11-01"}, "is needed with `to`"),
        ({"from": "2026-11-02", "to": "2026-11-02"}, "must be after `from`"),
        ({"from": "2025-01-01", "to": "2026-11-01"}, "over 400 days apart; ask for parts"),
        ({"from": "1.11.2026"}, "from"),
    ],
)
def test_a_wrong_period_is_named_with_what_it_must_be(acme: KeyHolder, parameters: dict[str, str], said: str) -> None:
    response = acme.get("spend", **parameters)

    assert (response.status_code, error_of(response).code) == (422, "bad_parameter")
    assert said in error_of(response).message


def test_what_is_over_the_limit_of_groups_is_told_and_in_the_total(
    november: KeyHolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spend_topic, "MAX_GROUPS", 1)

    spend = november.read("spend", month="2026-11")

    assert grouped(spend, "agent") == [("sales-bot", "0.5")]
    assert (spend["more_groups"], spend["total"]["estimated_cost_cents"]) == (True, "0.98")


def test_spend_as_csv(november: KeyHolder) -> None:
    rows = list(csv.DictReader(io.StringIO(november.csv("spend", month="2026-11", group_by="model"))))

    assert [(row["Provider"], row["Model"], row["Estimated cost (cents)"]) for row in rows] == [
        ("openai", "gpt-4o-mini", "0.98"),
        ("nobody", "mystery", ""),
    ]
    assert (rows[0]["Input tokens"], rows[0]["Output tokens"]) == ("7400", "600")
