"""`manage.py reprice`: show, or apply, what calls cost by the prices in force for their time."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import date
from decimal import Decimal
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents.management.days import day
from agents.models import Workspace
from agents.repricing import Change, Repriced, Selection, reprice
from agents.spend import MICROCENTS_PER_USD


class Command(BaseCommand):
    help = (
        "Price calls anew and show the difference. Changes nothing without --apply, looks at unpriced calls only"
        " without --all, and at the current month only without --include-closed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--workspace", metavar="SLUG", help="Only this one.")
        parser.add_argument("--provider", default="", help="Only calls of this provider, as the pages name it.")
        parser.add_argument("--model", default="", help="Only calls of this model; a * at the end stands for the rest.")
        parser.add_argument("--from", dest="first_day", metavar="YYYY-MM-DD", type=day, help="The first day.")
        parser.add_argument("--to", dest="last_day", metavar="YYYY-MM-DD", type=day, help="The last day, included.")
        parser.add_argument("--all", dest="priced_too", action="store_true", help="Calls that have a price, too.")
        parser.add_argument("--include-closed", action="store_true", help="Months before the current one, too.")
        parser.add_argument("--apply", action="store_true", help="Write it, with a correction for each day and model.")

    def handle(
        self,
        *args: Any,
        workspace: str | None,
        provider: str,
        model: str,
        first_day: date | None,
        last_day: date | None,
        priced_too: bool,
        include_closed: bool,
        apply: bool,
        **options: Any,
    ) -> None:
        slugs = dict(Workspace.objects.values_list("pk", "slug"))
        ids = {slug: pk for pk, slug in slugs.items()}
        if workspace and workspace not in ids:
            raise CommandError(f"There is no workspace {workspace!r}; there are: {', '.join(sorted(ids)) or 'none'}.")
        if first_day and last_day and last_day < first_day:
            raise CommandError(f"--to {last_day} is before --from {first_day}; swap them.")
        selection = Selection(
            workspace_id=ids[workspace] if workspace else None,
            provider=provider,
            model=model,
            first_day=first_day,
            last_day=last_day,
            priced_too=priced_too,
            closed_months=include_closed,
        )
        repriced = reprice(selection, apply=apply, reason="manage.py reprice" + (" --all" if priced_too else ""))
        self._show(repriced, slugs, apply)

    def _show(self, repriced: Repriced, slugs: dict[int, str], applied: bool) -> None:
        whole = Change()
        if repriced.changes:
            self.stdout.write(f"{'':50} {'calls':>9} {'unpriced':>9} {'before':>16} {'after':>16} {'difference':>16}")
        for (workspace_id, provider, model), change in sorted(repriced.changes.items()):
            name = f"{slugs[workspace_id]}: {provider}/{model}" if provider else f"{slugs[workspace_id]}: {model}"
            self.stdout.write(_line(name, change))
            whole.add(change)
        if len(repriced.changes) > 1:
            self.stdout.write(_line("in all", whole))
        if whole.no_longer_priced_calls:
            self.stdout.write(
                f"{whole.no_longer_priced_calls:,} calls lose the price they had: it was ended or changed."
            )
        if repriced.calls_of_closed_months:
            self.stdout.write(
                f"{repriced.calls_of_closed_months:,} calls of closed months were left alone; --include-closed takes"
                " them too, and changes months whose figures people may have passed on."
            )
        if not repriced.changes:
            self.stdout.write(self.style.SUCCESS("Every call that was looked at has the right cost, or no price yet."))
        elif applied:
            self.stdout.write(self.style.SUCCESS(f"Repriced; the corrections are kept as {repriced.repricing_id}."))
        else:
            self.stdout.write("Nothing was changed. Add --apply to write this.")


def _line(name: str, change: Change) -> str:
    difference = _usd(change.after - change.before, sign=True)
    return (
        f"{name[:50]:50} {change.calls:>9,} {change.newly_priced_calls:>9,} {_usd(change.before):>16}"
        f" {_usd(change.after):>16} {difference:>16}"
    )


def _usd(microcents: int, *, sign: bool = False) -> str:
    """Exact enough to see a single call, short enough for a column: six decimals of a dollar."""
    return f"{Decimal(microcents) / MICROCENTS_PER_USD:{'+' if sign else ''},.6f}"
