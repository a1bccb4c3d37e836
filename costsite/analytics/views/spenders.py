"""Who spent: workspaces or agents as rows of a table and as series of a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from django.urls import reverse

from agents.spend import NOTHING, Spend
from costsite.analytics import figures, panels
from costsite.analytics.queries.rollups import Spans
from costsite.analytics.queries.workspaces import MOST_ROWS, Spender


@dataclass(frozen=True)
class SpenderRow:
    name: str
    href: str
    state: str
    """A word where it is not as usual: archived or inactive; else empty."""
    spend: Spend
    runs: int | None
    share: str
    change: str
    trend: panels.Sparked


@dataclass(frozen=True)
class SpenderTable:
    rows: tuple[SpenderRow, ...]
    others: int
    """How many are summed in `other`."""
    other: Spend
    total: Spend
    unit: figures.MoneyUnit
    change_head: str
    """What the changes are between."""


def page_of(spender: Spender, kind: str) -> str:
    return reverse("workspace", args=[spender.slug]) if kind == "workspace" else reverse("agent", args=[spender.id])


def series_of(
    spenders: Sequence[Spender], days: Mapping[int, Mapping[date, int | None]], slots: Mapping[int, int], kind: str
) -> list[panels.Series]:
    return [
        panels.Series(spender.name, slots[spender.id], days.get(spender.id, {}), page_of(spender, kind))
        for spender in spenders
        if spender.id in slots
    ]


def spender_table(
    spenders: Sequence[Spender],
    days: Mapping[int, Mapping[date, int | None]],
    total: Spend,
    spans: Spans,
    kind: str = "workspace",
) -> SpenderTable:
    """At most `MOST_ROWS` of them; the rest in one row, so that the rows add up to `total`."""
    named, rest = spenders[:MOST_ROWS], spenders[MOST_ROWS:]
    changes = figures.MoneyUnit.for_values(
        [
            spender.compared - spender.before
            for spender in named
            if spender.compared is not None and spender.before is not None
        ]
    )
    rows = tuple(
        SpenderRow(
            name=spender.name,
            href=page_of(spender, kind),
            state="Archived" if spender.archived else "" if spender.active else "Inactive",
            spend=spender.month,
            runs=spender.runs,
            share="–" if spender.month.cost is None else figures.percent(spender.month.cost, total.cost_microcents),
            change=panels.change(spender.compared, spender.before, changes) if spans.compared else "–",
            trend=panels.month_of_days(days.get(spender.id, {}), spans.spark),
        )
        for spender in named
    )
    unit = figures.MoneyUnit.for_values([total.cost, *(row.spend.cost for row in rows)])
    head = f"Change through {spans.compared.last:%-d %b} on {spans.before}" if spans.compared else "Change"
    return SpenderTable(rows, len(rest), sum((spender.month for spender in rest), NOTHING), total, unit, head)
