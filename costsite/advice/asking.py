"""What other pages may ask: why a run is unusual for its agent. Whoever asks has checked who may see it."""

from __future__ import annotations

from dataclasses import dataclass

from costsite.advice.causes import LABELS
from costsite.advice.models import RunReview
from costsite.advice.words import of_cause


@dataclass(frozen=True)
class Reason:
    kind: str
    label: str
    microcents: int | None
    """Over the agent's usual run; None where the run has no price."""
    text: str


@dataclass(frozen=True)
class Mark:
    """Why the last review marked a run, against the agent's usual run of that night. Money in microcents."""

    over: int | None
    """None where the run has no price; 0 where it was marked by its tokens alone."""
    usual: int
    tokens: int
    usual_tokens: int
    runs: int
    """How many runs the usual one is the middle of."""
    reasons: tuple[Reason, ...]
    """The likeliest first; they may overlap, so they do not add up."""


def mark_of(run_pk: int) -> Mark | None:
    """What the last review said of a run; None where it did not mark it. One query."""
    row = RunReview.objects.filter(run=run_pk).first()
    if row is None:
        return None
    return Mark(
        over=row.over_microcents,
        usual=row.usual_microcents,
        tokens=row.tokens,
        usual_tokens=row.usual_tokens,
        runs=row.usual_runs,
        reasons=tuple(
            # A review may be older than a release that named its causes otherwise.
            Reason(kind, LABELS.get(kind, "No single cause"), amount, of_cause(kind, figures))
            for kind, amount, figures in row.causes
        ),
    )
