"""The one write path: a batch of events becomes calls, runs and rollups, each exactly once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import F

from agents.models import Agent, AgentRunLog, Client, LedgerState, LLMCall, UsageDay, Workspace, WorkspaceDay
from agents.signals import usage_recorded
from langchain_plugin import wire


@dataclass
class Recorded:
    """What became of a batch: the fate of each event by its index, for the Receipt and for those who listen."""

    workspace: Workspace
    accepted: list[int] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    rejected: list[wire.Rejection] = field(default_factory=list)


def record(
    workspace: Workspace,
    events: list[tuple[int, wire.Event]],
    *,
    client: Client | None,
    received_at: datetime,
) -> Recorded:
    """Write what is new of `events` (index in the batch, event) in one transaction."""
    recorded = Recorded(workspace)
    zone = ZoneInfo(LedgerState.current().time_zone)
    with transaction.atomic():
        for index, event in events:
            agent, _ = Agent.objects.get_or_create(workspace=workspace, slug=event.agent)
            started_at = event.refused_at if isinstance(event, wire.Refused) else event.started_at
            day = started_at.astimezone(zone).date()
            run, fresh = AgentRunLog.objects.get_or_create(
                workspace=workspace, run_id=event.run_id, defaults={"agent": agent, "started_at": started_at, "day": day}
            )
            if fresh:
                WorkspaceDay.objects.get_or_create(workspace=workspace, day=day)
                WorkspaceDay.objects.filter(workspace=workspace, day=day).update(runs=F("runs") + 1)
            if isinstance(event, wire.RunEnded):
                AgentRunLog.objects.filter(pk=run.pk).update(status=event.status, ended_at=event.ended_at)
            if not isinstance(event, wire.LLMCall):
                recorded.accepted.append(index)
                continue
            _, new = LLMCall.objects.get_or_create(
                workspace=workspace,
                call_id=event.call_id,
                defaults={
                    "agent": agent, "client": client, "run_id": event.run_id, "provider": event.provider, "model": event.request_model,
                    "request_model": event.request_model, "response_model": event.response_model, "started_at": started_at,
                    "ended_at": event.ended_at, "received_at": received_at, "day": day, "status": event.status,
                    "input_tokens": event.input_tokens or 0, "output_tokens": event.output_tokens or 0, "cost_basis": "unpriced",
                },
            )
            if not new:
                recorded.duplicates.append(index)
                continue
            recorded.accepted.append(index)
            sums: dict[str, int] = defaultdict(int, calls=1, unpriced_calls=1, input_tokens=event.input_tokens or 0, output_tokens=event.output_tokens or 0)
            AgentRunLog.objects.filter(pk=run.pk).update(**{name: F(name) + value for name, value in sums.items()})
            for model, key in (
                (WorkspaceDay, {"workspace": workspace, "day": day}),
                (UsageDay, {"workspace": workspace, "day": day, "agent": agent, "provider": event.provider, "model": event.request_model, "status": event.status, "effort": event.effort}),
            ):
                row, _ = model.objects.get_or_create(**key)
                model.objects.filter(pk=row.pk).update(**{name: F(name) + value for name, value in sums.items()})
        usage_recorded.send(Recorded, recorded=recorded)
    return recorded
