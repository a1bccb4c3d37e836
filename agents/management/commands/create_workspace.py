"""`manage.py create_workspace SLUG`: a workspace, made once."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents.models import Workspace


class Command(BaseCommand):
    help = "Make a workspace unless it exists, and print its slug."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="letters, digits, - and _, at most 64; part of its address")
        parser.add_argument("--name", default="", help="shown to people; without it, made from the slug")

    def handle(self, *_args: Any, slug: str, name: str, **_options: Any) -> None:
        made = Workspace(slug=slug, name=name or slug.replace("-", " ").replace("_", " ").title())
        try:
            made.clean_fields(exclude=["hash_key"])
        except ValidationError as error:
            raise CommandError(f"{slug[:100]!r} cannot be a workspace: {' '.join(error.messages)}") from None
        workspace, is_new = Workspace.objects.get_or_create(slug=slug, defaults={"name": made.name})
        if workspace.archived_at is not None:
            raise CommandError(
                f"{slug} exists but is archived; let a superuser restore it in the admin, or choose another slug."
            )
        if not is_new and name and workspace.name != name:
            raise CommandError(
                f"{slug} exists under the name {workspace.name!r}; rename it in the admin, or leave --name out."
            )
        self.stdout.write(workspace.slug)
