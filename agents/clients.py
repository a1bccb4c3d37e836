"""The processes that report, and how they say they fare."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import F
from django.utils import timezone

from agents.models import Client, Workspace
from agents.storage import storage
from agents.write_lock import writing
from langchain_plugin import wire

NOTED_EVERY: Final = timedelta(seconds=5)
"""Health is for people to look at; a row and a disk sync for each batch would cost more than the batch."""


def note_client(workspace: Workspace, batch: wire.EventBatch, *, now: datetime | None = None) -> int:
    """The primary key of the client that sent `batch`; its stored health is at most five seconds older than its last
    batch.

    Two things are stored at once, for a process may have nothing to say after them: that nothing waits any more, and
    that it lost more events.
    """
    now = now or timezone.now()
    health = batch.health
    store = storage()
    # By hand: the ORM takes ten times as long, and every batch asks.
    known = store.rows(
        "SELECT id, last_seen_at, spool_events, dropped FROM agents_client WHERE workspace_id = %s AND client_id = %s",
        [workspace.pk, batch.client_id.hex],
    )
    if known:
        pk, last_seen_at, waited, dropped = known[0]
        is_over = bool(waited) and not health.spool_events
        lost = sum(health.dropped.values())
        lost_more = bool(lost) and lost > sum(store.read_json(dropped).values())
        if now - store.read_time(last_seen_at) < NOTED_EVERY and not is_over and not lost_more:
            return int(pk)
    facts = {
        "host": health.host,
        "pid": health.pid,
        "versions": health.versions,
        "spool_events": health.spool_events,
        "spool_bytes": health.spool_bytes,
        "dropped": health.dropped,
        "last_seen_at": now,
    }
    with writing():
        row, _ = Client.objects.update_or_create(
            workspace=workspace,
            client_id=batch.client_id,
            defaults=facts,
            create_defaults=facts | {"first_seen_at": now},
        )
    return row.pk


def lost_events(dropped: Mapping[str, Any]) -> dict[str, int]:
    """What of a client's `dropped` is lost, by reason: not what was rejected, which lies where it ran and may be sent
    again. What of that could not be kept has a reason of its own.
    """
    return {
        reason: count for reason, count in dropped.items() if count and reason != "rejected" and isinstance(count, int)
    }


def note_rejected(client: int, events: int) -> None:
    """Add to what of a client's events was rejected. A batch sent again counts again: it is a sign, not a sum."""
    if events:
        with writing():
            Client.objects.filter(pk=client).update(rejected_events=F("rejected_events") + events)
