"""Background work that belongs to the site as a whole: the tick.

One schedule, made from code, runs every minute and computes from the database what is due. Nothing rests on it running
once, or on time: a missed tick is made up for by the next. (One schedule whose arguments did not parse would stop every
schedule of django-q2, so there is one, and it has none.)
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import connections
from django.utils import timezone
from django_q.models import Schedule, Task

from agents import moving, repricing, retention, server_clock
from agents.models import LedgerState
from agents.write_lock import AlreadyRunningError
from budgets import crossings, statements
from budgets.notifications import sending
from costsite.advice import nightly

log = logging.getLogger(__name__)

TICK = "costsite tick"
TICK_FUNCTION = "costsite.tasks.tick"


def schedule_tick() -> None:
    """Make the schedule, or mend the one that is there. Safe to call at every start, by any number of processes."""
    schedule, made = Schedule.objects.get_or_create(
        name=TICK,
        defaults={
            "func": TICK_FUNCTION,
            "schedule_type": Schedule.MINUTES,
            "minutes": 1,
            "repeats": -1,
            "next_run": timezone.now(),
        },
    )
    if not made:
        Schedule.objects.filter(pk=schedule.pk).update(
            func=TICK_FUNCTION,
            args=None,
            kwargs=None,
            hook=None,
            schedule_type=Schedule.MINUTES,
            minutes=1,
            repeats=-1,
        )


def ticks_seen() -> frozenset[str]:
    """The ticks that were done of late, by any process: another answer within minutes means that work goes on.

    Ids and no times: whatever the clock does, a new one is new.
    """
    try:
        return frozenset(Task.objects.filter(func=TICK_FUNCTION).values_list("id", flat=True))
    finally:
        connections.close_all()  # who asks does so once in a while, and keeps nobody's connection


def due_work() -> dict[str, Callable[[], str]]:
    """What each tick looks at, by name. Each finds out itself whether anything is due, cheap when nothing is."""
    return {
        "clock": server_clock.follow,
        "repricing": repricing.sweep,
        "merges": moving.sweep,
        "retention": retention.sweep,
        "crossings": crossings.sweep,
        "months": _closed_months,
        "notifications": sending.sweep,
        "review": nightly.sweep,
    }


def _closed_months() -> str:
    # A month ends by the clock: by one that is wrong, people would be told sums of months that are not over.
    return server_clock.doubt(LedgerState.current()) or statements.monthly_rollover()


def tick() -> dict[str, str]:
    """Do what is due; one piece that fails does not keep the others from theirs."""
    done = {}
    for name, work in due_work().items():
        try:
            done[name] = work()
        except AlreadyRunningError as busy:
            done[name] = str(busy)
        except Exception:
            log.exception("The tick's %s failed; the next tick tries again.", name)
            done[name] = "failed"
    return done
