"""Which workspace and agent a page is narrowed to: of those that its address names, what its reader may choose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from costsite.analytics.file_names import plain_part
from costsite.analytics.filters import Filters
from costsite.analytics.queries.agents import AgentFacts, find_booked_to
from costsite.analytics.queries.workspaces import WorkspaceFacts

User = AbstractBaseUser | AnonymousUser


def chosen_agent(user: User, agent_id: int | None, workspace_id: int | None = None) -> AgentFacts | None:
    """None for one that is not there, that one may not see, and that is of another workspace: nobody is told which.

    Of an agent that was merged it is the one its calls are booked to.
    """
    found = find_booked_to(user, agent_id) if agent_id is not None else None
    return None if found is None or workspace_id not in (None, found.workspace_id) else found


def of_agent(agent: AgentFacts) -> tuple[str, str]:
    """Its workspace and its slug, for names of files; its number too where a name cannot have all of its slug."""
    named = agent.slug if plain_part(agent.slug) == agent.slug else f"agent {agent.id} {agent.slug}"
    return agent.workspace_slug, named


def within_site(
    user: User, filters: Filters, workspaces: Iterable[WorkspaceFacts]
) -> tuple[Filters, WorkspaceFacts | None, AgentFacts | None]:
    """`filters` without a workspace or an agent that nobody could have chosen, and those that are left of them."""
    workspace = next((one for one in workspaces if one.slug == filters.workspace), None)
    agent = chosen_agent(user, filters.agent, workspace.id if workspace else None)
    filters = replace(filters, workspace=workspace.slug if workspace else "", agent=agent.id if agent else None)
    return filters, workspace, agent


def within_workspace(user: User, filters: Filters, workspace_id: int) -> tuple[Filters, AgentFacts | None]:
    """The same on the page of one workspace, which is no choice there."""
    agent = chosen_agent(user, filters.agent, workspace_id)
    return replace(filters, workspace="", agent=agent.id if agent else None), agent
