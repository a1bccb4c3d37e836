"""Why a run cost what it cost, against the agent's median run, in a sentence whose figures add up. Pure.

The difference is taken apart in three steps, each from where the one before ended: as many calls as this run, at the
usual cost of a call; tokens as many as in this run, at the usual cost of a token; and what a token cost in this run.
The last is what is left, so the three come to the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from agents.figures import MINUS, many, money, rounded
from costsite.analytics import figures


@dataclass(frozen=True)
class RunSize:
    """A run of which every call has a price."""

    cost: int
    """Microcents."""
    calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def cached(self) -> str:
        return figures.percent(self.cache_read_tokens, self.input_tokens)


@dataclass(frozen=True)
class Cause:
    words: str
    microcents: int
    """What it made the run dearer by; negative: cheaper."""
    amount: str
    """The same, so rounded that the causes add up to the difference."""


@dataclass(frozen=True)
class Why:
    answer: str
    """`2.20¢ more than the agent's median run of 1.30¢`."""
    causes: tuple[Cause, ...]
    difference: int
    """Microcents."""


def why(run: RunSize, usual: RunSize) -> Why | None:
    """None where there is nothing to compare: a run without calls or tokens, or a median run that cost nothing."""
    if not (run.calls and usual.calls and run.tokens and usual.tokens and usual.cost):
        return None
    difference = run.cost - usual.cost
    by_calls = round(Fraction((run.calls - usual.calls) * usual.cost, usual.calls))
    usual_tokens = Fraction(run.calls * usual.tokens, usual.calls)
    by_tokens = round((run.tokens - usual_tokens) * usual.cost / usual.tokens)
    parts = [
        (f"{many(run.calls, 'call')}, usually {usual.calls:,}", by_calls),
        (f"{_each(run)} tokens a call, usually {_each(usual)}", by_tokens),
        (
            f"{_million(run)} a million tokens, usually {_million(usual)}"
            f" ({run.cached} of input from cache, usually {usual.cached})",
            difference - by_calls - by_tokens,
        ),
    ]
    amounts = _written([value for _, value in parts], difference)
    causes = [Cause(words, value, amount) for (words, value), amount in zip(parts, amounts, strict=True) if value]
    return Why(_answer(difference, usual.cost), tuple(causes), difference)


def _answer(difference: int, usual: int) -> str:
    if abs(difference) * 200 < usual:
        return f"As much as the agent's median run of {money(usual)}"
    return (
        f"{money(abs(difference))} {'more' if difference > 0 else 'less'} than the agent's median run of {money(usual)}"
    )


def _each(run: RunSize) -> str:
    return figures.tokens_short(run.tokens // run.calls)


def _million(run: RunSize) -> str:
    return money(run.cost * 1_000_000 // run.tokens)


def _written(values: Sequence[int], whole: int) -> list[str]:
    """In one unit, the last of them so that they add up to the whole as it is written."""
    unit = figures.MoneyUnit.for_values([*values, whole])
    written = [rounded(Decimal(value) / unit.microcents, unit.decimals) for value in values[:-1]]
    written.append(rounded(Decimal(whole) / unit.microcents, unit.decimals) - sum(written))
    return [_signed(value, unit.symbol) for value in written]


def _signed(value: Decimal, symbol: str) -> str:
    size = f"${abs(value):,f}" if symbol == "$" else f"{abs(value):,f}¢"
    return f"{MINUS if value < 0 else '+'}{size}"
