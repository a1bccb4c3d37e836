"""Puts the demo's traffic into the ledger, by the same door as everything else: `agents.ledger.record`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from agents import ledger
from agents.models import Agent, Client, LedgerState, Workspace
from costsite.demo import cast
from costsite.demo.traffic import events_of_day, when

SEED = 2026
EVENTS_PER_BATCH = 500
REPORTER = UUID("0198c0de-0000-7000-8000-c057517e0de0")
"""The client the traffic is reported by; when it was last seen is how far it has been loaded."""


def days_to_load(now: datetime) -> list[date]:
    """From where the last loading ended to today.

    At first from the start of the previous month, so that this month has one to be compared with. The last day was cut
    off at the moment of loading, so it is among them: loading it again adds what came after.
    """
    ledger_days = LedgerState.current().days()
    today = ledger_days.of(now)
    first = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
    loaded_to = [ledger_days.of(reporter.last_seen_at) for reporter in Client.objects.filter(client_id=REPORTER)]
    if loaded_to:
        first = max(first, min(loaded_to))
    return [first + timedelta(days=number) for number in range((today - first).days + 1)]


def load(now: datetime, *, seed: int = SEED, on_day: Callable[[], object] = lambda: None) -> int:
    """Record what happened up to `now`; returns how many events were new. Calls `on_day` after each of `days_to_load`.

    Safe to break off and to repeat: the same day always has the same events, and the ledger counts each once.
    """
    days, ledger_days = days_to_load(now), LedgerState.current().days()
    places = [(described, *_set_up(described, ledger_days.start(days[0]))) for described in cast.WORKSPACES]
    new = 0
    for day in days:
        for described, workspace, client in places:
            events = [event for event in events_of_day(described, day, ledger_days.zone, seed) if when(event) <= now]
            for start in range(0, len(events), EVENTS_PER_BATCH):
                batch = events[start : start + EVENTS_PER_BATCH]
                received_at = min(when(batch[-1]) + timedelta(seconds=1), now)
                recorded = ledger.record(workspace, list(enumerate(batch)), client=client.pk, received_at=received_at)
                if recorded.rejected:
                    raise RuntimeError(f"The ledger rejected an event of the demo: {recorded.rejected[0].message}")
                new += len(recorded.accepted)
        on_day()
    Client.objects.filter(client_id=REPORTER).update(last_seen_at=now.astimezone(UTC))
    return new


def _set_up(described: cast.Workspace, loaded_to: datetime) -> tuple[Workspace, Client]:
    workspace, _ = Workspace.objects.get_or_create(slug=described.slug, defaults={"name": described.name})
    for agent in described.agents:
        model = agent.models[0][0]
        facts = {"name": agent.name, "default_model": model.name, "effort": model.effort}
        Agent.objects.get_or_create(workspace=workspace, slug=agent.slug, defaults=facts)
    client, _ = Client.objects.get_or_create(
        workspace=workspace,
        client_id=REPORTER,
        defaults={"host": "demo", "first_seen_at": loaded_to, "last_seen_at": loaded_to},
    )
    return workspace, client
