"""A body becomes a batch: its events judged together when all is well, one by one when something is not.

One bad event must not cost the others of its batch, and one pass of pydantic over the bytes is two to three times
cheaper than parsing first and judging each event. So the fast path assumes that all is well, and only a batch that
fails it is parsed again, leniently, to find what can be kept.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from costsite.api.errors import ApiError
from costsite.api.problems import details_of, problems_of, rejection, sentence_of
from langchain_plugin import wire

_BATCH = TypeAdapter(wire.EventBatch)
_EVENT: TypeAdapter[wire.Event] = TypeAdapter(wire.Event)
_HEALTH = TypeAdapter(wire.ClientHealth)

MAX_FIELDS = 60
"""Of an event. More are not even judged: each unknown one would become a problem of its own, and a body full of them
take seconds.
"""
_LONGEST_INTEGER = 30
"""Digits. No field takes more, and Python refuses to read integers of thousands of them."""


class _Envelope(wire.WireModel):
    """A batch whose events and health have not been judged yet."""

    batch_id: UUID
    client_id: UUID
    sent_at: wire.Instant
    health: Any = None
    events: list[Any]


_ENVELOPE = TypeAdapter(_Envelope)


@dataclass
class Batch:
    """What a client sent: the events that can be recorded, by their index, and the fate of the rest."""

    sent: wire.EventBatch
    events: Sequence[tuple[int, wire.Event]]
    rejected: Sequence[wire.Rejection] = ()
    notices: Sequence[wire.Notice] = ()


def read_batch(body: bytes) -> Batch:
    """The batch in `body`. Raises ApiError when not even its envelope can be read: 400, 413 or 422."""
    try:
        batch = _BATCH.validate_json(body)
    except ValidationError:
        return _read_leniently(body)
    return Batch(batch, list(enumerate(batch.events)))


def _read_leniently(body: bytes) -> Batch:
    parsed = _parse(body)
    if isinstance(parsed, dict) and isinstance(parsed.get("events"), list):
        count = len(parsed["events"])
        if count > wire.MAX_EVENTS_PER_BATCH:
            raise ApiError(
                413,
                "too_many_events",
                f"The batch has {count:,} events; send at most {wire.MAX_EVENTS_PER_BATCH:,} at a time.",
            )
    try:
        envelope = _ENVELOPE.validate_python(parsed)
    except ValidationError as error:
        details = details_of(error)
        message = f"The batch cannot be read: {'; '.join(detail['message'] for detail in details[:3])}."
        raise ApiError(422, "bad_batch", message, details=details) from None

    health, notices = _judged_health(envelope.health)
    events: list[tuple[int, wire.Event]] = []
    rejected: list[wire.Rejection] = []
    for index, event in enumerate(envelope.events):
        if isinstance(event, dict) and len(event) > MAX_FIELDS:
            rejected.append(_too_many_fields(index, len(event)))
            continue
        try:
            events.append((index, _EVENT.validate_python(event)))
        except ValidationError as error:
            rejected.append(rejection(index, error))
    sent = wire.EventBatch(
        batch_id=envelope.batch_id,
        client_id=envelope.client_id,
        sent_at=envelope.sent_at,
        health=health,
        events=[event for _, event in events],
    )
    return Batch(sent, events, rejected, notices)


def _too_many_fields(index: int, count: int) -> wire.Rejection:
    message = f"The event has {count:,} fields; no event has more than {MAX_FIELDS}."
    return wire.Rejection(index=index, code="too_large", message=message)


def _judged_health(health: object) -> tuple[wire.ClientHealth, list[wire.Notice]]:
    """What a process says of itself is not worth its events: when it cannot be read, it is left out, and told."""
    if health is None:
        return wire.ClientHealth(), []
    if isinstance(health, dict) and any(
        isinstance(part, dict) and len(part) > MAX_FIELDS for part in (health, *health.values())
    ):
        return wire.ClientHealth(), [
            wire.Notice(code="bad_health", message="The health was left out: it is too large.")
        ]
    try:
        return _HEALTH.validate_python(health), []
    except ValidationError as error:
        told = "; ".join(sentence_of(problem) for problem in problems_of(error)[:3])
        return wire.ClientHealth(), [wire.Notice(code="bad_health", message=f"The health was left out: {told}.")]


def _parse(body: bytes) -> Any:
    """JSON as leniently as an event can be judged alone: lone surrogates, NaN, bytes that are not UTF-8 and endless
    integers become values that the wire refuses, in their own event.
    """
    try:
        return json.loads(body.decode("utf-8", "surrogateescape"), parse_int=_bounded_int)
    except RecursionError:
        raise ApiError(400, "not_json", "The body is nested too deeply; no event has more than four levels.") from None
    except ValueError as error:
        at = f" (line {error.lineno}, column {error.colno})" if isinstance(error, json.JSONDecodeError) else ""
        raise ApiError(
            400, "not_json", f"The body is not JSON{at}; send an EventBatch as docs/http-api.md has it."
        ) from None


def _bounded_int(digits: str) -> int:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else int("9" * _LONGEST_INTEGER)
