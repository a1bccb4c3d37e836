from __future__ import annotations

import pytest

from budgets.money import in_both, in_cents, in_dollars

CENT = 1_000_000


@pytest.mark.parametrize(
    ("microcents", "cents", "dollars"),
    [
        (5_000 * CENT, "5,000", "$50.00"),
        (0, "0", "$0.00"),
        (41_370_012, "41.37", "$0.41"),
        (413_700, "0.4137", "<$0.01"),
        (12, "<0.0001", "<$0.01"),
        (-300 * CENT, "−300", "−$3.00"),
        (123_456_789 * CENT, "123,456,789", "$1,234,567.89"),
    ],
)
def test_amounts_of_a_budget_are_written_in_cents_and_dollars(microcents: int, cents: str, dollars: str) -> None:
    assert (in_cents(microcents), in_dollars(microcents)) == (cents, dollars)


def test_both_units_stand_side_by_side() -> None:
    assert in_both(5_000 * CENT) == "5,000 cents ($50.00)"
    assert in_both(CENT) == "1 cent ($0.01)"
