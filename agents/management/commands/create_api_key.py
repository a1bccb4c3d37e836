"""`manage.py create_api_key WORKSPACE`: a key, printed once and alone."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents.keys import DEFAULT_SCOPES, create_key
from agents.models import Agent, ApiKey, Workspace


class Command(BaseCommand):
    help = "Make an API key and print it, and nothing else: it is not kept and cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("workspace", help="its slug")
        parser.add_argument(
            "--agent", default="", help="slug of the one agent the key reports and reads; without it, all"
        )
        parser.add_argument("--name", default="", help="what the key is for; shown in the admin")
        parser.add_argument(
            "--scope",
            action="append",
            choices=ApiKey.Scope.values,
            help=f"what it may do; can be given several times (without it: {', '.join(DEFAULT_SCOPES)})",
        )

    def handle(
        self, *_args: Any, workspace: str, agent: str, name: str, scope: list[str] | None, **_options: Any
    ) -> None:
        home = Workspace.objects.live().filter(slug=workspace).first()
        if home is None:
            raise CommandError(f"No workspace {workspace!r}; make it with `manage.py create_workspace {workspace}`.")
        _, key = create_key(home, agent=self._agent(home, agent), name=name, scopes=scope)
        self.stdout.write(key)

    def _agent(self, workspace: Workspace, slug: str) -> Agent | None:
        if not slug:
            return None
        found = Agent.objects.live().filter(workspace=workspace, slug=slug).first()
        if found is None:
            raise CommandError(
                f"No agent {slug!r} in {workspace.slug}; add it in the admin, or let it report once with a key"
                " for the whole workspace."
            )
        return found
