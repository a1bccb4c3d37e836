"""Agents register by their first event. No money is turned away: who may not register is booked to a reserved one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from agents.models import Agent
from agents.models.people import UNREGISTERED
from agents.signals import agents_registered
from agents.storage import Storage, storage
from agents.write_lock import writing

_NOT_IN_A_SLUG: Final = re.compile(r"[/?#\\\x00]")
"""What would break an address; `Agent.slug` refuses the same."""

LAST_RUN_STEP: Final = timedelta(minutes=1)
"""`Agent.last_run_at` is news for people; writing it with every batch would make one hot row of every agent."""


@dataclass(slots=True)
class KnownAgent:
    """What a batch needs to know of an agent, without the cost of a model instance."""

    id: int
    slug: str
    active: bool
    effort: str
    default_model: str
    compact_at_tokens: int | None
    last_run_at: datetime | None


def slug_of(name: str) -> str:
    """The slug that a reported agent name stands for: what an address cannot hold becomes a dash."""
    return _NOT_IN_A_SLUG.sub("-", name.strip())


def agents_named(workspace_id: int, slugs: Iterable[str], storage: Storage) -> dict[str, KnownAgent]:
    """The agent that each slug is booked to; agents seen for the first time are made. The slug of a merged agent is
    booked to the one it was merged into.

    Where registration is closed (COSTSITE_REGISTER_AGENTS) or the workspace is full (COSTSITE_MAX_AGENTS_PER_WORKSPACE)
    a new slug is booked to `unregistered`. Inactive and archived agents are booked like any other: the money is spent.
    """
    wanted = sorted(set(slugs))
    known = agents_known(workspace_id, wanted, storage)
    missing = [slug for slug in wanted if slug not in known]
    if not missing:
        return known
    welcome = missing[: _free_places(workspace_id)]
    if len(welcome) < len(missing) and UNREGISTERED not in known:
        welcome = sorted({*welcome, UNREGISTERED})  # its place is reserved
    # In sorted order, and without a complaint about those another process registers at this moment.
    Agent.objects.bulk_create(
        [Agent(workspace_id=workspace_id, slug=slug, created_at=timezone.now()) for slug in welcome],
        ignore_conflicts=True,
    )
    made = agents_known(workspace_id, welcome, storage)
    known |= made
    agents_registered.send(Agent, workspace_id=workspace_id, agent_ids=[agent.id for agent in made.values()])
    return {slug: known[slug] if slug in known else known[UNREGISTERED] for slug in wanted}


def agent_named(workspace_id: int, name: str) -> Agent:
    """The agent of a reported name; one that is seen for the first time is made. Of a merged one, itself: `booked_to`
    is whose money it spends.
    """
    slug = slug_of(name)
    known = Agent.objects.select_related("merged_into").filter(workspace_id=workspace_id, slug=slug).first()
    if known is not None:
        return known
    with writing(first=True):
        return Agent.objects.get(pk=agents_named(workspace_id, [slug], storage())[slug].id)


def _free_places(workspace_id: int) -> int:
    if not settings.COSTSITE_REGISTER_AGENTS:
        return 0
    return max(0, settings.COSTSITE_MAX_AGENTS_PER_WORKSPACE - Agent.objects.filter(workspace_id=workspace_id).count())


def agents_known(workspace_id: int, slugs: Sequence[str], storage: Storage) -> dict[str, KnownAgent]:
    """The agent that each slug is booked to, of those that are known."""
    if not slugs:
        return {}
    places = ", ".join(["%s"] * len(slugs))
    table = Agent._meta.db_table
    found = storage.rows(
        "SELECT named.slug, a.id, a.slug, a.active, a.effort, a.default_model, a.compact_at_tokens, a.last_run_at"
        f" FROM {table} AS named JOIN {table} AS a ON a.id = COALESCE(named.merged_into_id, named.id)"
        f" WHERE named.workspace_id = %s AND named.slug IN ({places})",
        [workspace_id, *slugs],
    )
    return {
        name: KnownAgent(agent_id, slug, bool(active), effort, model, compact_at, at and storage.read_time(at))
        for name, agent_id, slug, active, effort, model, compact_at, at in found
    }


def note_runs(started: dict[int, datetime], known: Iterable[KnownAgent]) -> None:
    """Move `last_run_at` of agents (by id) to the start of a run, at most once a minute each."""
    last = {agent.id: agent.last_run_at for agent in known}
    for agent_id, at in sorted(started.items()):
        before = last.get(agent_id)
        if before is None or at - before >= LAST_RUN_STEP:
            older = Q(last_run_at=None) | Q(last_run_at__lte=at - LAST_RUN_STEP)
            Agent.objects.filter(older, pk=agent_id).update(last_run_at=at)
