"""Why a run cost more than usual: the causes, by hand, and that they add up."""

from __future__ import annotations

import re
from decimal import Decimal
from random import Random

from django.test import Client

from agents.models import AgentRunLog
from costsite.analytics.run_why import RunSize, why
from tests.analytics.facts import UNPRICED, Spend, text_of

CENT = 1_000_000
USUAL = RunSize(cost=4 * CENT, calls=4, input_tokens=3_000, output_tokens=1_000, cache_read_tokens=0)
"""A cent a call, 1,000 tokens a call, 10 dollars a million tokens."""


def test_more_calls_of_the_usual_kind_cost_as_much_as_such_calls() -> None:
    answer = why(RunSize(9 * CENT, 9, 6_750, 2_250, 0), USUAL)

    assert answer is not None
    assert answer.answer == "5.00¢ more than the agent's median run of 4.00¢"
    assert [(cause.words, cause.amount) for cause in answer.causes] == [("9 calls, usually 4", "+5.00¢")]


def test_each_cause_goes_on_from_where_the_one_before_it_ended() -> None:
    # Two calls more: +2 cents. 6 calls of 2,000 tokens instead of 1,000: 6,000 tokens at 0.001 cents each: +6 cents.
    # 12,000 tokens at half the price, 0.0005 cents: -6 cents. 4 + 2 + 6 - 6 = 6.
    answer = why(RunSize(6 * CENT, 6, 10_000, 2_000, 9_000), USUAL)

    assert answer is not None
    assert [cause.microcents for cause in answer.causes] == [2 * CENT, 6 * CENT, -6 * CENT]
    assert [cause.amount for cause in answer.causes] == ["+2.00¢", "+6.00¢", "−6.00¢"]
    assert answer.causes[2].words == ("$5.00 a million tokens, usually $10.00 (90 % of input from cache, usually 0 %)")


def test_the_figures_add_up_as_they_are_written() -> None:
    chance = Random(3)
    for _ in range(500):
        sizes = [
            RunSize(
                cost=chance.randrange(1, 10 ** chance.randrange(3, 11)),
                calls=chance.randrange(1, 40),
                input_tokens=chance.randrange(1, 10**6),
                output_tokens=chance.randrange(0, 10**5),
                cache_read_tokens=0,
            )
            for _ in range(2)
        ]
        answer = why(*sizes)

        assert answer is not None
        assert sum(cause.microcents for cause in answer.causes) == answer.difference == sizes[0].cost - sizes[1].cost
        written = [Decimal(re.sub(r"[^0-9.]", "", cause.amount)) for cause in answer.causes]
        signs = [-1 if cause.amount.startswith("−") else 1 for cause in answer.causes]
        unit = Decimal(100 * CENT if any("$" in cause.amount for cause in answer.causes) else CENT)
        total = sum(sign * value for sign, value in zip(signs, written, strict=True))
        assert abs(total - Decimal(answer.difference) / unit) <= Decimal("0.005")


def test_a_run_like_the_usual_one_is_said_to_be() -> None:
    answer = why(USUAL, USUAL)

    assert answer is not None
    assert answer.answer == "As much as the agent's median run of 4.00¢"
    assert answer.causes == ()


def test_without_something_to_compare_there_is_no_answer() -> None:
    free = RunSize(0, 4, 3_000, 1_000, 0)

    assert why(USUAL, free) is None
    assert why(RunSize(CENT, 0, 0, 0, 0), USUAL) is None
    assert why(RunSize(CENT, 1, 0, 0, 0), USUAL) is None


def test_a_runs_page_says_why_it_was_dear(spend: Spend, as_viewer: Client) -> None:
    for _ in range(4):
        spend()
    dear = spend(input_tokens=2_400, output_tokens=600)

    html = text_of(as_viewer, "run", AgentRunLog.objects.get(run_id=dear.run_id).pk)

    assert "0.1800¢ more than the agent&#x27;s median run of 0.1800¢" in html
    assert "+0.1800¢ 3.00k tokens a call, usually 1.50k" in html
    assert "These add up to the difference." in html


def test_of_a_run_whose_cost_is_not_all_known_nothing_is_said(spend: Spend, as_viewer: Client) -> None:
    call = spend()
    spend(run_id=call.run_id, **UNPRICED)
    spend()

    assert "median run" not in text_of(as_viewer, "run", AgentRunLog.objects.get(run_id=call.run_id).pk)


def test_calls_of_a_sub_agent_are_a_branch_with_a_sum_of_its_own(spend: Spend, as_viewer: Client) -> None:
    call = spend(step="plan")
    for sub_agent in ("reader", "reader", ""):
        spend(run_id=call.run_id, sub_agent=sub_agent, step="act")

    html = text_of(as_viewer, "run", AgentRunLog.objects.get().pk)

    assert "reader 2 calls 2,400 600 0.3600¢" in html
