"""Two agents that are one, such as one whose name was misspelt somewhere: from now on one name stands for the other.

The act is one short transaction. From its commit on, whatever names the source is the target's: events, leases,
settings, and keys that were bound to it. What the ledger holds of the source follows in the background
(`agents.moving`), and nothing is lost or counted twice on the way.

A name is never given back: the calls of the two cannot be told apart afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.db.models import F, Q, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone
from django_q.tasks import async_task

from agents.admin_history import note_change
from agents.models import Agent, AgentDay, AgentMerge, ApiKey
from agents.models.people import UNREGISTERED
from agents.models.visibility import is_superuser
from agents.signals import agents_merged
from agents.write_lock import after_writing, writing

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from agents.models.visibility import User as AnyUser

_RESERVED: Final = (
    f'"{UNREGISTERED}" is nobody: what agents spend that may not register is booked to it. It cannot be merged, nor'
    " merged into."
)


class MergeError(ValueError):
    """The two cannot be merged; the message says why, and the mend where there is one."""


def may_merge(user: AnyUser, *, owned: bool) -> bool:
    """Whether `user` may merge agents of a workspace: its owners may (`owned`: they are one), and who runs the site.
    Which agents can be, says `why_not`.
    """
    return is_superuser(user) or owned


def why_not(source: Agent, target: Agent | None = None) -> str:
    """Why `source` cannot be merged, or not into `target`; empty when it can."""
    if UNREGISTERED in (source.slug, target and target.slug):
        return _RESERVED
    if source.merged_into is not None:
        return f"{source.slug} was merged into {source.merged_into.slug} already."
    if target is None:
        return ""
    if target.pk == source.pk:
        return f"{source.slug} cannot be merged into itself; choose another agent."
    if target.workspace_id != source.workspace_id:
        return f"{target.slug} runs in another workspace; only agents of one workspace are merged."
    if target.merged_into is not None:
        return f"{target.slug} was merged into {target.merged_into.slug}; choose that."
    if target.archived_at is not None:
        return f"{target.slug} is archived; take it out of the archive in the admin first, or choose another."
    return ""


def target_named(source: Agent, slug: str) -> Agent:
    """The agent that `source` is to be merged into, by its slug. MergeError when it cannot be."""
    found = (
        Agent.objects.filter(workspace=source.workspace_id, slug=slug.strip())
        .select_related("workspace", "merged_into")
        .first()
    )
    if found is None:
        raise MergeError(f"{source.workspace} has no agent named {slug.strip()!r}; write one it has.")
    if problem := why_not(source, found):
        raise MergeError(problem)
    return found


def merge(source: Agent, target: Agent, *, by: User | None = None, by_name: str = "") -> AgentMerge:
    """Let the slug of `source` stand for `target` from now on, and queue the moving of what it did.

    The caller has checked that they may. `by_name`: who it is without a login, such as a command.

    Raises:
        MergeError: They cannot be merged, or no longer.

    """
    # Alone: every batch and every lease looks its agent up inside its own transaction, so each is before or after this.
    with writing(alone=True):
        source, target = (
            Agent.objects.select_related("workspace", "merged_into").get(pk=agent.pk) for agent in (source, target)
        )
        if problem := why_not(source, target):
            raise MergeError(problem)
        now = timezone.now()
        of_source = AgentDay.objects.filter(agent=source)
        made = AgentMerge.objects.create(
            workspace_id=source.workspace_id,
            source=source,
            target=target,
            by_user=by,
            by_name=by.get_username()[:200] if by is not None else by_name,
            merged_at=now,
            expected_calls=int(of_source.aggregate(calls=Sum("calls", default=0))["calls"]),
            keys=ApiKey.objects.filter(agent=source).update(agent=target),
        )
        # Whoever was merged into the source goes on with it, so that a name is one step from its agent.
        Agent.objects.filter(Q(pk=source.pk) | Q(merged_into=source)).update(
            archived_at=Coalesce(F("archived_at"), now), merged_into=target
        )
        if source.last_run_at is not None:
            later = Q(last_run_at=None) | Q(last_run_at__lt=source.last_run_at)
            Agent.objects.filter(later, pk=target.pk).update(last_run_at=source.last_run_at)
        if by is not None:
            note_change(source, by, f"Merged into {target.slug}.")
            note_change(target, by, f"{source.slug} was merged into it.")
        agents_merged.send(AgentMerge, merge=made)
        after_writing(lambda: async_task("agents.tasks.move_merged", made.pk))
    return made
