"""`manage.py create_api_key WORKSPACE`: a key, printed once and alone."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents.keys import DEFAULT_SCOPES, create_key
from agents.management.named import agent_in
from agents.models import ApiKey, Workspace

_REPORTS = "let it report once with a key for the whole workspace"


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
        only = agent_in(home, agent, how_it_reports=_REPORTS) if agent else None
        _, key = create_key(home, agent=only, name=name, scopes=scope)
        self.stdout.write(key)
