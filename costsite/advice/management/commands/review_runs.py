"""`manage.py review_runs`: the nightly review, now."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents.management.alone import alone
from agents.models import LedgerState, Workspace
from costsite.advice.models import ReviewState, RunReview
from costsite.advice.nightly import JOB, review


class Command(BaseCommand):
    help = "Review the runs of the last 35 days and find advice, as the background service does every night."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--workspace", metavar="SLUG", help="Only this one.")
        parser.add_argument("--today", action="store_true", help="Up to now; otherwise up to the end of yesterday.")

    def handle(self, *args: Any, workspace: str | None, today: bool, **options: Any) -> None:
        one = None
        if workspace:
            one = Workspace.objects.filter(slug=workspace).first()
            if one is None:
                raise CommandError(f"There is no workspace {workspace!r}; `manage.py create_workspace` makes one.")
        through = LedgerState.current().today() - timedelta(days=0 if today else 1)
        say = options["verbosity"] > 1
        with alone(JOB):
            done = review(
                through,
                workspace=one,
                on_day=lambda where, day, calls: self.stdout.write(f"{where}: {day}, {calls:,} calls") if say else None,
            )
            if today:
                # Tonight the day is reviewed again, whole.
                ReviewState.objects.filter(pk=1, through=through).update(through=through - timedelta(days=1))
        marked = RunReview.objects.filter(day__lte=through, **({"workspace": one} if one else {})).count()
        self.stdout.write(self.style.SUCCESS(f"{done}; {marked:,} runs are marked as unusually high."))
