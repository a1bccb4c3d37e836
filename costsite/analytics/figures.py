"""How numbers are written: money, tokens, percent, change. Pure.

Money comes in as microcents (10^-8 USD), as the ledger stores it. An unknown cost is None and is never written as 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

from agents.figures import CENT, DOLLAR, HUNDREDTH_OF_A_CENT, many, rounded, signed
from agents.figures import UNPRICED as UNPRICED
from agents.figures import money as money
from agents.figures import percent as percent

NOT_REPORTED = "not reported"


def unpriced_calls(count: int) -> str:
    return many(count, "unpriced call")


def unpriced_runs(count: int) -> str:
    return many(count, "unpriced run")


def sum_of_money(microcents: int | None, unpriced: int, unit: MoneyUnit | None = None) -> str:
    """A sum with what it leaves out: `$12.34 + 3 unpriced calls`. None when nothing of it has a price."""
    if microcents is None:
        return unpriced_calls(unpriced)
    amount = unit.write(microcents) if unit else money(microcents)
    return f"{amount} + {unpriced_calls(unpriced)}" if unpriced else amount


@dataclass(frozen=True)
class MoneyUnit:
    """One unit and one number of decimals, for a column or an axis."""

    symbol: str
    microcents: Decimal
    decimals: int

    @classmethod
    def for_values(cls, values: Iterable[int | None]) -> MoneyUnit:
        """Chosen by the largest of `values`."""
        largest = Decimal(max((abs(value) for value in values if value is not None), default=0))
        if rounded(largest / CENT, 2) >= 100:
            return cls("$", DOLLAR, 2)
        if rounded(largest / CENT, 4) >= 1:
            return cls("¢", CENT, 2)
        if largest >= HUNDREDTH_OF_A_CENT:
            return cls("¢", CENT, 4)
        return cls("¢", CENT, 6)

    def write(self, microcents: int | None) -> str:
        """An amount in this unit; what would round to zero is `<$0.01`, or `−<$0.01`: its sign, then how little it is.

        Nothing is `0¢` in every unit: `$0.00` could as well be rounded.
        """
        if microcents is None:
            return UNPRICED
        if not microcents:
            return money(0)
        value = rounded(Decimal(abs(microcents)) / self.microcents, self.decimals)
        least = Decimal(1).scaleb(-self.decimals)
        return signed(microcents, self._with_symbol(value) if value else f"<{self._with_symbol(least)}")

    def _with_symbol(self, value: Decimal) -> str:
        return f"${value:,f}" if self.symbol == "$" else f"{value:,f}¢"


def money_whole(microcents: int) -> str:
    """Whole dollars, for what is not known to the cent."""
    return signed(microcents, f"${rounded(Decimal(abs(microcents)) / DOLLAR, 0):,f}")


def unit_price(microcents_per_million: int) -> str:
    """USD for a million tokens, exact and with cents at least: `$1.25`, `$0.075`."""
    text = f"{(Decimal(microcents_per_million) / DOLLAR).normalize():f}"
    whole, _, rest = text.partition(".")
    return f"${int(whole):,}.{rest:0<2}"


def axis_money(microcents: int, top: int) -> str:
    """A tick of an axis whose top tick is `top`: no more decimals than it needs, the unit at the top alone."""
    if not microcents:
        return "0"
    if top >= DOLLAR:
        value = f"{(Decimal(microcents) / DOLLAR).normalize():,f}"
        return f"${value}" if microcents == top else value
    value = f"{(Decimal(microcents) / CENT).normalize():,f}"
    return f"{value}¢" if microcents == top else value


def tokens(count: int | None) -> str:
    """Exact: `12,480`."""
    return NOT_REPORTED if count is None else f"{count:,}"


def axis_tokens(count: int, top: int) -> str:
    """A tick of an axis of tokens: ticks are round, so the digits after the point that say nothing go."""
    text = tokens_short(count)
    number, suffix = text.rstrip("kMBT"), text[len(text.rstrip("kMBT")) :]
    return (number.rstrip("0").rstrip(".") if "." in number else number) + suffix


def tokens_short(count: int | None) -> str:
    """Three significant digits: `12.5k`, `3.41M`."""
    if count is None:
        return NOT_REPORTED
    if count < 1_000:
        return str(count)
    for suffix, unit in (("k", 1_000), ("M", 1_000_000), ("B", 1_000_000_000), ("T", 1_000_000_000_000)):
        value = Decimal(count) / unit
        text = rounded(value, max(0, 2 - value.adjusted()))
        if text < 1_000 or suffix == "T":
            break
    return f"{rounded(text, max(0, 2 - text.adjusted())):f}{suffix}"


def coverage(part: int, whole: int) -> str:
    """How much of `whole` is well: rounded down with one decimal, so that only all of it is 100 %."""
    if not whole:
        return "–"
    if part == whole:
        return "100 %"
    return f"{(Decimal(part) * 100 / Decimal(whole)).quantize(Decimal('0.1'), ROUND_DOWN):f} %"


def change(now: int, before: int, unit: MoneyUnit | None = None) -> str:
    """`▲ $3.20 (12 %)`; from zero `new`; under half a percent `no change`. In microcents; `unit`: of the column."""
    if now == before:
        return "no change"
    if not before:
        return "new"
    difference = now - before
    if abs(difference) * 200 < abs(before):
        return "no change"
    amount = unit.write(abs(difference)) if unit else money(abs(difference))
    return f"{'▲' if difference > 0 else '▼'} {amount} ({percent(abs(difference), abs(before))})"


def times(value: int, median: int) -> str:
    """`2.2 ×`: how many medians a value is; empty when there is no median to compare with."""
    if not median:
        return ""
    ratio = Decimal(value) / median
    if ratio >= 10:
        return f"{rounded(ratio, 0):,f} ×"
    return "<0.1 ×" if value and rounded(ratio, 1) == 0 else f"{rounded(ratio, 1):f} ×"
