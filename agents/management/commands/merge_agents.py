"""`manage.py merge_agents`: show what would move from one agent to another, or merge them."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Sum

from agents.management.alone import alone
from agents.merging import MergeError, merge, target_named
from agents.models import Agent, AgentRunLog, UsageDay, Workspace
from agents.moving import JOB, move
from agents.spend import cents_text


class Command(BaseCommand):
    help = (
        "Say what an agent did that another one would be given; with --apply, merge it into that. It has no way back."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("workspace", help="the workspace's slug")
        parser.add_argument("source", help="the name that is to stand for the other")
        parser.add_argument("into", help="the agent it is merged into")
        parser.add_argument("--apply", action="store_true", help="Merge them; without it nothing changes.")

    def handle(self, *args: Any, workspace: str, source: str, into: str, apply: bool, **options: Any) -> None:
        home = Workspace.objects.filter(slug=workspace).first()
        if home is None:
            raise CommandError(f"There is no workspace {workspace!r}.")
        agent = Agent.objects.filter(workspace=home, slug=source).select_related("workspace", "merged_into").first()
        if agent is None:
            raise CommandError(f"No agent {source!r} in {workspace}.")
        try:
            target = target_named(agent, into)
            if not apply:
                self.stdout.write(f"{_account_of(agent)} Nothing was changed. Add --apply to merge it into {into}.")
                return
            with alone(JOB):
                made = merge(agent, target, by_name="manage.py merge_agents")
                for _ in move(made):
                    pass
        except MergeError as error:
            raise CommandError(str(error)) from None
        made.refresh_from_db()
        self.stdout.write(
            self.style.SUCCESS(
                f"Merged {made}: {made.runs:,} runs and {made.calls:,} calls moved,"
                f" {cents_text(made.cost_microcents)} cents."
            )
        )


def _account_of(agent: Agent) -> str:
    sums = UsageDay.objects.filter(agent=agent).aggregate(
        calls=Sum("calls", default=0), cost=Sum("cost_microcents", default=0), unpriced=Sum("unpriced_calls", default=0)
    )
    unpriced = f" and {int(sums['unpriced']):,} calls without a price" if sums["unpriced"] else ""
    return (
        f"{agent.slug} has {AgentRunLog.objects.filter(agent=agent).count():,} runs and {int(sums['calls']):,} calls,"
        f" {cents_text(int(sums['cost']))} cents{unpriced}."
    )
