"""Bars of tokens and a row's trend, with their words. No Django."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from agents.spend import Spend
from costsite.analytics import charts, figures
from costsite.analytics.periods import Days
from costsite.analytics.token_charts import TOKEN_KINDS


@dataclass(frozen=True)
class TokenBar:
    name: str
    total: int
    parts: tuple[tuple[charts.Part, int], ...]
    """With the slot of each part's colour."""


def token_bars(spend: Spend) -> tuple[TokenBar, TokenBar]:
    """Input and output on one scale, so that their lengths compare."""
    inputs = [
        ("fresh", spend.fresh_input_tokens),
        ("cache read", spend.cache_read_tokens),
        ("cache written", spend.cache_written_tokens),
    ]
    outputs = [("visible", spend.visible_output_tokens), ("reasoning", spend.reasoning_tokens)]
    scale = max(sum(value for _, value in inputs), sum(value for _, value in outputs))

    def laid(name: str, parts: list[tuple[str, int]]) -> TokenBar:
        parts_laid = charts.bar([(kind, max(0, value)) for kind, value in parts], scale)
        return TokenBar(
            name, sum(value for _, value in parts), tuple((part, TOKEN_KINDS[part.name]) for part in parts_laid)
        )

    return laid("Input", inputs), laid("Output", outputs)


TOKENS_HEAD = ("kind", "tokens")


def token_rows(bars: tuple[TokenBar, TokenBar]) -> list[tuple[str, int]]:
    """The same for a file."""
    return [(f"{bar.name}, {part.name}", part.value) for bar in bars for part, _ in bar.parts]


@dataclass(frozen=True)
class Sparked:
    spark: charts.Sparkline | None
    words: str


def month_of_days(by_day: Mapping[date, int | None], days: Days) -> Sparked:
    """A row's trend over `days` and what a reader who does not see it is told."""
    known = [by_day.get(day, 0) for day in days]
    values = [max(0, value or 0) for value in known]
    spark = charts.sparkline(values)
    if spark is None:
        return Sparked(None, f"{'Cost not known' if None in known else 'Nothing spent'} {days}")
    return Sparked(
        spark,
        f"{days}: {figures.money(sum(values))}, at most {figures.money(max(values))} a day,"
        f" {figures.money(known[-1])} today",
    )
