"""API keys, and the first run that came with a new one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Exists, F, OuterRef

from agents.models import AgentRunLog, ApiKey, LedgerState, LLMCall, Workspace

User = AbstractBaseUser | AnonymousUser


@dataclass(frozen=True)
class KeyRow:
    id: int
    prefix: str
    name: str
    workspace: str
    agent: str
    may: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    owned: bool


def list_keys(user: User, *, offset: int, limit: int) -> list[KeyRow]:
    """Those in force first, of these the newest; one more than `limit` says that there are more."""
    rows: Any = (
        ApiKey.objects.visible_to(user)
        .select_related("workspace", "agent")
        .annotate(owned=Exists(Workspace.objects.owned_by(user).filter(pk=OuterRef("workspace"))))
        .order_by(F("archived_at").desc(nulls_first=True), "-pk")
    )
    labels = dict(ApiKey.Scope.choices)
    return [
        KeyRow(
            row.pk,
            row.prefix,
            row.name,
            row.workspace.name,
            str(row.agent) if row.agent else "",
            tuple(str(labels.get(scope, scope)) for scope in row.scopes),
            row.created_at,
            row.last_used_at,
            row.archived_at,
            row.owned,
        )
        for row in rows[offset : offset + limit + 1]
    ]


def owned_key(user: User, pk: int) -> ApiKey | None:
    """A key of a workspace that `user` owns; others cannot change it."""
    return (
        ApiKey.objects.filter(pk=pk, workspace__in=Workspace.objects.owned_by(user))
        .select_related("workspace", "agent")
        .first()
    )


@dataclass(frozen=True)
class FirstRun:
    """What has come since a key was made."""

    used_at: datetime | None
    """When the key was first used, or last: to the minute."""
    run_id: int | None
    agent_id: int | None
    agent: str
    calls: int
    cost: int | None
    at: datetime | None


def first_run(key: ApiKey) -> FirstRun:
    """The newest run of which a call was received since the key was made, in its workspace or of its one agent."""
    if key.last_used_at is None:
        return FirstRun(None, None, None, "", 0, None, None)
    # Of the days since, by their index: what a new agent reports first, it did just now.
    since = LedgerState.current().days().of(key.created_at) - timedelta(days=1)
    calls = LLMCall.objects.filter(workspace=key.workspace_id, day__gte=since, received_at__gte=key.created_at)
    if key.agent_id is not None:
        calls = calls.filter(agent=key.agent_id)
    run_id = calls.order_by("-day", "-pk").values_list("run_id", flat=True).first()
    run = (
        AgentRunLog.objects.filter(workspace=key.workspace_id, run_id=run_id).select_related("agent").first()
        if run_id is not None
        else None
    )
    if run is None:
        return FirstRun(key.last_used_at, None, None, "", 0, None, None)
    cost = None if run.calls and run.unpriced_calls == run.calls else run.cost_microcents
    return FirstRun(key.last_used_at, run.pk, run.agent_id, str(run.agent), run.calls, cost, run.started_at)
