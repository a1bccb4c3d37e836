"""What a page shows, as its query string says it. Pure: whatever nobody could have chosen is as if it were not there.

Every state of a page is in its address, so a link to it shows the same to whoever may see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from costsite.analytics.periods import CUSTOM_RANGE, DEFAULT_RANGE, LONGEST_RANGE, RANGES, Calendar, Days

LONGEST_TEXT = 200
LARGEST_ID = 2**63 - 1
"""That a database takes."""

CALL_STATUSES = {"ok": "OK", "error": "Failed", "abandoned": "Abandoned", "cancelled": "Cancelled"}

SPLITS_OF_NO_TAG = ("model", "provider")
"""What a chart of a tag is not split by: of tags there are sums by agent and workspace alone."""


@dataclass(frozen=True)
class Filters:
    """The range and what of it. Empty texts: any."""

    range: str
    """One of `RANGES`, or `CUSTOM_RANGE`."""
    days: Days
    before: Days
    """As many days before, to compare with."""
    compare: bool = False
    by: str = ""
    """What a chart is split by."""
    workspace: str = ""
    provider: str = ""
    model: str = ""
    status: str = ""
    """Of calls: one of `CALL_STATUSES`."""
    agent: int | None = None
    tag: str = ""

    @property
    def narrows(self) -> bool:
        """Something else than the range was chosen."""
        return bool(self.workspace) or self.narrows_usage

    @property
    def narrows_usage(self) -> bool:
        """Something within workspaces was chosen, of which the sums by workspace and day say nothing."""
        return bool(self.agent or self.tag or self.provider or self.model or self.status)

    @property
    def calls_in_words(self) -> str:
        """`gpt-5 (openai), status Failed`: what a call has to be; empty: anything."""
        named = f"{self.model} ({self.provider})" if self.model and self.provider else self.model or self.provider
        status = f"status {CALL_STATUSES[self.status]}" if self.status else ""
        return ", ".join(part for part in (named, status) if part)

    @property
    def runs_in_words(self) -> str:
        """`with tag web and a call of gpt-5`: what a run has to have; empty: anything."""
        of_calls = f"a call of {self.calls_in_words}" if self.calls_in_words else ""
        parts = [part for part in (f"tag {self.tag}" if self.tag else "", of_calls) if part]
        return f"with {' and '.join(parts)}" if parts else ""

    @property
    def changed(self) -> bool:
        """Something is not as on a page that one opens from the navigation."""
        return self.narrows or self.compare or self.range != DEFAULT_RANGE

    @property
    def kept(self) -> dict[str, str]:
        """The same as parts of a query string; what is as usual is left out."""
        parts = {
            "range": self.range if self.range not in (DEFAULT_RANGE, CUSTOM_RANGE) else "",
            "from": f"{self.days.start}" if self.range == CUSTOM_RANGE else "",
            "to": f"{self.days.last}" if self.range == CUSTOM_RANGE else "",
            "compare": "1" if self.compare else "",
            "by": self.by,
            "workspace": self.workspace,
            "provider": self.provider,
            "model": self.model,
            "status": self.status,
            "agent": f"{self.agent or ''}",
            "tag": self.tag,
        }
        return {name: value for name, value in parts.items() if value}


def day_wanted(text: str) -> date | None:
    """A day as `2026-11-24`; None for what is no day, or none that anything is kept of."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 1970 < day.year < 9_000 else None


def days_wanted(query: Mapping[str, str]) -> Days | None:
    """The range `from` and `to` of a query string, both in it; the wrong way round it is meant the right way.

    `unless`: both, as a form showed them. Where nobody changed them, the range by its name is meant.
    """
    if query.get("unless") == f"{query.get('from')} {query.get('to')}":
        return None
    first, last = day_wanted(query.get("from", "")), day_wanted(query.get("to", ""))
    if first is None or last is None:
        return None
    first, last = min(first, last), max(first, last)
    return Days(max(first, last - timedelta(days=LONGEST_RANGE - 1)), last + timedelta(days=1))


def text_wanted(query: Mapping[str, str], name: str) -> str:
    return query.get(name, "").replace("\x00", "").strip()[:LONGEST_TEXT]


def whole_number(text: str, *, most: int) -> int | None:
    """From a query string: a number from 0 to `most`, else None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 and int(text) <= most else None


def filters_from(query: Mapping[str, str], calendar: Calendar, *, by: tuple[str, ...] = ()) -> Filters:
    """`by`: what the page's chart can be split by, the usual first."""
    name = query.get("range", DEFAULT_RANGE)
    name = name if name in RANGES else DEFAULT_RANGE
    chosen = days_wanted(query)
    if chosen is not None:
        name = CUSTOM_RANGE
    days = chosen or calendar.days_of(name)
    split, status, tag = query.get("by", ""), query.get("status", ""), text_wanted(query, "tag")
    if tag and split in SPLITS_OF_NO_TAG:
        split = "agent"
    return Filters(
        range=name,
        days=days,
        before=calendar.days_before(name, days),
        compare=query.get("compare", "") == "1",
        by=split if split in by[1:] else "",
        workspace=text_wanted(query, "workspace"),
        provider=text_wanted(query, "provider"),
        model=text_wanted(query, "model"),
        status=status if status in CALL_STATUSES else "",
        agent=whole_number(query.get("agent", ""), most=LARGEST_ID),
        tag=tag,
    )
