"""What notifications say. Pure: facts come in, sentences go out; money is written as on the pages.

The figure first, the mend last, and nobody is blamed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from agents.clock import month_bounds
from agents.figures import many, money, percent
from agents.spend import Spend

MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
"""Not by the locale of whichever process writes."""
NAMES_LISTED: Final = 10


@dataclass(frozen=True)
class Words:
    title: str
    body: str


@dataclass(frozen=True)
class Passed:
    """A line that was passed. Money in microcents."""

    scope: str
    """`agent`, `workspace` or `site`."""
    subject: str
    mode: str
    """`monitor`, `dispatch` or `hard`."""
    threshold: int
    """Percent."""
    limit: int
    spent: int
    month: str
    """'YYYY-MM'."""
    ends_at: datetime
    """When the month does; aware."""
    at: datetime
    """When the line was passed; aware."""
    zone: str
    """The ledger's."""
    late: bool
    at_creation: bool


def passed(line: Passed) -> Words:
    """A line of a budget was passed."""
    reached = line.spent >= line.limit
    who, its_agents = _subjects(line)
    month = month_in_words(line.month, _year(line.at, line.zone))
    used = _share(line.spent, line.limit)
    free_at = instant_in_words(line.ends_at, line.zone)
    title = f"{who}: {used} of the {month} budget" if line.limit else f"{who}: the {month} budget is 0¢"
    if line.limit:
        sentences = [f"{who} has used {used} of its {month} budget ({money(line.spent)} of {money(line.limit)})."]
    else:
        sentences = [f"{who} may spend nothing in {month}: its budget is 0¢."]
    if line.late:
        sentences.append("The calls arrived after that month was over, so nothing is stopped.")
    elif line.mode == "monitor":
        if reached:
            sentences.append("Nothing is stopped: the budget only tells.")
    elif reached and line.mode == "dispatch":
        title = f"{who}: new runs are refused"
        sentences.append(f"New runs are refused until {free_at}; running ones finish.")
    elif reached:
        title = f"{who} is blocked"
        sentences.append(f"{its_agents} blocked until {free_at}.")
    elif line.threshold == 100:
        left = money(line.limit - line.spent)
        sentences.append(f"A call was refused, since it may cost more than the {left} that is left; smaller ones go.")
    if line.at_creation:
        sentences.append("That was so already when the budget was made or changed.")
    return Words(title, " ".join(sentences))


def month_ended(
    who: str, month: str, spend: Spend, *, before: Spend | None, free_again: Sequence[str], year: int
) -> Words:
    """A month is over. `before`: the month before it, None where nothing is known of it. `year`: the one it is now."""
    name = month_in_words(month, year)
    if not spend.calls:
        return Words(f"{who} in {name}: no calls", _with_free(f"{who} made no model calls in {name}.", free_again))
    cost = money(spend.cost)
    count = many(spend.calls, "call")
    compared = ""
    if before is not None and before.calls:
        compared = f"; the month before it was {money(before.cost)}"
    if spend.cost is None:
        told = f"{who} made {count} in {name}, and none of them has a price yet{compared}."
    else:
        told = f"{who} spent {cost} in {name}, in {count}{compared}."
        if spend.unpriced_calls:
            told += f" {spend.unpriced_calls:,} of them have no price yet and are not in it."
    return Words(f"{who} in {name}: {cost}", _with_free(told, free_again))


def trial(channel: str, by: str) -> Words:
    """Somebody pressed the test button."""
    return Words("Costsite: a test", f"{by} tests the channel {channel}. Budget notifications arrive here.")


def month_in_words(month: str, year: int) -> str:
    """`November`, of 'YYYY-MM'; with its year when that is not `year`."""
    first, _ = month_bounds(month)
    name = MONTHS[first.month - 1]
    return name if first.year == year else f"{name} {first.year}"


def _year(at: datetime, zone: str) -> int:
    return at.astimezone(ZoneInfo(zone)).year


def instant_in_words(at: datetime, zone: str) -> str:
    """`1 December 00:00 (Europe/Berlin)`, of an aware time."""
    local = at.astimezone(ZoneInfo(zone))
    return f"{local.day} {MONTHS[local.month - 1]} {local:%H:%M} ({zone})"


def _subjects(line: Passed) -> tuple[str, str]:
    """Who spent, and whose agents may be stopped for it, with the verb."""
    if line.scope == "agent":
        return line.subject, "It is"
    if line.scope == "workspace":
        return f"Workspace {line.subject}", "Its agents are"
    return "The whole site", "All agents are"


def _share(spent: int, limit: int) -> str:
    """In percent; a limit that is not reached is never rounded up to 100."""
    share = percent(spent, limit)
    return "over 99 %" if spent < limit and share == "100 %" else share


def _with_free(told: str, names: Sequence[str]) -> str:
    if not names:
        return told
    listed = ", ".join(names[:NAMES_LISTED])
    more = f" and {len(names) - NAMES_LISTED:,} more" if len(names) > NAMES_LISTED else ""
    return f"{told} Free again: {listed}{more}."
