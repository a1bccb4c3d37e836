"""What a downloaded file is called: of whom, what, narrowed to what, and of which days. Pure.

Agents, models and tags are named by anybody who has a key, and a file's name goes into a header and into a folder.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import date

from costsite.analytics.filters import Filters
from costsite.analytics.periods import Days

LONGEST_PART = 40
LONGEST_NAME = 160
"""Bytes, the days aside: of 255 that a file system has for a name."""


def file_name(parts: Iterable[str], days: Days | date) -> str:
    """`acme-support-bot-spend-per-day-2026-11-01-to-2026-11-30`. What there is nothing of is left out."""
    named = _cut("-".join(plain for part in parts if (plain := plain_part(part))), LONGEST_NAME)
    return "-".join(part for part in (named, _days_in_name(days)) if part)


def plain_part(text: str) -> str:
    """Letters and digits of any script, and a dash for what is between them: no folder, no ending, nothing unseen."""
    letters = [one if unicodedata.category(one)[0] in "LMN" else " " for one in unicodedata.normalize("NFC", text)]
    return _cut("-".join("".join(letters).split()), LONGEST_PART)


def _cut(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore").rstrip("-")


def _days_in_name(days: Days | date) -> str:
    if isinstance(days, date):
        return f"{days}"
    return f"{days.start}" if len(days) == 1 else f"{days.start}-to-{days.last}"


def of_calls(filters: Filters, agent: str = "") -> Sequence[str]:
    """What a file of sums of calls is narrowed to. `agent`: its slug, where the page is not its own."""
    return filters.workspace, agent, filters.model, filters.provider, filters.status


def of_chart(filters: Filters, agent: str = "") -> Sequence[str]:
    """The same of spend per day, which a tag narrows alone; hours nothing does but who spent."""
    by = f"by {filters.by}" if filters.by else ""
    if filters.range == "24-hours":
        return filters.workspace, agent, by
    return (filters.workspace, agent, filters.tag, by) if filters.tag else (*of_calls(filters, agent), by)
