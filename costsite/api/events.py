"""POST /events: a batch comes in, a Receipt goes out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from django.db import DataError, IntegrityError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router

from agents import ledger
from agents.clients import note_client, note_rejected
from agents.clock import clock_shift
from agents.ledger import Recorded
from agents.models import ApiKey, Client
from agents.models.people import UNREGISTERED
from budgets.news import budget_news
from costsite.api.authentication import BearerKey, key_of
from costsite.api.batch import Batch, read_batch
from costsite.api.body import read_body
from costsite.api.openapi import BATCH_REF
from langchain_plugin import wire

log = logging.getLogger(__name__)

router = Router(tags=["Events"], auth=BearerKey(ApiKey.Scope.EVENTS_WRITE))

Events = Sequence[tuple[int, wire.Event]]

REFUSED = (DataError, IntegrityError, OverflowError)
"""A value that no column takes. SQLite's driver says it of a whole number over 64 bits without asking the database."""

_REQUEST_BODY = {"required": True, "content": {"application/json": {"schema": {"$ref": BATCH_REF}}}}


@router.post(
    "/events",
    response=wire.Receipt,
    summary="Report a batch of events",
    openapi_extra={"requestBody": _REQUEST_BODY},
)
def post_events(request: HttpRequest) -> HttpResponse:
    # The body is read here and never as a ninja argument: that costs four to five times as much an event, and one
    # bad event would turn the others away.
    key = key_of(request)
    batch = read_batch(read_body(request))
    received_at = timezone.now()
    shift = clock_shift(batch.sent.sent_at, received_at)
    client = note_client(key.workspace, batch.sent, now=received_at)
    recorded = _record(key, batch.events, client, received_at, shift)
    receipt = _receipt(key, batch, recorded, shift)
    note_rejected(client, len(receipt.rejected))
    return HttpResponse(receipt.model_dump_json(), content_type="application/json")


def _record(key: ApiKey, events: Events, client: Client, received_at: datetime, shift: timedelta) -> Recorded:
    """Write the batch in one transaction; where the database refuses a value in it, all but the events that hold it.

    The wire's rules keep such values out. This is for the one they miss: refused as a whole, the batch would come
    back for ever and hold up all that the client has to say.
    """

    def written(part: Events) -> Recorded:
        return ledger.record(
            key.workspace, part, client=client, received_at=received_at, clock_shift=shift, key_agent=key.agent
        )

    if not events:
        return Recorded(key.workspace)
    try:
        return written(events)
    except REFUSED as error:
        if len(events) < 2:
            raise
        first = error
    whole = Recorded(key.workspace)
    refused: list[int] = []
    halves = [events[: len(events) // 2], events[len(events) // 2 :]]
    while halves:
        part = halves.pop()
        try:
            _add(whole, written(part))
        except REFUSED:
            if len(part) == 1:
                refused.append(part[0][0])
            else:
                halves += [part[: len(part) // 2], part[len(part) // 2 :]]
    if len(refused) == len(events):
        # Not the events: something here refuses everything. As an error the client keeps them.
        raise first
    log.error("The database refused %d events of a batch: %s", len(refused), first, exc_info=first)
    for index in refused:
        whole.reject(index, "not_storable", "The database refused this event; the server's log says why.")
    return whole


def _add(whole: Recorded, part: Recorded) -> None:
    whole.accepted = sorted([*whole.accepted, *part.accepted])
    whole.duplicates = sorted([*whole.duplicates, *part.duplicates])
    whole.rejected += part.rejected
    whole.agents |= part.agents
    whole.price_card += [entry for entry in part.price_card if entry not in whole.price_card]


def _receipt(key: ApiKey, batch: Batch, recorded: Recorded, shift: timedelta) -> wire.Receipt:
    return wire.Receipt(
        batch_id=batch.sent.batch_id,
        accepted=recorded.accepted,
        duplicates=recorded.duplicates,
        rejected=sorted([*batch.rejected, *recorded.rejected], key=lambda rejection: rejection.index),
        hash_key=key.workspace.hash_key,
        agent_settings=[
            wire.AgentSettings(
                agent=name,
                active=agent.active,
                effort=agent.effort,
                default_model=wire.clean_name(agent.default_model),  # entered by people, who paste what they like
            )
            for name, agent in sorted(recorded.agents.items())
        ],
        price_card=recorded.price_card,
        budgets=budget_news(key, {name: agent.id for name, agent in recorded.agents.items()}),
        notices=[*batch.notices, *_notices(recorded, shift)],
    )


def _notices(recorded: Recorded, shift: timedelta) -> Iterator[wire.Notice]:
    if shift:
        seconds = round(abs(shift).total_seconds())
        side = "behind" if shift > timedelta(0) else "ahead of"
        yield wire.Notice(
            code="clock_differs",
            message=f"This host's clock is {seconds:,} s {side} the server's; times were moved by that. Set the clock.",
        )
    unknown = sorted(name for name, agent in recorded.agents.items() if agent.slug == UNREGISTERED != name)
    if unknown:
        named = ", ".join(name[:60] for name in unknown[:5]) + (", …" if len(unknown) > 5 else "")
        yield wire.Notice(
            code="agent_not_registered",
            message=f'Booked to "{UNREGISTERED}", as no agent registers itself here now: {named}. Add it in the admin.',
        )
