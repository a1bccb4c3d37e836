"""How one amount of money, one share and one count are written, wherever people read them. Pure.

Money comes in as microcents (10^-8 USD), as the ledger stores it. An unknown cost is None and is never written as 0.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

UNPRICED = "unpriced"
MINUS = "\u2212"

CENT = Decimal(1_000_000)
DOLLAR = 100 * CENT
HUNDREDTH_OF_A_CENT = CENT / 100


def rounded(value: Decimal, decimals: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN)


def signed(microcents: int, text: str) -> str:
    return MINUS + text if microcents < 0 else text


def money(microcents: int | None, *, kpi: bool = False) -> str:
    """One amount on its own. As a `kpi`, amounts over $1,000 are whole dollars.

    A value that rounding would carry to the next unit is written in that unit: 99.996 cents is $1.00.
    """
    if microcents is None:
        return UNPRICED
    size = Decimal(abs(microcents))
    if not size:
        return "0¢"
    cents = size / CENT
    # 3 significant digits, never an exponent; a microcent is the sixth decimal of a cent, and the last there is.
    tiny = rounded(cents, min(6, max(0, 2 - cents.adjusted())))
    if tiny < HUNDREDTH_OF_A_CENT / CENT:
        text = f"{tiny:f}¢"
    elif rounded(cents, 4) < 1:
        text = f"{rounded(cents, 4):f}¢"
    elif rounded(cents, 2) < 100:
        text = f"{rounded(cents, 2):f}¢"
    elif kpi and rounded(size / DOLLAR, 2) >= 1_000:
        text = f"${rounded(size / DOLLAR, 0):,f}"
    else:
        text = f"${rounded(size / DOLLAR, 2):,f}"
    return signed(microcents, text)


def percent(part: int, whole: int) -> str:
    """`part` of `whole`: whole from 10, one decimal below, never clipped at 100. Nothing of nothing is a dash."""
    if not whole:
        return "–"
    if not part:
        return "0 %"
    value = Decimal(part) * 100 / Decimal(whole)
    if abs(rounded(value, 1)) >= 10:
        return f"{rounded(value, 0):,f} %"
    return f"{rounded(value, 1):f} %" if rounded(value, 1) else "<0.1 %"


def many(count: int, what: str) -> str:
    """`1 call`, `1,200 calls`: of what takes an s."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
