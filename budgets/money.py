"""How the amounts of a budget are written: `5,000 cents ($50.00)`. Pure.

Money comes in as microcents (10^-8 USD), as the ledger stores it.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from agents.spend import MICROCENTS_PER_CENT

MINUS: Final = "\u2212"
_CENTS_PER_DOLLAR: Final = 100


def in_cents(microcents: int) -> str:
    """`5,000`, `41.37`, `0.4137`: whole cents where they are whole, else two decimals, below a cent four."""
    whole, rest = divmod(abs(microcents), MICROCENTS_PER_CENT)
    if not rest:
        return _signed(microcents, f"{whole:,}")
    return _signed(microcents, _rounded(Decimal(abs(microcents)) / MICROCENTS_PER_CENT, 2 if whole else 4))


def in_dollars(microcents: int) -> str:
    """`$50.00`; what would round to nothing is `<$0.01`."""
    dollars = Decimal(abs(microcents)) / (MICROCENTS_PER_CENT * _CENTS_PER_DOLLAR)
    text = _rounded(dollars, 2)
    return _signed(microcents, f"<${text[1:]}" if text.startswith("<") else f"${text}")


def in_both(microcents: int) -> str:
    """`5,000 cents ($50.00)`: the unit people set budgets in, and the one they think in."""
    unit = "cent" if abs(microcents) == MICROCENTS_PER_CENT else "cents"
    return f"{in_cents(microcents)} {unit} ({in_dollars(microcents)})"


def _rounded(value: Decimal, decimals: int) -> str:
    least = Decimal(1).scaleb(-decimals)
    rounded = value.quantize(least, ROUND_HALF_EVEN)
    return f"<{least}" if value and not rounded else f"{rounded:,f}"


def _signed(microcents: int, text: str) -> str:
    return MINUS + text if microcents < 0 else text
