"""Advice from the runs that were unusual."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date

from agents.models import Workspace
from costsite.advice import causes
from costsite.advice.finding.found import EVIDENCE, Found
from costsite.advice.models import Advice, RunReview


def from_reviews(workspace: Workspace, first: date, through: date) -> Iterator[Found]:
    rows = RunReview.objects.filter(workspace=workspace, day__gte=first, day__lte=through).exclude(over_microcents=None)
    by_cause: dict[tuple[int, str], list[tuple[int, RunReview]]] = defaultdict(list)
    for row in rows.iterator(chunk_size=2_000):
        # What goes in circles or fails is counted over all runs, not the unusual alone.
        if row.causes and row.cause not in (causes.LOOPS, causes.FAILED):
            by_cause[row.agent_id, row.cause].append((int(row.causes[0][1] or 0), row))
    for (agent_id, cause), reviewed in by_cause.items():
        reviewed.sort(key=lambda pair: -pair[0])
        over = sum(microcents for microcents, _ in reviewed)
        newest = max((row for _, row in reviewed), key=lambda row: row.started_at)
        figures = {
            "runs": len(reviewed), "over": over, "usual": newest.usual_microcents, "usual_runs": newest.usual_runs,
        }  # fmt: skip
        sure = Advice.Confidence.HIGH if len(reviewed) >= 3 else Advice.Confidence.MEDIUM
        yield Found(agent_id, cause, "", over, figures, [row.run_id for _, row in reviewed[:EVIDENCE]], sure)
