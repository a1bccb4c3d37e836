"""Tokens by their kind: colours, and the context of a run call by call. No Django."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from costsite.analytics import charts, figures
from costsite.analytics.stacks import SMALL_CHART_HEIGHT, Bar, LegendEntry, Stack

TOKEN_KINDS = {"fresh": 1, "cache read": 4, "cache written": 5, "visible": 6, "reasoning": 8}
"""Kinds of tokens and their colours."""


def context_by_call(
    name: str, calls: Sequence[tuple[str, int, int, int]], *, first: int, hrefs: Callable[[int], str]
) -> Stack:
    """Input tokens of each call of a run: (what it is, fresh, read, written), numbered from `first`.

    `hrefs`: where the call of a number is.
    """
    kinds = ("fresh", "cache read", "cache written")
    rows = [(read, written, fresh) for _, fresh, read, written in calls]
    order = ("cache read", "cache written", "fresh")
    chart = charts.stacked_columns(
        rows, [TOKEN_KINDS[kind] for kind in order], height=SMALL_CHART_HEIGHT, label=figures.axis_tokens
    )
    every = max(1, len(calls) // 10)
    bars = tuple(
        Bar(
            column,
            str(first + index) if index % every == 0 else "",
            (
                f"Call {first + index}, {calls[index][0]}: {figures.tokens(column.total)} input tokens",
                *(f"{kind}: {figures.tokens(value)}" for kind, value in zip(order, rows[index], strict=True) if value),
            ),
            hrefs(first + index),
            False,
        )
        for index, column in enumerate(chart.columns)
    )
    used = [kind for index, kind in enumerate(order) if any(row[index] for row in rows)]
    start, peak = (chart.columns[0].total, max(column.total for column in chart.columns)) if calls else (0, 0)
    if len(calls) > 1 and peak > start:
        title = f"Context grew from {figures.tokens_short(start)} to {figures.tokens_short(peak)} tokens"
    else:
        title = f"Context up to {figures.tokens_short(peak)} tokens"
    return Stack(
        id=name,
        title=title,
        measure=f"Input tokens by call, n {len(calls)}.",
        chart=chart,
        bars=bars,
        legend=tuple(LegendEntry(kind, TOKEN_KINDS[kind], "", "") for kind in used) if len(used) > 1 else (),
        head=("Call", *kinds, "Input tokens"),
        rows=tuple(
            (
                f"{first + index}. {what}",
                *(figures.tokens(value) for value in (fresh, read, written)),
                figures.tokens(fresh + read + written),
            )
            for index, (what, fresh, read, written) in enumerate(calls)
        ),
        empty=not peak,
        exact_head=("Call", "Step", *(f"{kind} tokens" for kind in kinds), "Input tokens"),
        exact_rows=tuple(
            (first + index, what, fresh, read, written, fresh + read + written)
            for index, (what, fresh, read, written) in enumerate(calls)
        ),
        eyebrow="Context by call",
    )
