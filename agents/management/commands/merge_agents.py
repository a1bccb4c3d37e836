"""`manage.py merge_agents`: show what would move from one agent to another, or merge them."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from agents.cost_tracker import CostTracker
from agents.figures import many
from agents.management.alone import alone
from agents.merging import MergeError, merge, target_named
from agents.models import Agent, AgentMerge, AgentRunLog, Workspace
from agents.moving import JOB, move
from agents.spend import Spend, cents_text
from agents.write_lock import AlreadyRunningError


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
                said = _moved(made)
        except MergeError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(self.style.SUCCESS(said))


def _moved(made: AgentMerge) -> str:
    """Move what the merge left to be moved, and say what came of it. The merge itself stands in any case."""
    try:
        for _ in move(made):
            pass
    except AlreadyRunningError:  # the nightly review, which what is left waits for
        return f"Merged {made}; what is left to move follows in the background."
    made.refresh_from_db()
    return f"Merged {made}: {many(made.runs, 'run')} and {many(made.calls, 'call')} moved, {_cost_of(made)}."


def _account_of(agent: Agent) -> str:
    runs, spend = AgentRunLog.objects.filter(agent=agent).count(), CostTracker().agent(agent).total()
    return f"{agent.slug} has {many(runs, 'run')} and {many(spend.calls, 'call')}, {_cost_of(spend)}."


def _cost_of(spent: AgentMerge | Spend) -> str:
    if spent.cost is None:
        return "without a price"
    unpriced = f" and {many(spent.unpriced_calls, 'call')} without a price" if spent.unpriced_calls else ""
    return f"{cents_text(spent.cost)} cents{unpriced}"
