"""What was spent against what was spent before, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agents.figures import many
from agents.spend import Spend
from costsite.analytics import figures
from costsite.analytics.periods import DEFAULT_RANGE, Calendar, Days


@dataclass(frozen=True)
class Comparison:
    """What was spent on the whole days of this month, against as many of the last. In microcents; None: not known."""

    now: int | None
    days: Days
    before: int | None
    days_before: Days
    unpriced: int = 0
    """Calls of which nobody knows the cost, of `now` and of `before`: an amount that leaves some out is compared, and
    the words say so."""
    unpriced_before: int = 0
    since: int | None = 0
    """What was spent after those days, up to now."""

    @classmethod
    def of(cls, now: Spend, days: Days, before: Spend, days_before: Days, month: Spend) -> Comparison:
        """`month`: all of this month so far."""
        since = None if month.cost is None else month.cost - (now.cost or 0)
        return cls(now.cost, days, before.cost, days_before, now.unpriced_calls, before.unpriced_calls, since)

    @property
    def begins(self) -> bool:
        """Nothing was spent on either of the days that are compared, and something after them."""
        return self.now == 0 and self.before == 0 and self.since != 0

    @property
    def through(self) -> str:
        return f"through {self.days.last:%-d %b}"

    @property
    def note(self) -> str:
        """Under the month's figure."""
        if not self.days:
            return "nothing to compare yet"
        if self.now is None:
            return "no price yet"
        if self.before is None:
            return f"nothing to compare with: no price on {self.days_before}"
        if self.begins:
            return f"new: nothing before {self.days.end:%-d %b}"
        written = change(self.now, self.before)
        if written == "new":
            return f"new: nothing on {self.days_before}"
        return f"{written} {self.through} on {self.days_before}{left_out(self.unpriced, self.unpriced_before)}"

    @property
    def answer(self) -> str:
        """What a chart of this month opens with."""
        if not self.days:
            return "The first day of the month: nothing to compare yet"
        through = self.through
        one = len(self.days) == 1
        same = f"the {'first day' if one else f'same {len(self.days)} days'} of {self.days_before.start:%B}"
        now, before = self.now, self.before
        if now is None or before is None:
            return f"Not to be compared with {same}: cost not known"
        if self.begins:
            return f"New: nothing spent before {self.days.end:%-d %b}"
        if not now and not before:
            return f"Nothing spent {through}"
        if not before:
            return f"First spending: nothing on {same}"
        unpriced = left_out(self.unpriced, self.unpriced_before)
        if abs(now - before) * 200 < before:
            return f"Level with {same} {through}{unpriced}"
        moved = f"{'Up' if now > before else 'Down'} {figures.percent(abs(now - before), before)}"
        return f"{moved} {through} on {same}{unpriced}"


@dataclass(frozen=True)
class Before:
    """What was spent in the whole days or hours that are shown, against as many in the range before."""

    now: Spend
    spend: Spend
    words: str
    """What the range before is called; empty: nothing of the shown is whole yet."""


def answer(
    range_name: str,
    comparison: Comparison,
    shown: Spend,
    days: Days,
    calendar: Calendar,
    *,
    before: Before | None = None,
    narrowed: bool = False,
) -> str:
    """What a chart of spend opens with.

    Against the range before where one asked for it, else this month against the last, or how much a day in any other
    range. `narrowed`: it is not of everything that `comparison` is of.
    """
    if shown.cost is None:
        return f"Cost not known: {figures.unpriced_calls(shown.unpriced_calls)}"
    if before is not None:
        return against(before)
    if range_name == DEFAULT_RANGE and not narrowed:
        return comparison.answer
    past = sum(1 for day in days if day <= calendar.today)
    if not shown.cost or not past:
        return nothing_spent(shown, str(days), narrowed=narrowed)
    return f"{figures.money(shown.cost // past)} a day over {past} days"


def nothing_spent(shown: Spend, when: str, *, narrowed: bool) -> str:
    """Calls that cost nothing are not none, and none that match are not none at all."""
    if shown.calls:
        unpriced = f", and {figures.unpriced_calls(shown.unpriced_calls)}" if shown.unpriced_calls else ""
        return f"{many(shown.priced_calls, 'call')} {when}, at no cost{unpriced}"
    return f"No calls match these filters {when}" if narrowed else f"Nothing spent {when}"


def change(now: int | None, before: int | None, unit: figures.MoneyUnit | None = None) -> str:
    """Between two amounts in microcents; a dash when one of them is not known."""
    return "–" if now is None or before is None else figures.change(now, before, unit)


def left_out(now: int, before: int) -> str:
    """`, + 3 unpriced calls then`: a change says which calls neither amount counts."""
    parts = [f"{figures.unpriced_calls(count)} {when}" for count, when in ((now, "now"), (before, "then")) if count]
    return f", + {' and '.join(parts)}" if parts else ""


def against(before: Before) -> str:
    """`Up 12 % on 1 to 23 Oct`."""
    if not before.words:
        return "Nothing to compare yet: no day of it is over"
    now, cost = before.now.cost, before.spend.cost
    if now is None or cost is None:
        return f"Not to be compared with {before.words}: cost not known"
    if not cost:
        return f"Nothing spent {before.words} to compare with"
    unpriced = left_out(before.now.unpriced_calls, before.spend.unpriced_calls)
    if abs(now - cost) * 200 < cost:
        return f"Level with {before.words}{unpriced}"
    moved = f"{'Up' if now > cost else 'Down'} {figures.percent(abs(now - cost), cost)}"
    return f"{moved} on {before.words}{unpriced}"
