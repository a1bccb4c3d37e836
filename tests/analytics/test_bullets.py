"""Where the marks of a budget's bar go, in percent across; the line of the limit stands at 80."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costsite.analytics.bullets import LIMIT_AT, bullet

CENT = 1_000_000
AMOUNTS = st.integers(min_value=0, max_value=10**17)


@pytest.mark.parametrize(
    ("limit", "spent", "held", "marks"),
    [
        # Half of 100 cents is 40 of 80 percent; 10 held are 8.
        (100, 50, 10, (80.0, 40.0, 8.0)),
        # 25 over: 125 cents fill the bar to its end, and the line stays where it is.
        (100, 125, 0, (80.0, 100.0, 0.0)),
        # Ten times the limit: the line moves to a tenth of the width.
        (100, 1_000, 0, (10.0, 100.0, 0.0)),
        # Spent and held together are over.
        (100, 90, 110, (50.0, 45.0, 55.0)),
        (0, 0, 0, (80.0, 0.0, 0.0)),
        (0, 3, 0, (80.0, 100.0, 0.0)),
        # Corrections may have made the sum negative.
        (100, -5, 0, (80.0, 0.0, 0.0)),
    ],
)
def test_spent_is_followed_by_held_and_what_is_over_grows_beyond_the_line(
    limit: int, spent: int, held: int, marks: tuple[float, float, float]
) -> None:
    bar = bullet(limit * CENT, spent * CENT, held * CENT, (50, 80, 100))

    assert (bar.limit_at, bar.spent, bar.held) == marks


def test_thresholds_are_ticks_before_the_line_and_the_limit_is_the_line_itself() -> None:
    assert bullet(100 * CENT, 0, 0, (50, 80, 100)).ticks == (40.0, 64.0)
    assert bullet(0, 0, 0, (50, 80, 100)).ticks == ()


@given(limit=AMOUNTS, spent=AMOUNTS, held=AMOUNTS)
def test_nothing_is_drawn_outside_the_bar_and_the_line_tells_over_from_under(limit: int, spent: int, held: int) -> None:
    bar = bullet(limit, spent, held, (50, 80, 100))

    assert 0 <= bar.limit_at <= LIMIT_AT
    assert bar.spent + bar.held <= 100.02
    if limit and spent > limit * 101 // 100:
        assert bar.spent >= bar.limit_at
    if limit and spent < limit * 99 // 100:
        assert bar.spent <= bar.limit_at
