"""Who spent: workspaces or agents as rows of a table and as series of a chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from django.urls import reverse

from agents.spend import Spend, cents_text
from costsite.analytics import figures, panels
from costsite.analytics.comparison import change
from costsite.analytics.queries.rollups import Spans
from costsite.analytics.queries.workspaces import MOST_ROWS, Spender
from costsite.analytics.views.budget_rows import NO_BUDGET, Shown
from costsite.analytics.views.page import Export


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
    budget: Shown = NO_BUDGET


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


def spender_table(
    spenders: Sequence[Spender],
    days: Mapping[int, Mapping[date, int | None]],
    total: Spend,
    spans: Spans,
    kind: str = "workspace",
    states: Mapping[int, Shown] | None = None,
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
            change=change(spender.compared, spender.before, changes) if spans.compared else "–",
            trend=panels.month_of_days(days.get(spender.id, {}), spans.spark),
            budget=(states or {}).get(spender.id, NO_BUDGET),
        )
        for spender in named
    )
    unit = figures.MoneyUnit.for_values([total.cost, *(row.spend.cost for row in rows)])
    head = f"Change through {spans.compared.last:%-d %b} on {spans.before}" if spans.compared else "Change"
    return SpenderTable(rows, len(rest), Spend.sum_of(spender.month for spender in rest), total, unit, head)


def spender_export(spenders: Sequence[Spender], spans: Spans, kind: str) -> Export:
    """All of them, those that the page sums as "Other" too."""
    head = (kind, "slug", "cost_cents", "unpriced_calls", "calls", f"cents_{spans.compared}", f"cents_{spans.before}")
    rows = [
        (
            one.name,
            one.slug,
            cents_text(one.month.cost),
            one.month.unpriced_calls,
            one.month.calls,
            cents_text(one.compared),
            cents_text(one.before),
        )
        for one in spenders
    ]
    return Export(tuple(title.replace(" ", "_") for title in head), rows).over(spans.month)
