"""POST /events: a batch comes in, a Receipt goes out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from ninja import Router

from agents import server_clock
from agents.client_clocks import ASK_AGAIN_SECONDS, ClientClocks
from agents.clients import note_client, note_rejected
from agents.models import ApiKey
from agents.models.people import UNREGISTERED
from agents.recorded import Recorded
from agents.storable import record_storable
from budgets.counters import Counted
from budgets.key_reach import KeyReach
from budgets.news import budget_news, counted_of, lines_passed_now, model_moves
from costsite.api.agent_settings import settings_of
from costsite.api.authentication import BearerKey, key_of
from costsite.api.batch import Batch, read_batch
from costsite.api.body import read_body
from costsite.api.errors import ApiError, wrong_clock
from costsite.api.openapi import BATCH_REF
from costsite.arrival import Arrival, arrival_of
from langchain_plugin import wire

log = logging.getLogger(__name__)
client_clocks = ClientClocks()
router = Router(tags=["Events"], auth=BearerKey(ApiKey.Scope.EVENTS_WRITE))

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
    arrival = arrival_of(request.META)
    received_at = arrival.at
    batch = read_batch(read_body(request))
    try:
        server_clock.judge(batch.sent.sent_at, received_at)
        shift = _shift(batch.sent, arrival)
        client = note_client(key.workspace, batch.sent, now=received_at)
        recorded = record_storable(
            key.workspace, batch.events, client=client, received_at=received_at, clock_shift=shift, key_agent=key.agent
        )
    except server_clock.ServerClockError as error:
        log.error("%s", error)  # noqa: TRY400 - where it was raised says nothing more
        raise wrong_clock(error) from error
    receipt = _receipt(key, batch, recorded, shift)
    note_rejected(client, len(receipt.rejected))
    return HttpResponse(receipt.model_dump_json(), content_type="application/json")


def _shift(sent: wire.EventBatch, arrival: Arrival) -> timedelta:
    """What to add to the times of the batch. ApiError 503 where only another sending can tell."""
    difference = arrival.at - sent.sent_at
    shift = client_clocks.shift(sent.client_id, difference, monotonic=arrival.monotonic)
    if shift is None:
        seconds = round(difference.total_seconds())
        raise ApiError(
            503,
            "clock_unsure",
            f"By its sent_at the batch is {seconds:,} s old: the sender's clock is behind, or the batch waited. Send it"
            f" again in {ASK_AGAIN_SECONDS:.0f} s, with the sent_at of then: that tells which.",
            headers={"Retry-After": f"{ASK_AGAIN_SECONDS:.0f}"},
        )
    return shift


def _receipt(key: ApiKey, batch: Batch, recorded: Recorded, shift: timedelta) -> wire.Receipt:
    reach = KeyReach(key)
    passed = recorded.counted if isinstance(recorded.counted, Counted) else None
    agents = {name: agent.id for name, agent in recorded.agents.items()}
    counted = counted_of(key, agents.values(), passed)
    moved = model_moves(agents, counted)
    return wire.Receipt(
        batch_id=batch.sent.batch_id,
        accepted=recorded.accepted,
        duplicates=recorded.duplicates,
        rejected=sorted([*batch.rejected, *recorded.rejected], key=lambda rejection: rejection.index),
        hash_key=key.workspace.hash_key,
        agent_settings=[settings_of(name, agent, moved.get(name)) for name, agent in sorted(recorded.agents.items())],
        price_card=recorded.price_card,
        budgets=budget_news(reach, agents, counted),
        lines_passed=lines_passed_now(reach, passed),
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
