"""Pydantic's findings as codes and sentences for people. Never the input itself: it may be megabytes, or a secret."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from langchain_plugin import wire

EVENT_TYPES = ("run_started", "run_ended", "refused", "llm_call")
_KNOWN_CODES = frozenset(get_args(wire.RejectionCode))
_CODES = {
    "union_tag_invalid": "unknown_type",
    "union_tag_not_found": "missing_field",
    "missing": "missing_field",
    "string_too_long": "too_large",
    "too_long": "too_large",
    "less_than_equal": "too_large",
}
_SENTENCES = {
    "union_tag_invalid": f"must be one of {', '.join(EVENT_TYPES)}",
    "union_tag_not_found": f"is missing; it is one of {', '.join(EVENT_TYPES)}",
    "missing": "is missing",
    "extra_forbidden": f"is no field of wire version {wire.WIRE_VERSION}; leave it out, or update this server",
    "string_pattern_mismatch": "has characters that are not allowed here, or none (docs/http-api.md, Events)",
    "string_unicode": "is not Unicode text: it has half of a surrogate pair, or bytes that are not UTF-8",
    "timezone_aware": "must say its time zone: an ISO 8601 time with an offset, or Unix seconds",
    "dict_type": "must be an object",
    "model_attributes_type": "must be an object",
    "model_type": "must be an object",
}
_WHOLE_EVENT = "the event"
MAX_DETAILS = 20


def shortened(text: str, length: int = 60) -> str:
    """At most `length` characters of `text`, with what cannot be printed replaced."""
    kept = "".join(letter if letter.isprintable() else "\ufffd" for letter in text[:length])
    return kept if len(text) <= length else f"{kept}…"


def code_of(problem: ErrorDetails) -> str:
    """One of `wire.RejectionCode`."""
    kind = problem["type"]
    return kind if kind in _KNOWN_CODES else _CODES.get(kind, "bad_value")


def sentence_of(problem: ErrorDetails) -> str:
    """Which field, and what it must be."""
    if problem["type"] in _KNOWN_CODES:  # the wire's own words name their fields
        return problem["msg"]
    sentence = _SENTENCES.get(problem["type"]) or f": {problem['msg'][:1].lower()}{shortened(problem['msg'][1:], 160)}"
    return f"{field_of(problem)}{'' if sentence.startswith(':') else ' '}{sentence}"


def field_of(problem: ErrorDetails) -> str:
    if problem["type"] in {"union_tag_invalid", "union_tag_not_found"}:
        return "type"
    path: Sequence[int | str] = problem["loc"]
    if path and path[0] in EVENT_TYPES:  # pydantic's name for the member of the union, not a field
        path = path[1:]
    return shortened(".".join(str(part) for part in path)) or _WHOLE_EVENT


def problems_of(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_context=False, include_input=False)


def details_of(error: ValidationError) -> list[dict[str, str]]:
    """The first problems, as an `ErrorBody` lists them."""
    return [
        {"code": code_of(problem), "where": field_of(problem), "message": sentence_of(problem)}
        for problem in problems_of(error)[:MAX_DETAILS]
    ]


def rejection(index: int, error: ValidationError) -> wire.Rejection:
    """Why one event is refused: the code of the first problem, the sentences of up to three."""
    problems = problems_of(error)
    message = "; ".join(sentence_of(problem) for problem in problems[:3])
    if len(problems) > 3:
        message += f"; and {len(problems) - 3} more"
    return wire.Rejection(index=index, code=code_of(problems[0]), message=f"{message}.")
