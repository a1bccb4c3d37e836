"""Conversations, compaction and causes by hand: every amount is worked out beside it."""

from __future__ import annotations

from typing import Any

import pytest

from costsite.advice import causes
from costsite.advice.causes import AgentUsual, explain
from costsite.advice.chains import (
    COLUMNS,
    Call,
    conversations,
    history,
    in_circles,
    paid_for,
    read_dearer_than_needed,
)
from costsite.advice.compaction import SUMMARY_TOKENS, really_saved, saved_at, saved_by_trigger
from langchain_plugin.wire import UnitPrices

PRICES = UnitPrices(
    input=100_000_000, output=200_000_000, cache_read=10_000_000, cache_write_5m=125_000_000,
    cache_write_1h=200_000_000, reasoning=200_000_000, input_audio=100_000_000, output_audio=200_000_000,
)  # fmt: skip
"""1 and 2 USD per million: an input token is 100 microcents, a cache read 10, a write 125, an output token 200."""


def call(input_tokens: int, output_tokens: int = 0, **changes: Any) -> Call:
    facts: dict[str, Any] = dict.fromkeys(COLUMNS, 0) | {
        "run_id": "r", "sub_agent": "", "purpose": "agent", "provider": "acme-ai", "model": "acme-1",
        "request_model": "acme-1", "response_model": "", "service_tier": "", "effort": "", "status": "ok",
        "input_tokens": input_tokens, "output_tokens": output_tokens, "served_from_local_cache": False,
        "cost_microcents": 100 * input_tokens + 200 * output_tokens, "prompt_hash": "", "tool_calls": [],
    }  # fmt: skip
    return Call(**facts | changes)


def talk(*calls: Call) -> list[Any]:
    (steps,) = conversations(calls, [PRICES] * len(calls))
    return steps


def test_the_beginning_of_an_input_is_paid_as_read_then_as_written_then_fresh() -> None:
    (step,) = talk(call(10_000, cache_read_tokens=2_000, cache_write_5m_tokens=3_000))

    # 2,000 x 10 + 3,000 x 125 + 1,000 x 100
    assert paid_for(step, 6_000) == 20_000 + 375_000 + 100_000
    assert paid_for(step, 1_500) == 15_000


def test_history_is_what_was_sent_again_beyond_the_first_prompt() -> None:
    steps = talk(call(1_000), call(3_000), call(6_000))

    # The third call sends 3,000 again, 2,000 of them beyond the first prompt, fresh: 2,000 x 100.
    assert history(steps) == (2_000, 200_000)


def test_a_sub_agents_context_is_a_conversation_of_its_own() -> None:
    calls = [call(1_000), call(9_000, sub_agent="planner"), call(2_000), call(500, status="error")]

    own, planner = conversations(calls, [PRICES] * 4)

    assert [step.call.input_tokens for step in own] == [1_000, 2_000]
    assert [step.again for step in own] == [0, 1_000]
    assert len(planner) == 1


def test_the_third_same_question_to_a_tool_is_a_loop_and_the_second_is_not() -> None:
    same, other = [["search", "aa" * 8]], [["search", "bb" * 8]]
    calls = [call(10, tool_calls=tool) for tool in (same, same, other, same, same)]

    assert in_circles(calls) == {3, 4}
    assert in_circles([call(10, tool_calls=[["search", ""]]) for _ in range(5)]) == set(), "arguments not known"


def test_a_prompt_sent_again_is_a_loop_unless_to_another_model_or_after_a_failure() -> None:
    asked = call(10, prompt_hash="cc" * 8)

    assert in_circles([asked, asked]) == {1}
    assert in_circles([asked, asked._replace(model="acme-2")]) == set()
    assert in_circles([asked._replace(status="error"), asked]) == set()


def test_compacting_saves_what_later_calls_would_not_have_sent_less_the_summary() -> None:
    steps = talk(call(1_000), call(21_000), call(21_000), call(21_000))

    # At 8,000: kept are max(1,000, 2,000) + 1,000 = 3,000, so 18,000 go before the second call.
    # The summary reads 21,000 x 100 and writes 1,000 x 200: 2,300,000. Nothing was cached, so no cache is missed.
    # Spared: the second call had sent 1,000 before, so at most these 1,000 x 100; the two after it 18,000 x 100 each.
    assert SUMMARY_TOKENS == 1_000
    assert saved_at(steps, 8_000) == -2_300_000 + 100_000 + 2 * 1_800_000


def test_tokens_read_from_a_cache_are_spared_at_what_they_cost() -> None:
    fresh = talk(call(1_000), call(41_000), call(41_000), call(41_000), call(41_000))
    cached = talk(
        call(1_000),
        *(call(41_000, cache_read_tokens=1_000 if first else 41_000) for first in (True, False, False, False)),
    )

    assert saved_at(fresh, 16_000) > 0
    assert saved_at(cached, 16_000) < 0, "a summary costs more than reading the cache a few times"


def test_only_triggers_that_the_conversation_reached_are_looked_at() -> None:
    assert saved_by_trigger(talk(call(1_000), call(2_000), call(3_900))) == {}
    assert set(saved_by_trigger(talk(call(1_000), call(9_000), call(13_000)))) == {4_000, 8_000, 12_000}


def test_what_a_summary_really_saved_is_counted_with_its_cost() -> None:
    summary = call(20_000, 500, purpose="compaction")
    calls = [call(1_000), call(20_000), summary, call(4_000), call(5_000)]

    # A step adds 1,000, the lower of 19,000 and 1,000: the third call would have sent 21,000, and sent 4,000.
    # So 17,000 tokens went; each of the two calls after the summary is spared them at 100: 3,400,000.
    # The summary cost 20,000 x 100 + 500 x 200 = 2,100,000.
    assert really_saved(calls, talk(*calls)) == 3_400_000 - 2_100_000


def test_summaries_before_every_call_save_what_keeps_the_context_from_growing() -> None:
    summary = call(500, purpose="compaction")
    calls = [call(1_000), call(2_000), call(3_000), summary, call(3_000), summary, call(3_000), summary, call(3_000)]

    # Of contexts of 4,000, 5,000 and 6,000 each sends 3,000: 1,000 + 2,000 + 3,000 tokens at 100, less 3 x 500 x 100.
    assert really_saved(calls, talk(*calls)) == 600_000 - 150_000


def test_a_cache_that_the_shortened_context_does_not_meet_counts_against_the_summary() -> None:
    calls = [
        call(10_000), call(12_000, cache_read_tokens=10_000), call(12_000, 500, purpose="compaction"),
        call(4_000), call(6_000, cache_read_tokens=4_000),
    ]  # fmt: skip

    # Sent again at 10 a token, new ones at 100, 2,000 of them a step.
    # After the summary a call would have sent 12,000 again and 2,000 new: 320,000; its 4,000 fresh cost 400,000.
    # The next would have sent 14,000 again and 2,000 new: 340,000; it cost 4,000 x 10 + 2,000 x 100 = 240,000.
    # The summary cost 12,000 x 100 + 500 x 200.
    assert really_saved(calls, talk(*calls)) == -80_000 + 100_000 - 1_300_000


def test_a_context_that_somebody_else_shortened_is_no_saving_of_a_summary() -> None:
    summary = call(500, purpose="compaction")
    calls = [call(1_000), call(9_000), summary, call(3_000), call(2_000), call(3_000)]

    # A step adds 1,000 or 8,000, of which the lower: 10,000 less 3,000 at 100; then another conversation begins.
    assert really_saved(calls, talk(*calls)) == 700_000 - 50_000


def test_a_conversation_of_summaries_alone_grows_by_what_is_answered() -> None:
    summary = call(500, purpose="compaction")
    calls = [call(3_000, 200), summary, call(3_000, 200)]

    assert really_saved(calls, talk(*calls)) == 200 * 100 - 50_000


def test_history_read_from_no_cache_is_advised_on_only_where_it_could_have_been_cached() -> None:
    # The second call sends 2,000 again: 2,000 x (100 - 10), less what writing 1,000 new ones for a third would cost.
    steps = talk(call(2_000), call(3_000), call(4_000))

    assert read_dearer_than_needed(steps) == 2_000 * 90 - 1_000 * 25 + 3_000 * 90
    assert read_dearer_than_needed(talk(call(900), call(1_000))) == 0, "too short for any cache"
    assert read_dearer_than_needed(talk(call(2_000), call(3_000, cache_read_tokens=2_000))) == 0


def test_a_cause_never_comes_to_more_than_what_the_run_is_over() -> None:
    usual = AgentUsual(runs=100, cost=300_000, calls=2, first_input_tokens=1_000, output_tokens=100)
    calls = [call(50_000, 100, tool_calls=[["t", "ab" * 8]]) for _ in range(12)]

    found = explain(calls, [PRICES] * 12, usual)

    over = sum(one.cost_microcents or 0 for one in calls) - usual.cost
    assert found[0].kind == causes.LOOPS
    assert all(0 < (cause.microcents or 0) <= over for cause in found)


def test_a_run_that_was_no_dearer_than_usual_has_no_causes() -> None:
    assert explain([call(1_000)], [PRICES], AgentUsual(runs=100, cost=100_000, calls=1)) == []
    assert explain([], [], AgentUsual()) == []


@pytest.mark.parametrize("kind", causes.LABELS)
def test_every_cause_has_its_words(kind: str) -> None:
    from costsite.advice.words import of_cause

    every = {
        "calls": 3, "usual_calls": 1, "tokens": 5_000, "usual_tokens": 1_000, "from_tokens": 1_000, "to_tokens": 9_000,
        "history_tokens": 12_000, "model": "m", "usual_model": "", "percent": 2, "usual_percent": 50,
    }  # fmt: skip

    assert of_cause(kind, every).endswith(".")
