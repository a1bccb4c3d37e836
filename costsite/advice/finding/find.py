"""All advice of a workspace's month, weighed and written down."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final

from agents.models import AgentRunLog, LedgerState, Workspace
from agents.price_books import price_book
from agents.spend import MICROCENTS_PER_CENT
from agents.write_lock import writing
from costsite.advice.finding.agent_months import agent_months
from costsite.advice.finding.found import EVIDENCE, Found
from costsite.advice.finding.months import from_months, read_months
from costsite.advice.finding.reviews import from_reviews
from costsite.advice.finding.tasks import from_tasks
from costsite.advice.finding.usage import from_usage, read_caching, read_usage
from costsite.advice.models import Advice, AgentMonth

DAYS: Final = 30
"""Whole days, up to yesterday: a month that does not begin anew on its first."""
LEAST_MICROCENTS: Final = MICROCENTS_PER_CENT
"""A cent a month. Less is not worth the reading."""
SURE_RUNS: Final = 3
"""Fewer runs make nothing certain."""
LEAST_SHARE: Final = 2
"""Percent of what the agent spent: below it, it is noise of an ordinary month."""


def find_advice(workspace: Workspace, through: date) -> int:
    """Find a workspace's advice of the month up to `through` and write it down; how many pieces.

    What people decided stays; what is no longer found keeps its older date.
    """
    first = through - timedelta(days=DAYS - 1)
    book = price_book(workspace.pk)
    months = read_months(workspace, first, through)
    usage = read_usage(workspace, first, through)
    caching = read_caching(workspace, first, through)
    found = [
        *from_reviews(workspace, first, through),
        *from_months(months),
        *from_usage(workspace, usage, caching, book, LedgerState.current().days().start(through + timedelta(days=1))),
        *from_tasks(workspace, first, through, book),
    ]
    spent = {agent_id: month.sums["cost_microcents"] for agent_id, month in months.items()}
    worth = [
        one
        for one in found
        if one.microcents >= LEAST_MICROCENTS and one.microcents * 100 >= spent.get(one.agent_id, 0) * LEAST_SHARE
    ]
    _write(workspace, worth, agent_months(workspace, through, months, usage, caching), through)
    return len(worth)


def _sure_of(found: Found, began: Mapping[int, datetime]) -> str:
    """Its confidence, and no more than the runs that show it allow.

    One run, or several on one day, may never come again: what they cost over is no saving of every month.
    """
    shown = [began[run] for run in found.evidence if run in began]
    if not shown or found.shown_by[0] or len(found.evidence) >= EVIDENCE:
        return found.confidence  # they are examples of many calls, not all there is
    days = LedgerState.current().days()
    if len(shown) == 1 or len({days.of(at) for at in shown}) == 1:
        return Advice.Confidence.LOW
    if len(shown) < SURE_RUNS and found.confidence == Advice.Confidence.HIGH:
        return Advice.Confidence.MEDIUM
    return found.confidence


def _write(workspace: Workspace, found: list[Found], months: list[AgentMonth], through: date) -> None:
    named = {run for one in found for run in one.evidence[:EVIDENCE]}
    began = dict(AgentRunLog.objects.filter(pk__in=named).values_list("pk", "started_at"))
    with writing():
        AgentMonth.objects.filter(workspace=workspace).delete()
        AgentMonth.objects.bulk_create(months, batch_size=500)
        known = {(one.agent_id, one.kind, one.key): one for one in Advice.objects.filter(workspace=workspace)}
        made = []
        for one in found:
            facts = {
                "month_microcents": one.microcents,
                "figures": one.figures,
                "evidence": [[run, began[run].isoformat()] for run in one.evidence[:EVIDENCE] if run in began],
                "confidence": _sure_of(one, began),
                "last_found": through,
            }
            row = known.get((one.agent_id, one.kind, one.key))
            if row is None:
                made.append(
                    Advice(
                        workspace=workspace, agent_id=one.agent_id, kind=one.kind, key=one.key, first_found=through,
                        **facts,
                    )
                )  # fmt: skip
            else:
                # Only what was found: a decision that is made at this moment stays.
                Advice.objects.filter(pk=row.pk).update(**facts)
        Advice.objects.bulk_create(made, ignore_conflicts=True)
