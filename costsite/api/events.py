"""POST /events: a batch comes in, a Receipt goes out."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router

from agents import ledger
from langchain_plugin import wire

router = Router()


@router.post("/events")
def post_events(request: HttpRequest) -> HttpResponse:
    batch = wire.EventBatch.model_validate_json(request.body)
    key = request.auth  # type: ignore[attr-defined]
    recorded = ledger.record(key.workspace, list(enumerate(batch.events)), client=None, received_at=timezone.now())
    receipt = wire.Receipt(
        batch_id=batch.batch_id,
        accepted=recorded.accepted,
        duplicates=recorded.duplicates,
        rejected=recorded.rejected,
        hash_key=key.workspace.hash_key,
    )
    return HttpResponse(receipt.model_dump_json(), content_type="application/json")
