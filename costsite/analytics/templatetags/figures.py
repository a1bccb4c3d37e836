"""Numbers in templates: thin wrappers of `costsite.analytics.figures` that add what only HTML can say."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from html import escape
from typing import Any
from urllib.parse import urlencode

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from agents.spend import Spend
from budgets import money as money_of_budgets
from costsite.analytics import figures
from costsite.analytics.budget_bars import kind_class
from costsite.analytics.periods import Calendar
from costsite.analytics.queries.inbox import MOST_COUNTED, count_unread

register = template.Library()

UNPRICED = mark_safe('<span class="unpriced">unpriced</span>')


register.filter("bar_kind", kind_class)


@register.filter
def money(microcents: int | None) -> str:
    return UNPRICED if microcents is None else figures.money(microcents)


@register.filter
def kpi(microcents: int | None) -> str:
    """The figure of a panel: over $1,000 in whole dollars."""
    return UNPRICED if microcents is None else figures.money(microcents, kpi=True)


@register.filter
def in_unit(microcents: int | None, unit: figures.MoneyUnit) -> str:
    """An amount of a column, in the column's one unit."""
    return UNPRICED if microcents is None else unit.write(microcents)


@register.filter
def absolute(microcents: int) -> int:
    """Where a word says which way it goes."""
    return abs(microcents)


@register.filter
def in_both(microcents: int) -> str:
    """An amount of a budget: `5,000 cents ($50.00)`."""
    return money_of_budgets.in_both(microcents)


@register.filter
def unit_price(microcents_per_million: int) -> str:
    return figures.unit_price(microcents_per_million)


@register.simple_tag
def spend(spent: Spend, unit: figures.MoneyUnit | None = None, kpi: bool = False) -> SafeString:
    """A sum of money with what it leaves out: "$12.34 + 3 unpriced calls"."""
    if spent.cost is None:
        return format_html('<span class="unpriced">{}</span>', figures.unpriced_calls(spent.unpriced_calls))
    amount = unit.write(spent.cost) if unit else figures.money(spent.cost, kpi=kpi)
    if not spent.unpriced_calls:
        return format_html("{}", amount)
    return format_html(
        '{} <span class="unpriced beside">+ {}</span>', amount, figures.unpriced_calls(spent.unpriced_calls)
    )


@register.filter
def saved(spent: Spend) -> str:
    """What caching saved, over the calls that have a price."""
    return UNPRICED if spent.cost is None else figures.money(spent.saved_microcents)


@register.filter
def tokens(count: int | None) -> str:
    return figures.tokens(count)


@register.filter
def tokens_short(count: int | None) -> str:
    return figures.tokens_short(count)


@register.filter
def times(value: int, median: int) -> str:
    return figures.times(value, median)


@register.filter
def number(count: int) -> str:
    return f"{count:,}"


@register.filter
def percent_of(part: int, whole: int) -> str:
    return figures.percent(part, whole)


@register.filter
def coverage_of(part: int, whole: int) -> str:
    return figures.coverage(part, whole)


@register.filter
def bounded(count: int, most: int) -> str:
    """A count that stopped at `most`."""
    return f"{most:,}+" if count > most else f"{count:,}"


@register.filter
def duration(length: timedelta | None) -> str:
    """`<0.1 s`, `0.8 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if length is None:
        return "–"
    seconds = max(0.0, length.total_seconds())
    if seconds < 0.05:
        return "<0.1 s" if seconds else "0 s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if round(seconds) < 60:
        return f"{round(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if minutes else f"{hours:,} h"


@register.filter
def clock(at: datetime | None, calendar: Calendar) -> SafeString | str:
    """`24 Nov 14:05` in the ledger's zone, with the year when it is another one."""
    if at is None:
        return "never"
    local = at.astimezone(calendar.zone)
    written = f"{local:%-d %b %H:%M}" if local.year == calendar.today.year else f"{local:%-d %b %Y %H:%M}"
    return format_html('<time datetime="{}">{}</time>', local.isoformat(timespec="seconds"), written)


@register.filter
def ago(at: datetime | None, calendar: Calendar) -> str:
    if at is None:
        return "never"
    seconds = max(0, int((calendar.now - at).total_seconds()))
    for size, name in ((86_400, "day"), (3_600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {name}{'s' if name == 'day' and count > 1 else ''} ago"
    return "now"


@register.filter
def beside_the_bell(unread: int) -> str:
    return bounded(unread, MOST_COUNTED)


@register.simple_tag(takes_context=True)
def unread_notices(context: Any) -> int:
    """Of who reads the page."""
    return count_unread(context["user"])


@register.simple_tag(takes_context=True)
def query(context: Any, **changes: Any) -> str:
    """The page's query string with some of it changed; None or "" takes a part out."""
    parts = {**context.get("kept", {}), **changes}
    return "?" + urlencode({name: value for name, value in parts.items() if value not in (None, "")})


LONGEST_OPTION = 60


@register.simple_tag
def options(choices: Iterable[tuple[int, str]], chosen: int | None) -> SafeString:
    """What a select offers of many: in one piece, since a template takes ten milliseconds over two hundred."""
    return mark_safe(  # noqa: S308 - the names are escaped here, and the values are numbers
        "".join(
            f'<option value="{value:d}"{" selected" if value == chosen else ""}>'
            f"{escape(name if len(name) <= LONGEST_OPTION else f'{name[: LONGEST_OPTION - 1]}…')}</option>"
            for value, name in choices
        )
    )
