"""The demo's traffic looks like the traffic of real services, and is the same each time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random
from statistics import mean, quantiles
from zoneinfo import ZoneInfo

import pytest

from agents.models import AgentDay, AgentRunLog, LLMCall, ModelDay, UsageDay, UsageMonth, WorkspaceDay
from costsite.demo import cast
from costsite.demo.load import days_to_load, load
from costsite.demo.shapes import CHAT_ANSWER, CHAT_CONTEXT, CODE_ANSWER, CODE_CONTEXT, TokenShape
from costsite.demo.traffic import RUNAWAY_CALLS, events_of_day, when
from langchain_plugin import wire

ZONE = ZoneInfo("Europe/Berlin")
FIVE_WEEKS = [date(2026, 10, 1) + timedelta(days=number) for number in range(35)]


@pytest.fixture(scope="module")
def events() -> list[wire.Event]:
    return [
        event for day in FIVE_WEEKS for place in cast.WORKSPACES for event in events_of_day(place, day, ZONE, seed=7)
    ]


@pytest.fixture(scope="module")
def calls(events: list[wire.Event]) -> list[wire.LLMCall]:
    return [event for event in events if isinstance(event, wire.LLMCall)]


# Computed from the published traces themselves (Azure LLM inference trace 2023), not from the shapes: the quarter,
# half and three-quarter points, the 95th percentile, and the mean.
PUBLISHED = {
    "chat context": (CHAT_CONTEXT, 396, 1020, 1189, 4083, 1154.7),
    "chat answer": (CHAT_ANSWER, 85, 129, 395, 451, 211.1),
    "code context": (CODE_CONTEXT, 578, 1469, 2745, 7315, 2047.8),
    "code answer": (CODE_ANSWER, 9, 13, 24, 90, 27.9),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_drawn_token_counts_have_the_published_quantiles_and_mean(name: str) -> None:
    shape, *published, published_mean = PUBLISHED[name]
    rng = Random(11)
    drawn = sorted(shape.sample(rng) for _ in range(20_000))

    found = [drawn[int(len(drawn) * share)] for share in (0.25, 0.5, 0.75, 0.95)]

    for is_, should_be in zip(found, published, strict=True):
        assert is_ == pytest.approx(should_be, rel=0.12, abs=1)
    assert mean(drawn) == pytest.approx(published_mean, rel=0.08)


@pytest.mark.parametrize(
    ("agent", "median_context", "median_answer"),
    [
        ("support-bot", 1020, 129),
        ("ticket-triage", 1020, 13),
        ("code-completer", 1469, 13),
        ("reply-drafter", 1020, 129),
    ],
)
def test_an_agents_calls_keep_the_shape_after_retries_failures_and_caches(
    calls: list[wire.LLMCall], agent: str, median_context: int, median_answer: int
) -> None:
    first_calls = [call for call in calls if call.agent == agent and call.call_index == 0 and call.status == "ok"]
    contexts = [call.input_tokens or 0 for call in first_calls]
    answers = [(call.output_tokens or 0) - call.reasoning_tokens for call in first_calls]

    assert quantiles(contexts, n=4)[1] == pytest.approx(median_context, rel=0.1)
    assert quantiles(answers, n=4)[1] == pytest.approx(median_answer, rel=0.15)


def test_a_shape_is_read_between_its_points_on_a_logarithmic_line() -> None:
    # Half-way in shares between 2 tokens (0 %) and 29 tokens (1 %): the square root of 2 x 29 = 58, which is 7.6.
    assert CHAT_CONTEXT.at(0.005) == 8
    assert (CHAT_CONTEXT.at(0.0), CHAT_CONTEXT.at(1.0)) == (2, 14_050)
    assert [TokenShape(tuple(range(1, 17))).at(share) for share in (0.0, 0.5, 1.0)] == [1, 8, 16]


def test_weekends_and_nights_are_quiet(calls: list[wire.LLMCall]) -> None:
    by_weekday = Counter(call.started_at.astimezone(ZONE).weekday() for call in calls if call.agent == "code-completer")
    by_hour = Counter(call.started_at.astimezone(ZONE).hour for call in calls if call.agent == "code-completer")

    weekend, week = by_weekday[5] + by_weekday[6], sum(by_weekday[day] for day in range(5))
    assert weekend / 2 < 0.2 * week / 5
    assert sum(by_hour[hour] for hour in range(6)) < 0.05 * sum(by_hour[hour] for hour in range(9, 18))


def test_it_has_what_pages_must_show(events: list[wire.Event], calls: list[wire.LLMCall]) -> None:
    statuses = Counter(call.status for call in calls)
    assert set(statuses) == {"ok", "error", "abandoned", "cancelled"}
    assert 0.9 < statuses["ok"] / len(calls) < 0.99
    assert any(call.served_from_local_cache for call in calls)
    assert any(call.cache_read_tokens and call.cache_write_5m_tokens for call in calls)
    assert any(call.reasoning_tokens for call in calls)
    assert {call.provider for call in calls} == {"openai", "anthropic", "google_genai", "vllm"}
    assert len({call.agent for call in calls}) == 6
    assert any(call.sub_agent for call in calls)
    assert len({call.step for call in calls}) >= 6
    assert any(call.thread_id for call in calls)
    assert any(call.tags for call in calls)
    assert any(event.status == "error" for event in events if isinstance(event, wire.RunEnded))


def test_a_failed_call_is_tried_again_with_the_same_prompt(calls: list[wire.LLMCall]) -> None:
    by_prompt: dict[str | None, list[str]] = {}
    for call in sorted(calls, key=lambda call: call.started_at):
        by_prompt.setdefault(call.prompt_hash, []).append(call.status)

    retried = [statuses for statuses in by_prompt.values() if statuses[0] == "error"]

    assert retried
    assert sum(statuses[-1] != "error" for statuses in retried) > 0.8 * len(retried)


def test_context_grows_within_a_run_and_one_run_a_month_runs_away(calls: list[wire.LLMCall]) -> None:
    runs: dict[object, list[wire.LLMCall]] = {}
    for call in calls:
        if call.agent == "fix-bot" and call.status == "ok":
            runs.setdefault(call.run_id, []).append(call)
    longest = max(runs.values(), key=len)

    assert all(before.input_tokens < after.input_tokens for before, after in pairwise(longest))  # type: ignore[operator]
    assert 0 < sum(len(run) > 60 for run in runs.values()) <= 2
    assert len(longest) <= RUNAWAY_CALLS
    assert len({call.tool_calls for call in longest if call.tool_calls}) == 1


def test_the_same_day_is_the_same_whatever_else_is_loaded() -> None:
    day = date(2026, 11, 3)
    once = events_of_day(cast.SUPPORT, day, ZONE, seed=7)

    assert events_of_day(cast.SUPPORT, day, ZONE, seed=7) == once
    assert events_of_day(cast.SUPPORT, day, ZONE, seed=8) != once
    assert events_of_day(cast.SUPPORT, day + timedelta(days=1), ZONE, seed=7) != once
    assert once == sorted(once, key=when)


@pytest.mark.django_db
def test_loading_goes_from_the_start_of_last_month_to_now_and_a_second_time_adds_only_what_is_new() -> None:
    now = datetime(2026, 11, 2, 15, 30, tzinfo=UTC)
    assert [days_to_load(now)[0], days_to_load(now)[-1]] == [date(2026, 10, 1), date(2026, 11, 2)]
    days: list[None] = []

    first = load(now, on_day=lambda: days.append(None))
    calls_then = LLMCall.objects.count()

    assert len(days) == 33
    assert first > calls_then > 9_000
    assert load(now) == 0
    assert days_to_load(now) == [date(2026, 11, 2)]
    later = load(now + timedelta(hours=20))
    assert later > 0
    assert LLMCall.objects.count() > calls_then
    assert not LLMCall.objects.filter(started_at__gt=now + timedelta(hours=20)).exists()


@pytest.mark.django_db
def test_what_is_loaded_adds_up_and_only_the_model_without_a_price_is_unpriced() -> None:
    load(datetime(2026, 11, 1, 12, 0, tzinfo=UTC))

    calls = list(LLMCall.objects.values_list("provider", "cost_basis", "cost_microcents", "input_tokens"))
    spent = sum(cost or 0 for _, _, cost, _ in calls)
    assert {provider for provider, basis, _, _ in calls if basis == "unpriced"} == {"vllm"}
    assert spent > 0
    for table in (UsageDay, UsageMonth, AgentDay, ModelDay, WorkspaceDay, AgentRunLog):
        rows = table.objects.values_list("calls", "cost_microcents", "input_tokens")
        assert [sum(column) for column in zip(*rows, strict=True)] == [
            len(calls),
            spent,
            sum(tokens for *_, tokens in calls),
        ]
    assert WorkspaceDay.objects.count() == 64
