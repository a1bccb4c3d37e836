"""What a merge of two agents means for the advice: the next night reads the days anew, and decisions stay.

Connected when the app is ready. Outside of a transaction; each step is one of its own, and doing it again changes
nothing.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.models import Model
from django.dispatch import receiver

from agents.models import Agent, AgentMerge
from agents.signals import merge_settling
from agents.write_lock import only_job, writing
from costsite.advice.models import (
    Advice,
    AdviceChange,
    AgentMonth,
    AgentUsualRun,
    ReviewedDay,
    RunReview,
    ScannedDay,
    TaskDay,
    UsageSlice,
)
from costsite.advice.nightly import JOB

AT_ONCE: Final = 250
"""Rows in one transaction: well under 200 ms."""
MADE_ANEW: Final[tuple[type[Model], ...]] = (AgentUsualRun, AgentMonth, ReviewedDay, UsageSlice, TaskDay)
"""Each night from the calls, which are the target's by now."""


@receiver(merge_settling)
def settle_advice(merge: AgentMerge, **_kwargs: Any) -> None:
    """AlreadyRunningError while a review is at work, which may have read the source's runs before they moved."""
    source, target = merge.source, merge.source.booked_to
    with only_job(JOB):
        _read_days_anew(source)
        for table in MADE_ANEW:
            rows = table._default_manager.filter(agent=source).order_by()
            while ids := list(rows.values_list("pk", flat=True)[:AT_ONCE]):
                with writing():
                    table._default_manager.filter(pk__in=ids).delete()
        reviews = RunReview.objects.filter(agent=source).order_by()
        while ids := list(reviews.values_list("pk", flat=True)[:AT_ONCE]):
            with writing():
                RunReview.objects.filter(pk__in=ids).update(agent=target)
        _move_advice(source, target)


def _read_days_anew(source: Agent) -> None:
    """Before the sums of these days are deleted: they tell which days had any."""
    days = list(ReviewedDay.objects.filter(agent=source).values_list("day", flat=True))  # a hundred are kept
    with writing():
        ScannedDay.objects.filter(workspace=source.workspace_id, day__in=days).delete()


def _move_advice(source: Agent, target: Agent) -> None:
    """Of two pieces that say the same the target's stays, with what was decided of either."""
    with writing():
        for advice in Advice.objects.filter(agent=source):
            same = Advice.objects.filter(agent=target, kind=advice.kind, key=advice.key).first()
            if same is None:
                Advice.objects.filter(pk=advice.pk).update(agent=target)
            else:
                AdviceChange.objects.filter(advice=advice).update(advice=same)
                advice.delete()
