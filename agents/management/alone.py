"""For commands that must not run twice at a time, against others of their kind and against the tick."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError

from agents.write_lock import AlreadyRunningError, only_job


@contextmanager
def alone(job: str) -> Iterator[None]:
    """Hold the job's lock; CommandError, which ends the command with one sentence, when somebody else does."""
    try:
        with only_job(job):
            yield
    except AlreadyRunningError as busy:
        raise CommandError(str(busy)) from None
