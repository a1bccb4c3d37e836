"""manage.py load_demo: the demo's traffic, without the rest of the demo."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from agents.models import Workspace
from costsite.demo import cast
from costsite.demo.load import SEED, days_to_load, load


class Command(BaseCommand):
    help = "Load believable traffic from the start of last month to now. Run again, it adds what has happened since."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seed", type=int, default=SEED, help="Another seed gives other traffic.")
        parser.add_argument(
            "--beside-other-data", action="store_true", help="Load into a site that has workspaces of its own."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        others = Workspace.objects.exclude(slug__in=[workspace.slug for workspace in cast.WORKSPACES])
        if others.exists() and not options["beside_other_data"]:
            raise CommandError(
                "This site has workspaces of its own; invented traffic would count in its totals. Give the demo another"
                " COSTSITE_STATE_DIR (or DATABASE_URL), or add --beside-other-data if that is what you want."
            )
        now = timezone.now()
        with tqdm(total=len(days_to_load(now)), unit=" days", desc="Loading the demo's traffic", disable=None) as bar:
            new = load(now, seed=options["seed"], on_day=lambda: bar.update())
        if options["verbosity"]:
            self.stdout.write(f"{new:,} events added." if new else "Nothing to add.")
