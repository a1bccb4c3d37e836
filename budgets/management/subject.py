"""Whose budget a command is about: an agent's, a workspace's, or the site's."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from agents.management.named import agent_in
from agents.models import Agent, LedgerState, Workspace
from budgets.enforcement import standings_of
from budgets.models import BudgetPolicy
from budgets.money import in_both
from budgets.policies import OF_EVERY_BUDGET
from budgets.state import gravest_of

Subject = Agent | Workspace | None
"""None: the whole site."""


def add_subject(parser: CommandParser) -> None:
    parser.add_argument("workspace", nargs="?", default="", help="the workspace's slug")
    parser.add_argument("--agent", default="", help="slug of an agent in it: that agent's budget, not the workspace's")
    parser.add_argument("--site", action="store_true", help="the budget of the whole site, in place of a workspace")


def subject_of(options: dict[str, Any]) -> Subject:
    """What `add_subject`'s arguments name. CommandError, with the mend, when that is nothing or two things."""
    workspace, agent = options["workspace"], options["agent"]
    if options["site"]:
        if workspace or agent:
            raise CommandError("--site stands alone; leave out the workspace and --agent, or --site.")
        return None
    if not workspace:
        raise CommandError("Say whose budget: a workspace's slug, with --agent for one of its agents, or --site.")
    home = Workspace.objects.live().filter(slug=workspace).first()
    if home is None:
        raise CommandError(f"No workspace {workspace!r}; make it with `manage.py create_workspace {workspace}`.")
    return agent_in(home, agent) if agent else home


def name_of(subject: Subject) -> str:
    if subject is None:
        return "the whole site"
    return f"{'agent' if isinstance(subject, Agent) else 'workspace'} {subject.slug}"


def account_of(policy: BudgetPolicy) -> str:
    """A budget as it stands, in a line."""
    (standing,) = standings_of([policy], timezone.now())
    state = gravest_of([standing], LedgerState.current().time_zone)
    lines = ", ".join(str(threshold) for threshold in policy.thresholds)
    return (
        f"{in_both(standing.limit)} in {standing.month.name}, {in_both(standing.spent)} spent: {state.words}."
        f" Mode {policy.mode}, thresholds {lines}."
    )


OPTIONS = {"limit_cents": "--limit-cents", "cents": "--cents", "ends_at": "--last-day"} | {
    name: f"--{name}" for name in OF_EVERY_BUDGET if name != "limit_cents"
}


def said(error: ValidationError) -> str:
    """A validation error as one line that names the options."""
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return " ".join(
        f"{OPTIONS.get(field, f'--{field}')}: {' '.join(messages)}" for field, messages in error.message_dict.items()
    )
