"""What a run's page says of its refused calls: by which budget, why, and what lets such calls go again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.urls import reverse

from agents.figures import many
from budgets.models import Refusal
from costsite.analytics.periods import Calendar
from costsite.analytics.queries.run_refusals import RefusedBy
from costsite.analytics.views import ways

_WHY_AND_MEND = {
    Refusal.Kind.EXHAUSTED: (
        "its limit was reached.",
        "Calls go again when the month is over, or more is granted.",
    ),
    Refusal.Kind.HELD: (
        "other calls held what was left.",
        "A call some seconds later may go.",
    ),
    Refusal.Kind.TOO_LARGE: (
        "the call might have cost more than was left.",
        "It goes with a smaller maximum of output tokens, a cheaper model, or when more is granted.",
    ),
}


@dataclass(frozen=True)
class RefusalLine:
    calls: str
    budget: str
    """Whose; empty where it is not known."""
    href: str
    why: str
    mend: str
    grant_href: str


def refusal_lines(user: ways.User, calendar: Calendar, refused: Sequence[RefusedBy]) -> list[RefusalLine]:
    return [_line(user, calendar, one) for one in refused]


def _line(user: ways.User, calendar: Calendar, one: RefusedBy) -> RefusalLine:
    why, mend = next((words for kind, words in _WHY_AND_MEND.items() if kind == one.kind), (f"{one.kind}.", ""))
    policy = one.policy
    # Of a month that is over nothing is to be granted, nor where others will give back what they hold.
    grants_help = one.kind != Refusal.Kind.HELD and one.last_day >= calendar.month.start
    return RefusalLine(
        calls=many(one.calls, "call"),
        budget=policy.subject if policy else "",
        href=reverse("budget", args=[policy.pk]) if policy and one.shown else "",
        why=why,
        mend=mend,
        grant_href=ways.grant_more(user, policy, owned=one.owned) if policy and grants_help else "",
    )
