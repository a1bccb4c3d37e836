"""What other pages may ask: is a run unusual, and why was it dear. Whoever asks has checked who may see it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from agents.models import AgentRunLog
from agents.price_books import price_book
from costsite.advice.causes import LABELS, Cause
from costsite.advice.models import AgentUsualRun, RunReview
from costsite.advice.reviewing import causes_of, exceeds
from costsite.advice.scan import calls_of, prices_of
from costsite.advice.usual import ENOUGH_RUNS
from costsite.advice.words import of_cause

NEWEST_FIRST = ("-started_at", "-run")


@dataclass(frozen=True)
class Reason:
    kind: str
    label: str
    microcents: int | None
    """Over the agent's usual run; None where the run has no price."""
    text: str


@dataclass(frozen=True)
class Why:
    """Why a run cost what it did. Money in microcents."""

    unusual: bool
    new_agent: bool
    """Too few runs to compare with: `runs` of `ENOUGH_RUNS`."""
    runs: int
    usual: int
    over: int | None
    """None where the run has no price; below 0 where it was cheaper."""
    reasons: tuple[Reason, ...]
    """Likeliest first."""


def why_dear(run_pk: int) -> Why | None:
    """Of the run with this primary key, by its calls as they are now; None when it is gone or made no call.

    At most five queries, and at most 2,000 calls read.
    """
    run = AgentRunLog.objects.filter(pk=run_pk, calls__gt=0).first()
    if run is None:
        return None
    usual = AgentUsualRun.objects.filter(agent=run.agent_id).first()
    if usual is None or usual.is_new:
        return Why(False, True, usual.runs if usual else 0, usual.median_microcents if usual else 0, None, ())
    over = None if run.unpriced_calls else run.cost_microcents - usual.median_microcents
    reasons: list[Cause] = []
    if over is None or over > 0:
        book = price_book(run.workspace_id)
        calls = calls_of(run.workspace_id, run.run_id)
        reasons = causes_of(run, calls, prices_of(book, calls, run.started_at), usual, book)
    return Why(
        exceeds(run, usual),
        False,
        usual.runs,
        usual.median_microcents,
        over,
        tuple(Reason(each.kind, each.label, each.microcents, of_cause(each.kind, each.figures)) for each in reasons),
    )


def is_unusual(run_pk: int) -> bool:
    """Unusually high tokens or cost for its agent, by its sums as they are now. Two queries."""
    run = AgentRunLog.objects.filter(pk=run_pk, calls__gt=0).first()
    return run is not None and exceeds(run, AgentUsualRun.objects.filter(agent=run.agent_id).first())


def unusual_among(run_pks: Iterable[int]) -> dict[int, str]:
    """Of the runs with these primary keys, those the last review marked, each with its likeliest cause. One query."""
    rows = RunReview.objects.filter(run__in=list(run_pks))
    return {row.run_id: row.label for row in rows.only("run_id", "cause")}


def mark_of(run_pk: int) -> tuple[Reason, ...] | None:
    """Why the last review marked a run, the likeliest first; None where it did not. One query."""
    row = RunReview.objects.filter(run=run_pk).only("causes", "cause").first()
    if row is None:
        return None
    return tuple(Reason(kind, LABELS[kind], amount, of_cause(kind, figures)) for kind, amount, figures in row.causes)


def newest_marked(
    user: AbstractBaseUser | AnonymousUser, *, workspace_id: int | None = None, agent_id: int | None = None, most: int
) -> list[int]:
    """Runs that the last review marked and `user` may see, by primary key, newest first. By an index; one query."""
    rows = RunReview.objects.all()
    if agent_id is not None:
        rows = rows.filter(agent_id=agent_id).visible_to(user).firsts(*NEWEST_FIRST, most=most)
    elif workspace_id is not None:
        rows = rows.filter(workspace_id=workspace_id).visible_to(user).firsts(*NEWEST_FIRST, most=most)
    else:
        rows = rows.firsts_visible_to(user, *NEWEST_FIRST, most=most)
    return list(rows.order_by(*NEWEST_FIRST).values_list("run_id", flat=True))


__all__ = ["ENOUGH_RUNS", "Reason", "Why", "is_unusual", "mark_of", "newest_marked", "unusual_among", "why_dear"]
