"""A body becomes a batch: its events judged together when all is well, one by one when something is not.

One bad event must not cost the others of its batch, and one pass of pydantic over the bytes is two to three times
cheaper than parsing first and judging each event. So the fast path assumes that all is well, and only a batch that
fails it is parsed again, leniently, to find what can be kept. Faster still is what nearly every batch is: a plain one
(`costsite.api.plain_batch`).

Nor must a word too many cost an event: it tells of money. What this server does not know, as a newer plugin may say it,
and what decorates a call but does not make its cost, is left out where it cannot be taken, and the client is told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args
from uuid import UUID

from pydantic import ConfigDict, TypeAdapter, ValidationError

from agents.ledger import Event
from costsite.api.errors import ApiError
from costsite.api.plain_batch import read_plain
from costsite.api.problems import details_of, problems_of, rejection, sentence_of, shortened
from langchain_plugin import wire

_BATCH = TypeAdapter(wire.EventBatch)
_EVENT: TypeAdapter[wire.Event] = TypeAdapter(wire.Event)
_HEALTH = TypeAdapter(wire.ClientHealth)

MAX_FIELDS = 60
"""Of an event, and of a batch. More are not even judged: each unknown one would become a problem of its own, and a body
full of them take seconds.
"""
_LONGEST_INTEGER = 30
"""Digits. No field takes more, and Python refuses to read integers of thousands of them."""


_FIELDS: Final = {
    get_args(model.model_fields["type"].annotation)[0]: frozenset(model.model_fields)
    for model in (wire.RunStarted, wire.RunEnded, wire.Refused, wire.LLMCall)
}
"""Of each type of event, by its name."""
_DECORATION: Final = frozenset(
    {
        "langchain_run_id", "parent_run_id", "step", "sub_agent", "purpose", "effort", "error_type",
        "max_output_tokens", "time_to_first_token_seconds", "prompt_hash", "tool_calls", "thread_id", "tags",
        "policy_id",
    }
)  # fmt: skip
"""Fields that an event can do without: no cost, no time and no sum by agent or model follows from them."""
_COUNTED_TO: Final = {"call_index": 1_000_000, "prompt_messages": 1_000_000}
"""Above, a count of these stands for the highest: a run may well make more calls than anybody expected."""


class _Envelope(wire.WireModel):
    """A batch whose events and health have not been judged yet."""

    model_config = ConfigDict(extra="ignore")

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
    """For all that it says beside its events."""
    events: Sequence[tuple[int, Event]]
    rejected: Sequence[wire.Rejection] = ()
    notices: Sequence[wire.Notice] = ()


def read_batch(body: bytes) -> Batch:
    """The batch in `body`. Raises ApiError when not even its envelope can be read: 400, 413 or 422."""
    if (plain := read_plain(body)) is not None:
        sent, reports = plain
        return Batch(sent, list(enumerate(reports)))
    try:
        batch = _BATCH.validate_json(body)
    except ValidationError:
        return _read_leniently(body)
    return Batch(batch, list(enumerate(batch.events)))


def _read_leniently(body: bytes) -> Batch:
    parsed = _parse(body)
    if isinstance(parsed, dict) and len(parsed) > MAX_FIELDS:
        raise ApiError(
            422, "bad_batch", f"The batch has {len(parsed):,} fields; no batch has more than {MAX_FIELDS}.", details=[]
        )
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

    left_out = _LeftOut()
    left_out.note(parsed.keys() - _Envelope.model_fields.keys())
    health, notices = _judged_health(envelope.health, left_out)
    events: list[tuple[int, wire.Event]] = []
    rejected: list[wire.Rejection] = []
    for index, event in enumerate(envelope.events):
        if isinstance(event, dict) and len(event) > MAX_FIELDS:
            rejected.append(_too_many_fields(index, len(event)))
            continue
        try:
            events.append((index, _judged(event, left_out)))
        except ValidationError as error:
            rejected.append(rejection(index, error))
    sent = wire.EventBatch(
        batch_id=envelope.batch_id,
        client_id=envelope.client_id,
        sent_at=envelope.sent_at,
        health=health,
        events=[event for _, event in events],
    )
    return Batch(sent, events, rejected, [*notices, *left_out.notices()])


def _judged(event: object, left_out: _LeftOut) -> wire.Event:
    """The event, without what it can do without and the server cannot take. Raises ValidationError."""
    kind = event.get("type") if isinstance(event, dict) else None
    if not isinstance(event, dict) or not isinstance(kind, str) or kind not in _FIELDS:
        return _EVENT.validate_python(event)
    fields = _FIELDS[kind]
    kept = {name: value for name, value in event.items() if name in fields}
    for name, most in _COUNTED_TO.items():
        if isinstance(count := kept.get(name), int) and count > most:
            kept[name] = most
    try:
        judged = _EVENT.validate_python(kept)
    except ValidationError as error:
        # A problem is located by the type of the event, then the field; one of the event as a whole has no field.
        bad = {str(problem["loc"][1]) if len(problem["loc"]) > 1 else "" for problem in problems_of(error)}
        if not bad <= _DECORATION:
            raise
        judged = _EVENT.validate_python({name: value for name, value in kept.items() if name not in bad})
        left_out.note(bad)
    left_out.note(event.keys() - fields)
    return judged


class _LeftOut:
    """The names of fields that were left out, for the client to be told of."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def note(self, names: Iterable[Any]) -> None:
        self._names.update(shortened(str(name)) for name in names)

    def notices(self) -> list[wire.Notice]:
        if not self._names:
            return []
        named = ", ".join(sorted(self._names)[:5]) + (", …" if len(self._names) > 5 else "")
        message = (
            f"Left out, as this server does not know the field or cannot take its value: {named}. All else was taken."
            f" It is written for wire version {wire.WIRE_VERSION}: update the server, or mend what is sent."
        )
        return [wire.Notice(code="left_out", message=message)]


def _too_many_fields(index: int, count: int) -> wire.Rejection:
    message = f"The event has {count:,} fields; no event has more than {MAX_FIELDS}."
    return wire.Rejection(index=index, code="too_large", message=message)


def _judged_health(health: object, left_out: _LeftOut) -> tuple[wire.ClientHealth, list[wire.Notice]]:
    """What a process says of itself is not worth its events: when it cannot be read, it is left out, and told."""
    if health is None:
        return wire.ClientHealth(), []
    if isinstance(health, dict) and any(
        isinstance(part, dict) and len(part) > MAX_FIELDS for part in (health, *health.values())
    ):
        return wire.ClientHealth(), [
            wire.Notice(code="bad_health", message="The health was left out: it is too large.")
        ]
    if isinstance(health, dict):
        unknown = health.keys() - wire.ClientHealth.model_fields.keys()
        left_out.note(unknown)
        health = {name: value for name, value in health.items() if name not in unknown}
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
