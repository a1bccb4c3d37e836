"""What is read as a plain batch is what `wire` would have read, and to the same effect."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, uuid4

import pytest

from agents.reports import CallReport, EndReport, RefusalReport, Report, StartReport, report_of
from costsite.api.plain_batch import read_plain
from langchain_plugin import wire
from langchain_plugin.batch import Batch
from langchain_plugin.json_lines import to_line

ID: Final = "019a9f00-0000-7000-8000-00000000000a"
OTHER_ID: Final = "019A9F00-0000-7000-8000-00000000000B"
AT: Final = 1795720714.8348835
RUN: Final = {"run_id": ID, "agent": "support-bot"}
CALL: Final[dict[str, Any]] = {
    "type": "llm_call", **RUN, "call_id": ID, "langchain_run_id": ID, "lease_id": ID, "is_root": True, "call_index": 2,
    "step": "model", "sub_agent": "researcher", "purpose": "compaction", "provider": "openai",
    "request_model": "gpt-4o-mini", "response_model": "gpt-4o-mini-2024-07-18", "service_tier": "flex",
    "effort": "high", "started_at": AT, "ended_at": AT + 0.5, "status": "error", "error_type": "Timeout",
    "usage_basis": "measured", "input_tokens": 1_200, "output_tokens": 300, "cache_read_tokens": 500,
    "cache_write_5m_tokens": 300, "cache_write_1h_tokens": 200, "cache_write_unknown_tokens": 200,
    "reasoning_tokens": 300, "input_audio_tokens": 1_200, "output_audio_tokens": 300, "served_from_local_cache": True,
    "max_output_tokens": 4_096, "time_to_first_token_seconds": 0.25, "prompt_messages": 6,
    "prompt_hash": "0123456789abcdef" * 2, "tool_calls": [["search", "fedcba9876543210"], ["look up", ""]],
    "thread_id": "thread-1", "tags": ["production", "two words", "production"],
}  # fmt: skip
EVENTS: Final[list[dict[str, Any]]] = [
    CALL,
    {"type": "llm_call", **RUN, "call_id": OTHER_ID, "started_at": int(AT), "ended_at": AT, "usage_basis": "estimated"},
    {
        "type": "run_started", **RUN, "started_at": AT, "langchain_run_id": ID, "parent_run_id": OTHER_ID,
        "thread_id": "thread-1", "tags": ["production"],
    },
    {"type": "run_ended", **RUN, "started_at": AT, "ended_at": AT, "status": "cancelled", "error_type": "KeyError"},
    {
        "type": "refused", **RUN, "refusal_id": OTHER_ID, "kind": "too_large", "refused_at": AT, "count": 3,
        "policy_id": 7,
    },
]  # fmt: skip

ODD: Final[list[Any]] = [
    None, True, False, 0, 1, -1, 1.0, 0.5, -0.0, 10**6, 10**6 + 1, 10**8, 10**8 + 1, 2**63 - 1, 2**63, 10**30,
    AT, 1795720714.5390625, 1795720714.0078125,
    2e10, 7258118399.9999, 7258118400, 31 * 24 * 3600, 31 * 24 * 3600 + 1, "5", "", " ", "  ", "a", "a" * 64,
    "a" * 65, "a" * 200, "a" * 201, "0" * 15, "0" * 16, "A" * 32, "f" * 64, "\t", "a\nb", "\x7f", "\u202e", "ü", "😀",
    "\ud800", "\\", "2026-11-20T12:00:00Z", "measured", "estimated", "ok", "agent", "held", "exhausted", "run_ended",
    ID, OTHER_ID, ID.replace("-", ""), f"urn:uuid:{ID}", f"{{{ID}}}", "019a9f0-00000-7000-8000-00000000000a",
    "019a9f00-0000-7000-8000-0000 000000a", "019a9f00-0000-7000-8000-0000000000-a", "0" * 36, "-" * 36,
    [], {}, [""], [" "], ["a", "b"], ["a"] * 8, ["a"] * 9, ["a" * 64], ["a" * 65], [["search"]], [["search", ""]],
    [["search", "0" * 15]], [["search", "0" * 16, ""]], [["a" * 201, ""]], [["a", "0" * 16]] * 64,
    [["a", "0" * 16]] * 65, [["search", "xyz" * 6]], [1], {"a": 1},
]  # fmt: skip
FIELDS: Final = sorted({name for event in EVENTS for name in event} | set(wire.LLMCall.model_fields) | {"unheard_of"})


def body_of(*events: Any, **envelope: Any) -> bytes:
    batch = {"batch_id": ID, "client_id": OTHER_ID, "sent_at": AT, "health": {}, "events": events} | envelope
    return json.dumps(batch, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def taken(report: Report) -> dict[str, Any]:
    """What the ledger takes of a report, which keeps times to the microsecond."""
    fields = {name: getattr(report, name) for name in report.__struct_fields__}
    times = {name: datetime.fromtimestamp(at, UTC) for name, at in fields.items() if name.endswith("_at")}
    return fields | times | {"type": type(report)}


def is_read_as_the_wire_reads_it(body: bytes) -> bool:
    """False where the batch is not plain; fails where it is and should not be, or says another thing."""
    plain = read_plain(body)
    if plain is None:
        return False
    sent, reports = plain
    batch = wire.EventBatch.model_validate_json(body)
    assert list(map(taken, reports)) == [taken(report_of(event)) for event in batch.events]
    assert (sent.batch_id, sent.client_id, sent.sent_at) == (batch.batch_id, batch.client_id, batch.sent_at)
    assert sent.health == batch.health
    return True


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["type"])
def test_every_kind_of_event_is_plain(event: dict[str, Any]) -> None:
    assert is_read_as_the_wire_reads_it(body_of(event))


def test_what_the_plugin_sends_is_plain() -> None:
    body = Batch(lines=[to_line(event)[:-1] for event in EVENTS]).body(uuid4(), {"spool_events": 1, "host": "worker-3"})

    assert is_read_as_the_wire_reads_it(gzip.decompress(body))


def test_a_report_has_the_fields_of_its_event() -> None:
    for report, event in (
        (CallReport, wire.LLMCall), (StartReport, wire.RunStarted), (EndReport, wire.RunEnded),
        (RefusalReport, wire.Refused),
    ):  # fmt: skip
        assert {*report.__struct_fields__, "type"} == set(event.model_fields)


def test_ids_lose_their_dashes_and_capitals() -> None:
    plain = read_plain(body_of(EVENTS[1]))

    assert plain is not None
    (report,) = plain[1]
    assert isinstance(report, CallReport)
    assert (report.run_id, report.call_id) == (UUID(ID).hex, UUID(OTHER_ID).hex)


@pytest.mark.parametrize(
    "changes",
    [
        {"agent": " "}, {"agent": ""}, {"agent": "a" * 201}, {"agent": "Müller"}, {"agent": "a\x7f"},
        {"agent": "a\u202eb"}, {"agent": 'say "hello"'}, {"tags": [" "]}, {"tags": ["a"] * 9}, {"tags": ["a" * 65]},
        {"step": "a" * 201}, {"run_id": ID.replace("-", "")}, {"call_id": "019a9f0-00000-7000-8000-00000000000a"},
        {"call_id": "019a9f00-0000-7000-8000-0000 000000a"}, {"call_id": "g" + ID[1:]},
        {"lease_id": "019a9f00-0000-7000-8000-0000000000-a"}, {"started_at": "2026-11-20T12:00:00Z"},
        {"started_at": 2e10}, {"started_at": -1}, {"input_tokens": None}, {"input_tokens": 10**8 + 1},
        {"input_tokens": 1_200.0}, {"input_tokens": "1200"}, {"input_tokens": 1_199}, {"output_tokens": 299},
        {"cache_read_tokens": 501}, {"input_audio_tokens": 1_201}, {"output_audio_tokens": 301},
        {"reasoning_tokens": -1}, {"prompt_hash": "0" * 15}, {"prompt_hash": "F" * 16}, {"status": "fine"},
        {"tool_calls": [["search", "0" * 15]]}, {"tool_calls": [["search"]]}, {"unheard_of": 1}, {"type": "unheard_of"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_odd_in_one_event_is_not_taken_as_plain(changes: dict[str, Any]) -> None:
    assert read_plain(body_of(EVENTS[1], CALL | changes)) is None


@pytest.mark.parametrize(
    "envelope",
    [
        {"batch_id": "x"}, {"sent_at": "2026-11-20T12:00:00Z"}, {"health": {"spool_events": -1}}, {"health": None},
        {"unheard_of": 1}, {"events": [CALL] * 1_001}, {"events": {}},
    ],
    ids=lambda envelope: str(envelope)[:40],
)  # fmt: skip
def test_an_odd_envelope_is_not_taken_as_plain(envelope: dict[str, Any]) -> None:
    assert read_plain(body_of(**envelope)) is None


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event["type"])
def test_whatever_value_is_taken_as_plain_is_what_the_wire_reads(event: dict[str, Any]) -> None:
    plain = sum(is_read_as_the_wire_reads_it(body_of(event | {name: value})) for name in FIELDS for value in ODD)

    assert len(event) < plain < len(FIELDS) * len(ODD) / 2


def test_whatever_envelope_is_taken_as_plain_is_what_the_wire_reads() -> None:
    values = [*ODD, {"spool_events": 3}, {"dropped": {"spool_full": 2}, "host": "a", "pid": 4711}]
    names = ["batch_id", "client_id", "sent_at", "health", "unheard_of"]

    plain = sum(is_read_as_the_wire_reads_it(body_of(CALL, **{name: value})) for name in names for value in values)

    assert plain > 5


@pytest.mark.parametrize("where", ['"health":', '"unheard_of":'])
def test_what_is_nested_without_end_is_not_plain(where: str) -> None:
    envelope = body_of(CALL)[:-1].replace(b'"health":{},', b"")
    assert read_plain(b"%s,%s%s%s}" % (envelope, where.encode(), b"[" * 9_000, b"]" * 9_000)) is None
