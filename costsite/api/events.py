"""POST /events: a batch comes in, a Receipt goes out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router

from agents.clients import note_client, note_rejected
from agents.clock import clock_shift
from agents.ledger import Recorded
from agents.models import ApiKey
from agents.models.people import UNREGISTERED
from agents.storable import record_storable
from budgets.counters import Counted
from budgets.key_reach import KeyReach
from budgets.news import budget_news, lines_passed_now
from costsite.api.authentication import BearerKey, key_of
from costsite.api.batch import Batch, read_batch
from costsite.api.body import read_body
from costsite.api.openapi import BATCH_REF
from langchain_plugin import wire

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
    batch = read_batch(read_body(request))
    received_at = timezone.now()
    shift = clock_shift(batch.sent.sent_at, received_at)
    client = note_client(key.workspace, batch.sent, now=received_at)
    recorded = record_storable(
        key.workspace, batch.events, client=client, received_at=received_at, clock_shift=shift, key_agent=key.agent
    )
    receipt = _receipt(key, batch, recorded, shift)
    note_rejected(client, len(receipt.rejected))
    return HttpResponse(receipt.model_dump_json(), content_type="application/json")


def _receipt(key: ApiKey, batch: Batch, recorded: Recorded, shift: timedelta) -> wire.Receipt:
    reach = KeyReach(key)
    counted = recorded.counted if isinstance(recorded.counted, Counted) else None
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
        budgets=budget_news(reach, {name: agent.id for name, agent in recorded.agents.items()}, counted=counted),
        lines_passed=lines_passed_now(reach, counted),
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
