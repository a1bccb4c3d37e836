"""The agent that an argument of a command names."""

from __future__ import annotations

from django.core.management.base import CommandError

from agents.models import Agent, Workspace


def agent_in(workspace: Workspace, slug: str, *, how_it_reports: str = "let it report once") -> Agent:
    """The live agent of that name. CommandError, with the mend, when there is none.

    A merged name is not followed: who names it may not know that it now stands for another's money.
    """
    found = Agent.objects.filter(workspace=workspace, slug=slug).select_related("merged_into").first()
    if found is None:
        raise CommandError(f"No agent {slug!r} in {workspace.slug}; add it in the admin, or {how_it_reports}.")
    if found.merged_into is not None:
        raise CommandError(f"{slug} was merged into {found.merged_into.slug}; name that.")
    if found.archived_at is not None:
        raise CommandError(f"{slug} is archived; take it out of the archive in the admin first.")
    return found
