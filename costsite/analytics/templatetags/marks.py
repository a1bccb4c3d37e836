"""Marks and cells of which a page has hundreds, each written in one piece: over as many a template takes longer than
all the queries of the page. What is text is escaped here, for no template does it any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from django import template
from django.utils.safestring import SafeString, mark_safe

from budgets.state import BudgetState
from costsite.analytics.axis import names
from costsite.analytics.budget_bars import BudgetBar, kind_class
from costsite.analytics.charts import Tick
from costsite.analytics.panels import Sparked
from costsite.analytics.per_run import RunPlot
from costsite.analytics.stacks import Bar, Stack
from costsite.analytics.views.budget_rows import Shown

register = template.Library()


@register.simple_tag
def cells(rows: Sequence[Sequence[str]]) -> SafeString:
    """Rows of a table of figures, the first cell of each its header."""
    return _safe(
        f'<tr><th scope="row"><bdi>{escape(first)}</bdi></th>'
        + "".join([f'<td class="num">{escape(cell)}</td>' for cell in rest])
        + "</tr>"
        for first, *rest in rows
    )


@register.simple_tag
def columns(stack: Stack) -> SafeString:
    """Each column of a chart: a link to the runs behind it where there are any, with its words as a tooltip."""
    return _safe(_column(bar, stack) for bar in stack.bars)


def _column(bar: Bar, stack: Stack) -> str:
    column, tip = bar.column, bar.tip_text
    across = f'x="{column.x}%" width="{column.width}%"'
    links = bool(bar.href and tip)
    told = ' data-tip role="img"' if tip else ""
    parts = [
        f'<a class="column" href="{escape(bar.href)}" data-tip>' if links else f'<g class="column"{told}>',
        f"<title>{escape(tip)}</title>" if tip else "",
        f'<rect class="hit" x="{column.slot_x}%" width="{column.slot_width}%" y="0" height="{stack.chart.base}"/>',
        *[
            f'<rect class="part k{part.slot}" {across} y="{part.y}" height="{part.height}"/>'
            for part in column.segments
        ],
    ]
    if bar.unfinished and column.total:
        parts.append(f'<rect fill="url(#{stack.id}-hatch)" {across} y="{column.top}" height="{column.height}"/>')
    if bar.before_at is not None:
        at = bar.before_at
        parts.append(f'<line class="before" x1="{column.x}%" x2="{column.end}%" y1="{at}" y2="{at}"/>')
    parts.append("</a>" if links else "</g>")
    return "".join(parts)


@register.simple_tag
def axis_names(ticks: Sequence[Tick], y: float) -> SafeString:
    """What stands under a chart; the style sheet has the widths that a name takes."""
    return _safe(
        f'<text class="{"ends" if one.ends_there else "mid"} from-{one.width}" x="{one.at}%" y="{y}">'
        f"{escape(one.label)}</text>"
        for one in names(ticks)
    )


@register.simple_tag
def dots(plot: RunPlot) -> SafeString:
    """A dot for each run. By the keyboard one reaches the first, from which arrows lead on, and each outlier."""
    drawn = []
    for index, mark in enumerate(plot.dots):
        kind, radius = ("outlier", 4.5) if mark.dot.outlier else ("dot", 3)
        skipped = ' tabindex="-1"' if index and not mark.dot.outlier else ""
        drawn.append(
            f'<a href="{escape(mark.href)}" data-tip{skipped}><title>{escape(mark.tip)}</title>'
            f'<circle class="{kind}" cx="{mark.dot.x}%" cy="{mark.dot.y}" r="{radius}"/></a>'
        )
    return _safe(drawn)


@register.simple_tag
def budget_bar(bar: BudgetBar) -> SafeString:
    """Spent solid, held hatched, thresholds as ticks, the limit as a line."""
    words = escape(f"{bar.used} used: {bar.words}")
    spent = f'x="0" y="2" width="{bar.spent_width}%" height="12"'
    held = f'x="{bar.held_x}%" y="2" width="{bar.held_width}%" height="12"'
    pattern = {"near": "dots", "over": "hatch"}.get(bar.kind)
    return _safe(
        [
            f'<svg class="budgetbar {bar.kind}" role="img" aria-label="{words}"><title>{words}</title>'
            f'<rect class="track" x="0" y="2" width="{bar.limit_at}%" height="12"/><rect class="spent" {spent}/>',
            f'<rect fill="url(#{pattern})" {spent}/>' if pattern else "",
            f'<rect class="held" {held}/><rect fill="url(#hold)" {held}/>' if bar.held_width else "",
            *[f'<line class="threshold" x1="{tick}%" x2="{tick}%" y1="2" y2="14"/>' for tick in bar.ticks],
            f'<line class="limit" x1="{bar.limit_at}%" x2="{bar.limit_at}%" y1="0" y2="16"/></svg>',
        ]
    )


@register.simple_tag
def state(stands: Shown | BudgetState) -> SafeString:
    """How something stands, by a sign and a word; with whose budget says so, where it is another's."""
    other = stands.of if isinstance(stands, Shown) else ""
    of = f' <span class="quiet">({escape(other)})</span>' if other else ""
    return _safe(
        [
            f'<span class="state {kind_class(stands.kind.value)}"><span class="bead" aria-hidden="true"></span>',
            f"{escape(stands.words)}</span>{of}",
        ]
    )


@register.simple_tag
def spark(trend: Sparked) -> SafeString:
    """A row's trend, or its words alone."""
    line, words = trend.spark, escape(trend.words)
    if line is None:
        return _safe([f'<span class="visually-hidden">{words}</span>'])
    return _safe(
        [
            f'<svg class="sparkline" width="{line.width}" height="{line.height}" role="img" aria-label="{words}">'
            f'<title>{words}</title><polyline points="{line.points}"/>'
            f'<circle cx="{line.last_x}" cy="{line.last_y}" r="2.5"/></svg>'
        ]
    )


UNFOLD = mark_safe('<td class="unfold"><details><summary aria-label="The rest of this row"></summary></details></td>')


@register.simple_tag
def unfold() -> SafeString:
    """The last cell of a row that folds on a phone."""
    return UNFOLD


def _safe(parts: Iterable[str]) -> SafeString:
    return mark_safe("".join(parts))  # noqa: S308 - what is text in them was escaped
