"""Where the marks go."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from costsite.analytics import charts


def plain(value: int, top: int) -> str:
    return str(value)


@pytest.mark.parametrize(
    ("largest", "ticks"),
    [
        (0, [0]),
        (1, [0, 1]),
        (3, [0, 1, 2, 3]),
        (7, [0, 2, 4, 6, 8]),
        (294, [0, 100, 200, 300]),
        (1_000, [0, 500, 1_000]),
        (43, [0, 20, 40, 60]),
        (2_000_000, [0, 500_000, 1_000_000, 1_500_000, 2_000_000]),
    ],
)
def test_ticks_are_round_steps_from_zero(largest: int, ticks: list[int]) -> None:
    assert charts.nice_ticks(largest) == ticks


@given(st.integers(min_value=1, max_value=10**18))
@example(10**17 + 1)
def test_ticks_are_few_and_the_last_holds_the_largest_value(largest: int) -> None:
    ticks = charts.nice_ticks(largest)

    assert ticks[0] == 0
    assert ticks[-2] < largest <= ticks[-1]
    assert len(ticks) <= 6


def test_the_parts_of_a_column_stand_on_each_other_and_on_zero() -> None:
    chart = charts.stacked_columns([[60, 40], [0, 50]], [1, 2], height=114, label=plain)

    first, second = chart.columns
    assert [(part.slot, part.y, part.height) for part in first.segments] == [(1, 54, 60), (2, 14, 40)]
    assert [(part.slot, part.y, part.height) for part in second.segments] == [(2, 64, 50)]
    assert (first.total, first.top, first.height) == (100, 14, 100)
    assert [(tick.at, tick.label) for tick in chart.ticks] == [(114, "0"), (64, "50"), (14, "100")]


def test_columns_share_the_width_and_leave_gaps() -> None:
    chart = charts.stacked_columns([[1]] * 4, [1], height=100, label=plain)

    assert [column.middle for column in chart.columns] == [12.5, 37.5, 62.5, 87.5]
    assert all(column.slot_x < column.x and column.width < column.slot_width == 25 for column in chart.columns)


def test_a_day_without_spend_has_no_mark() -> None:
    assert charts.stacked_columns([[0], [5]], [1], height=100, label=plain).columns[0].segments == ()


def test_a_sparkline_is_zero_based_and_ends_at_its_last_value() -> None:
    spark = charts.sparkline([0, 10, 5], width=96, height=24, margin=2)

    assert spark is not None
    assert spark.points == "2.0,22.0 48.0,2.0 94.0,12.0"
    assert (spark.last_x, spark.last_y) == (94.0, 12.0)


@pytest.mark.parametrize("values", [[], [0, 0, 0]])
def test_nothing_to_draw_is_no_sparkline(values: list[int]) -> None:
    assert charts.sparkline(values) is None


def test_the_parts_of_a_bar_are_laid_end_to_end_on_the_shared_scale() -> None:
    parts = charts.bar([("fresh", 50), ("cache read", 30)], 160)

    assert [(part.name, part.x, part.width) for part in parts] == [("fresh", 0, 31.25), ("cache read", 31.25, 18.75)]


def test_dots_lie_on_a_logarithmic_scale_with_the_outliers_marked() -> None:
    plot = charts.log_dots(
        [(0.1, 10), (0.2, 10), (0.3, 100), *[(0.5, 10)] * 40, (0.9, 1_000)], height=114, label=plain, headroom=14
    )

    assert plot is not None
    assert [(tick.at, tick.label) for tick in plot.ticks] == [(114, "10"), (64, "100"), (14, "1000")]
    assert (plot.median, plot.median_at) == (10, 114)
    assert [(dot.x, dot.y) for dot in plot.dots if dot.outlier] == [(30, 64), (90, 14)]


def test_dots_of_a_narrow_spread_have_ticks_between_the_powers_of_ten() -> None:
    plot = charts.log_dots([(0, 12), (1, 45)], height=114, label=plain)

    assert plot is not None
    assert [tick.label for tick in plot.ticks] == ["10", "20", "50"]


def test_free_runs_have_no_place_on_a_logarithmic_scale() -> None:
    assert charts.log_dots([(0.5, 0)], height=100, label=plain) is None


@given(st.lists(st.integers(min_value=1, max_value=10**12), min_size=1, max_size=60))
def test_every_dot_is_within_the_plot(values: list[int]) -> None:
    plot = charts.log_dots(
        [(index / len(values), value) for index, value in enumerate(values)], height=160, label=plain
    )

    assert plot is not None
    assert all(13.99 <= dot.y <= 160.01 and 0 <= dot.x <= 100 for dot in plot.dots)


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [([1, 2, 3, 4], 0.5, 2), ([1, 2, 3], 0.5, 2), ([7], 0.95, 7), (list(range(1, 101)), 0.95, 95)],
)
def test_a_percentile_is_a_value_that_occurred(values: list[int], share: float, found: int) -> None:
    assert charts.percentile(values, share) == found


@given(st.sets(st.integers(min_value=1, max_value=10**9), max_size=charts.SLOTS))
def test_no_two_things_shown_together_share_a_colour(ids: set[int]) -> None:
    slots = charts.slots_for(list(ids))

    assert sorted(slots) == sorted(ids)
    assert len(set(slots.values())) == len(ids)
    assert set(slots.values()) <= set(range(1, charts.SLOTS + 1))


def test_a_thing_keeps_its_colour_whoever_is_beside_it_with_another() -> None:
    assert charts.slots_for([3])[3] == charts.slots_for([1, 3, 4])[3] == 3
