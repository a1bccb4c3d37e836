"""Every rule of how numbers are written, as a case."""

from __future__ import annotations

import pytest

from costsite.analytics import figures

CENT = 1_000_000
DOLLAR = 100 * CENT


@pytest.mark.parametrize(
    ("microcents", "written"),
    [
        (None, "unpriced"),
        (0, "0¢"),
        (1, "0.000001¢"),
        (412, "0.000412¢"),
        (1_234, "0.00123¢"),
        (9_999, "0.0100¢"),
        (10_000, "0.0100¢"),
        (413_700, "0.4137¢"),
        (999_949, "0.9999¢"),
        (999_950, "1.00¢"),
        (CENT, "1.00¢"),
        (41_370_000, "41.37¢"),
        (99_994_999, "99.99¢"),
        (99_996_000, "$1.00"),
        (DOLLAR, "$1.00"),
        (1_234_000_000, "$12.34"),
        (99_999_499_999, "$999.99"),
        (123_456_000_000, "$1,234.56"),
        (-5_323_000, "−5.32¢"),
    ],
)
def test_an_amount_is_written_in_the_unit_of_its_size(microcents: int | None, written: str) -> None:
    assert figures.money(microcents) == written


@pytest.mark.parametrize(
    ("microcents", "written"),
    [
        (123_456_000_000, "$1,235"),
        (99_999_000_000, "$999.99"),
        (99_999_600_000, "$1,000"),
        (41_370_000, "41.37¢"),
        (None, "unpriced"),
    ],
)
def test_a_kpi_over_a_thousand_dollars_is_whole_dollars(microcents: int | None, written: str) -> None:
    assert figures.money(microcents, kpi=True) == written


@pytest.mark.parametrize(
    ("column", "written"),
    [
        ([1_234_000_000, 41_370_000, 300_000, 0, None], ["$12.34", "$0.41", "<$0.01", "0¢", "unpriced"]),
        ([41_370_000, 413_700, 4_000], ["41.37¢", "0.41¢", "<0.01¢"]),
        ([413_700, 12_345, 40], ["0.4137¢", "0.0123¢", "<0.0001¢"]),
        ([412, 3], ["0.000412¢", "0.000003¢"]),
        ([99_996_000], ["$1.00"]),
        ([999_960], ["1.00¢"]),
        ([-1_234_000_000, -300_000], ["−$12.34", "−<$0.01"]),
        ([None], ["unpriced"]),
        ([], []),
    ],
)
def test_a_column_has_one_unit_chosen_by_its_largest_value(column: list[int | None], written: list[str]) -> None:
    unit = figures.MoneyUnit.for_values(column)

    assert [unit.write(value) for value in column] == written


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (None, "not reported"),
        (0, "0"),
        (999, "999"),
        (1_000, "1.00k"),
        (12_480, "12.5k"),
        (123_456, "123k"),
        (999_499, "999k"),
        (999_500, "1.00M"),
        (3_412_000, "3.41M"),
        (2_000_000_000, "2.00B"),
        (7_500_000_000_000_000, "7500T"),
    ],
)
def test_tokens_are_short_to_three_digits(count: int | None, written: str) -> None:
    assert figures.tokens_short(count) == written


def test_tokens_in_a_table_are_exact() -> None:
    assert figures.tokens(12_480) == "12,480"
    assert figures.tokens(None) == "not reported"


@pytest.mark.parametrize(
    ("part", "whole", "written"),
    [
        (0, 0, "–"),
        (0, 5, "0 %"),
        (1, 8, "12 %"),
        (99, 1000, "9.9 %"),
        (9_949, 100_000, "9.9 %"),
        (9_951, 100_000, "10 %"),
        (1, 100_000, "<0.1 %"),
        (3, 2, "150 %"),
        (1, 1, "100 %"),
    ],
)
def test_percent_is_whole_from_ten_and_never_clipped(part: int, whole: int, written: str) -> None:
    assert figures.percent(part, whole) == written


@pytest.mark.parametrize(
    ("part", "whole", "written"), [(0, 0, "–"), (99_999, 100_000, "99.9 %"), (5, 5, "100 %"), (0, 5, "0.0 %")]
)
def test_coverage_says_100_percent_only_when_all_is_covered(part: int, whole: int, written: str) -> None:
    assert figures.coverage(part, whole) == written


@pytest.mark.parametrize(
    ("now", "before", "written"),
    [
        (30 * DOLLAR, 26_800_000_00, "▲ $3.20 (12 %)"),
        (50, 0, "new"),
        (0, 0, "no change"),
        (DOLLAR, DOLLAR + DOLLAR // 250, "no change"),
        (DOLLAR, 2 * DOLLAR, "▼ $1.00 (50 %)"),
        (0, 3 * CENT, "▼ 3.00¢ (100 %)"),
    ],
)
def test_a_change_says_how_much_and_how_many_percent(now: int, before: int, written: str) -> None:
    assert figures.change(now, before) == written


@pytest.mark.parametrize(
    ("value", "top", "written"),
    [
        (0, DOLLAR, "0"),
        (DOLLAR // 2, 2 * DOLLAR, "0.5"),
        (2 * DOLLAR, 2 * DOLLAR, "$2"),
        (20 * CENT, 40 * CENT, "20"),
        (40 * CENT, 40 * CENT, "40¢"),
        (20_000 * DOLLAR, 20_000 * DOLLAR, "$20,000"),
        (100, 100, "0.0001¢"),
    ],
)
def test_an_axis_says_its_unit_at_the_top_alone(value: int, top: int, written: str) -> None:
    assert figures.axis_money(value, top) == written


@pytest.mark.parametrize(
    ("count", "written"), [(0, "0"), (5_000, "5k"), (15_000, "15k"), (2_500_000, "2.5M"), (400, "400")]
)
def test_an_axis_of_tokens_has_no_idle_zeros(count: int, written: str) -> None:
    assert figures.axis_tokens(count, 20_000) == written


@pytest.mark.parametrize(
    ("value", "median", "written"),
    [(22, 10, "2.2 ×"), (100, 0, ""), (155, 10, "16 ×"), (1, 1_000, "<0.1 ×"), (0, 7, "0.0 ×")],
)
def test_a_run_is_so_many_times_the_median(value: int, median: int, written: str) -> None:
    assert figures.times(value, median) == written


def test_a_column_of_nothing_is_0_cents_as_nothing_is_anywhere() -> None:
    assert figures.MoneyUnit.for_values([0, None]).write(0) == "0¢"
