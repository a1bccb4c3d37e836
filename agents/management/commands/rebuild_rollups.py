"""`manage.py rebuild_rollups`: compare runs and rollups with the calls, and mend what differs."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents.management.alone import alone
from agents.models import Workspace
from agents.rebuild import Difference, differences, differences_of_months, mend


class Command(BaseCommand):
    help = "Recompute runs and rollups from calls. On a healthy database it changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="Change nothing; exit with 1 when something differs.")
        parser.add_argument("--workspace", metavar="SLUG", help="Only this one.")

    def handle(self, *args: Any, check: bool, workspace: str | None, **options: Any) -> None:
        workspaces = Workspace.objects.order_by("pk")
        if workspace:
            workspaces = workspaces.filter(slug=workspace)
            if not workspaces:
                raise CommandError(f"There is no workspace {workspace!r}; `manage.py create_workspace` makes one.")
        found = 0
        with alone("rebuild_rollups"):
            for one in workspaces:
                # Days first: months are compared with days that are mended, or with what these would be.
                for difference in _checked(one) if check else _mended(one):
                    found += 1
                    self.stdout.write(str(difference))
        if check and found:
            raise CommandError(f"{found} sums differ from the calls; `manage.py rebuild_rollups` mends them.")
        self.stdout.write(self.style.SUCCESS(f"{found} sums mended." if found else "Every sum agrees with the calls."))


def _checked(workspace: Workspace) -> Iterator[Difference]:
    of_days = []
    for difference in differences(workspace):
        of_days.append(difference)
        yield difference
    yield from differences_of_months(workspace, of_days)


def _mended(workspace: Workspace) -> Iterator[Difference]:
    yield from mend(differences(workspace))
    yield from mend(differences_of_months(workspace))
