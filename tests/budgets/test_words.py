"""The sentences people get, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agents.spend import NOTHING, Spend
from budgets.words import Passed, month_ended, passed, trial
from tests.budgets.conftest import CENT

LINE = Passed(
    scope="agent", subject="support-bot", mode="hard", threshold=80, limit=50 * CENT, spent=40 * CENT, month="2026-11",
    ends_at=datetime(2026, 11, 30, 23, tzinfo=UTC), at=datetime(2026, 11, 20, 12, tzinfo=UTC), zone="Europe/Berlin",
    late=False, at_creation=False,
)  # fmt: skip
FULL = replace(LINE, threshold=100, spent=50 * CENT)


def test_a_line_below_the_limit_says_how_much_is_used() -> None:
    said = passed(LINE)
    assert said.title == "support-bot: 80 % of the November budget"
    assert said.body == "support-bot has used 80 % of its November budget (40.00¢ of 50.00¢)."


@pytest.mark.parametrize(
    ("mode", "title", "consequence"),
    [
        ("hard", "support-bot is blocked", "It is blocked until 1 December 00:00 (Europe/Berlin)."),
        (
            "dispatch",
            "support-bot: new runs are refused",
            "New runs are refused until 1 December 00:00 (Europe/Berlin); running ones finish.",
        ),
        ("monitor", "support-bot: 100 % of the November budget", "Nothing is stopped: the budget only tells."),
    ],
)
def test_the_limit_says_what_stops_and_until_when(mode: str, title: str, consequence: str) -> None:
    said = passed(replace(FULL, mode=mode))
    assert said.title == title
    assert said.body == f"support-bot has used 100 % of its November budget (50.00¢ of 50.00¢). {consequence}"


@pytest.mark.parametrize(
    ("scope", "subject", "who", "stopped"),
    [
        ("workspace", "Acme", "Workspace Acme", "Its agents are blocked until"),
        ("site", "the whole site", "The whole site", "All agents are blocked until"),
    ],
)
def test_a_wider_budget_names_whom_it_stops(scope: str, subject: str, who: str, stopped: str) -> None:
    said = passed(replace(FULL, scope=scope, subject=subject))
    assert said.title == f"{who} is blocked"
    assert said.body.startswith(f"{who} has used 100 %")
    assert stopped in said.body


def test_a_limit_reached_past_the_last_line_people_set_says_that_too() -> None:
    # Thresholds of 50 and 80 alone: 60 of 50 cents is 120 percent.
    said = passed(replace(LINE, spent=60 * CENT))
    assert "120 % of its November budget (60.00¢ of 50.00¢). It is blocked" in said.body


def test_a_limit_that_is_nearly_reached_is_not_said_to_be() -> None:
    said = passed(replace(FULL, limit=1_000 * CENT, spent=996 * CENT))
    assert said.title == "support-bot: over 99 % of the November budget"
    assert "blocked" not in said.body
    assert said.body.endswith(
        "A call was refused, since it may cost more than the 4.00¢ that is left; smaller ones go."
    )


def test_late_calls_stop_nothing() -> None:
    said = passed(replace(FULL, late=True, month="2026-10"))
    assert said.title == "support-bot: 100 % of the October budget"
    assert said.body.endswith("The calls arrived after that month was over, so nothing is stopped.")


def test_lines_that_lay_behind_say_so() -> None:
    assert passed(replace(LINE, at_creation=True)).body.endswith("already when the budget was made or changed.")


def test_a_budget_of_nothing_has_no_percentage() -> None:
    said = passed(replace(FULL, limit=0, spent=0))
    assert said.title == "support-bot is blocked"
    assert said.body.startswith("support-bot may spend nothing in November: its budget is 0¢. It is blocked until")


def test_a_month_of_another_year_has_its_year() -> None:
    said = passed(replace(LINE, month="2025-12", at=datetime(2026, 1, 2, tzinfo=UTC), late=True))
    assert "its December 2025 budget" in said.body


def test_a_month_that_ended_is_summed_up_beside_the_one_before() -> None:
    november = Spend(calls=18_204, cost_microcents=41_260 * CENT)
    october = Spend(calls=9, cost_microcents=38_010 * CENT)
    said = month_ended("Acme", "2026-11", november, before=october, free_again=["support-bot"], year=2026)
    assert said.title == "Acme in November: $412.60"
    assert said.body == (
        "Acme spent $412.60 in November, in 18,204 calls; the month before it was $380.10. Free again: support-bot."
    )


def test_calls_without_a_price_are_not_passed_off_as_free() -> None:
    some = Spend(calls=3, unpriced_calls=2, cost_microcents=CENT)
    none = Spend(calls=1, unpriced_calls=1)
    assert month_ended("Acme", "2026-11", some, before=None, free_again=[], year=2026).body == (
        "Acme spent 1.00¢ in November, in 3 calls. 2 of them have no price yet and are not in it."
    )
    assert month_ended("Acme", "2026-11", none, before=NOTHING, free_again=[], year=2026).body == (
        "Acme made 1 call in November, and none of them has a price yet."
    )


def test_a_month_without_calls_says_so_and_who_is_free() -> None:
    names = [f"agent-{number}" for number in range(12)]
    said = month_ended("Acme", "2026-12", NOTHING, before=None, free_again=names, year=2027)
    assert said.title == "Acme in December 2026: no calls"
    assert said.body.endswith("agent-8, agent-9 and 2 more.")


def test_a_test_names_who_pressed_the_button() -> None:
    assert trial("#costs", "ada").body == "ada tests the channel #costs. Budget notifications arrive here."
