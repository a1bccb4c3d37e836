"""Payloads of every released shape stay accepted. These files are never edited: a new shape gets a new file."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest

from agents.keys import create_key
from agents.models import AgentRunLog, Client, LLMCall, ReportedRefusal, Workspace
from langchain_plugin import wire

HERE = Path(__file__).parent
RECEIPT_FILES = ("v1_receipt.json", "v1_receipt_lines_passed.json", "v1_receipt_model_move.json")
EVENT_FILES = sorted(
    {path.name for path in HERE.glob("v1_*.json")} - {"v1_batch.json", "v1_error.json", *RECEIPT_FILES}
)
EVENT_TYPES = {model.model_fields["type"].annotation: model for model in get_args(get_args(wire.Event)[0])}


def golden(name: str) -> Any:
    return json.loads((HERE / name).read_text(encoding="utf-8"))


def post(workspace: Workspace, batch: dict[str, Any], client: Any) -> wire.Receipt:
    _, key = create_key(workspace)
    response = client.post(
        "/api/v1/events", json.dumps(batch), content_type="application/json", headers={"Authorization": f"Bearer {key}"}
    )
    assert response.status_code == 200, response.content
    return wire.Receipt.model_validate_json(response.content)


def sent(*events: Any) -> dict[str, Any]:
    """The events as their own clock sends them today: the golden batch's time of sending would move them."""
    now = datetime.now(UTC).isoformat()
    return {"batch_id": str(uuid4()), "client_id": str(uuid4()), "sent_at": now, "events": list(events)}


@pytest.mark.parametrize("name", EVENT_FILES)
def test_the_server_accepts(name: str, workspace: Workspace, client: Any) -> None:
    receipt = post(workspace, sent(golden(name)), client)

    assert (receipt.accepted, receipt.rejected) == ([0], [])


def test_the_server_accepts_the_batch(workspace: Workspace, client: Any) -> None:
    now = datetime.now(UTC).isoformat()  # a body that is days old is asked for once more
    receipt = post(workspace, golden("v1_batch.json") | {"sent_at": now}, client)

    assert receipt.batch_id == UUID("019a9f00-0000-7000-8000-000000000006")
    assert receipt.accepted == [0, 1, 2]
    run = AgentRunLog.objects.get()
    assert (run.agent.slug, run.status, run.calls) == ("sales-bot", "ok", 1)
    assert (run.input_tokens, run.output_tokens) == (1_200, 300)
    process = Client.objects.get()
    assert (process.host, process.pid, process.spool_events, process.dropped) == (
        "worker-3",
        4711,
        5,
        {"spool_full": 2},
    )


def test_what_the_events_say_arrives_in_the_ledger(workspace: Workspace, client: Any) -> None:
    post(workspace, sent(*(golden(name) for name in EVENT_FILES)), client)

    run = AgentRunLog.objects.get(run_id="019a9f00-0000-7000-8000-000000000001")
    assert (run.status, run.error_type, run.thread_id) == ("error", "TimeoutError", "ticket-4711")
    assert (run.tags, run.refused_calls) == (["production", "tier:gold"], 3)
    assert run.duration == timedelta(seconds=9, milliseconds=375)
    refusal = ReportedRefusal.objects.get()
    assert (refusal.kind, refusal.count, refusal.policy_id) == ("exhausted", 3, 12)

    fields = golden("v1_llm_call.json")
    call = LLMCall.objects.get(call_id=fields["call_id"])
    for name in set(fields) - {"type", "agent", "is_root", "usage_basis", "tool_calls", "started_at", "ended_at"}:
        kept = getattr(call, name)
        assert (str(kept) if isinstance(kept, UUID) else kept) == fields[name], name
    assert [list(tool) for tool in call.tool_calls] == fields["tool_calls"]
    assert (call.started_at.isoformat(), call.ended_at.isoformat()) == (fields["started_at"], fields["ended_at"])

    estimated = LLMCall.objects.get(call_id="019a9f00-0000-7000-8000-000000000005")
    assert estimated.started_at == datetime(2026, 11, 20, 12, 0, 2, 500_000, tzinfo=UTC), "Unix seconds are times too"
    assert (estimated.status, estimated.provisional, estimated.input_tokens) == ("cancelled", True, 210)


def test_every_event_type_and_every_field_of_the_wire_is_in_a_golden() -> None:
    """A field that is new on the wire needs a golden of its own before it is released."""
    shown: dict[str, set[str]] = {}
    for name in EVENT_FILES:
        event = golden(name)
        shown.setdefault(event["type"], set()).update(event)

    assert shown == {get_args(kind)[0]: set(model.model_fields) for kind, model in EVENT_TYPES.items()}
    assert set(golden("v1_batch.json")) == set(wire.EventBatch.model_fields)
    assert set(golden("v1_batch.json")["health"]) == set(wire.ClientHealth.model_fields)
    assert {field for name in RECEIPT_FILES for field in golden(name)} == set(wire.Receipt.model_fields)
    settings = [entry for name in RECEIPT_FILES for entry in golden(name).get("agent_settings", [])]
    assert {field for entry in settings for field in entry} == set(wire.AgentSettings.model_fields)
    moves = [entry["model_move"] for entry in settings if entry.get("model_move")]
    assert {field for move in moves for field in move} == set(wire.ModelMove.model_fields)
    assert set(golden("v1_error.json")) == set(wire.ErrorBody.model_fields)


@pytest.mark.parametrize(
    ("name", "model"), [*((name, wire.Receipt) for name in RECEIPT_FILES), ("v1_error.json", wire.ErrorBody)]
)
def test_the_plugin_reads_the_servers_answers_and_skips_what_it_does_not_know(name: str, model: Any) -> None:
    read = model.model_validate(golden(name) | {"from_a_later_version": {"deep": [1]}})

    assert read.model_dump(mode="json", exclude_unset=True) == golden(name)


def test_the_receipt_names_every_event() -> None:
    assert wire.Receipt.model_validate(golden("v1_receipt.json")).names_every_event(4)
