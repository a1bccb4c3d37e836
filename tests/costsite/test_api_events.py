"""POST /events: every event has a fate, and a bad one costs nothing but itself."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import uuid4

import pytest
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from agents.models import Agent, AgentRunLog, Client, LedgerState, LLMCall, ModelPrice, Workspace
from budgets.policies import By, set_budget
from costsite.arrival import ARRIVED_AT, ARRIVED_MONOTONIC
from langchain_plugin import wire
from tests.costsite.api_client import EVENTS, KeyHolder, batch, error_of
from tests.factories import AgentFactory, WorkspaceFactory, llm_call


def soon(**changes: Any) -> wire.LLMCall:
    """A measured call that began a minute ago."""
    at = datetime.now(UTC) - timedelta(minutes=1)
    return llm_call(**{"started_at": at, "ended_at": at + timedelta(seconds=2)} | changes)


def spoiled(**changes: Any) -> dict[str, Any]:
    """The JSON of a good call with these fields put over it; a field set to ... is left out."""
    event = soon().model_dump(mode="json") | changes
    return {name: value for name, value in event.items() if value is not ...}


def test_a_call_becomes_a_row_with_its_cost_and_a_receipt_with_what_the_agent_needs(acme: KeyHolder) -> None:
    ModelPrice.objects.create(
        model="gpt-4o-mini",
        input_per_million="1",
        output_per_million="4",
        effective_from=datetime(2026, 1, 1, tzinfo=UTC),
    )

    receipt = acme.report(soon())

    # 1,200 in at 100 ¢ a million = 0.12 ¢; 300 out at 400 ¢ a million = 0.12 ¢
    call = LLMCall.objects.get()
    assert (call.input_tokens, call.output_tokens, call.cost_microcents) == (1_200, 300, 240_000)
    assert (receipt.accepted, receipt.duplicates, receipt.rejected) == ([0], [], [])
    assert receipt.hash_key == acme.row.workspace.hash_key
    assert receipt.agent_settings == [wire.AgentSettings(agent="support-bot")]
    # 1 USD a million tokens is 100,000,000 microcents
    card = receipt.price_card[0]
    assert (card.model, card.prices and card.prices.input, card.prices and card.prices.output) == (
        "gpt-4o-mini",
        100_000_000,
        400_000_000,
    )
    assert receipt.notices == []


def test_the_same_batch_twice_is_counted_once(acme: KeyHolder) -> None:
    body = json.dumps(batch(soon(), soon())).encode()

    first = wire.Receipt.model_validate_json(acme.post(body).content)
    second = wire.Receipt.model_validate_json(acme.post(body).content)

    assert (first.accepted, first.duplicates) == ([0, 1], [])
    assert (second.accepted, second.duplicates) == ([], [0, 1])
    assert LLMCall.objects.count() == 2


def test_a_batch_without_events_tells_of_the_client_alone(acme: KeyHolder) -> None:
    receipt = acme.report(health={"host": "worker-3", "pid": 7, "dropped": {"spool_full": 2}})

    assert receipt.names_every_event(0)
    client = Client.objects.get()
    assert (client.host, client.pid, client.dropped) == ("worker-3", 7, {"spool_full": 2})


def test_one_bad_event_among_five_hundred_good_ones_costs_only_itself(acme: KeyHolder) -> None:
    events: list[Any] = [soon() for _ in range(501)]
    events[250] = spoiled(input_tokens=-1)

    receipt = acme.report(*events)

    assert LLMCall.objects.count() == 500
    assert receipt.names_every_event(501)
    assert [(rejection.index, rejection.code) for rejection in receipt.rejected] == [(250, "bad_value")]
    assert receipt.rejected[0].message == "input_tokens: input should be greater than or equal to 0."
    assert Client.objects.get().rejected_events == 1


BAD_EVENTS: dict[str, tuple[Any, str, str]] = {
    "unknown type": (
        spoiled(type="embedding"),
        "unknown_type",
        "type must be one of run_started, run_ended, refused, llm_call.",
    ),
    "no type": (spoiled(type=...), "missing_field", "type is missing; it is one of run_started,"),
    "type of another type": (spoiled(type=[1]), "unknown_type", "type must be one of"),
    "misspelt count": (
        spoiled(imput_tokens=5, input_tokens=...),
        "missing_field",
        "input_tokens and output_tokens are",
    ),
    "missing agent": (spoiled(agent=...), "missing_field", "agent is missing."),
    "empty agent": (spoiled(agent="  "), "bad_value", "agent has characters that are not allowed here, or none"),
    "missing counts of a measured call": (
        spoiled(input_tokens=...),
        "missing_field",
        'send "estimated" when the provider',
    ),
    "negative count": (
        spoiled(output_tokens=-5),
        "bad_value",
        "output_tokens: input should be greater than or equal to 0",
    ),
    "absurd count": (
        spoiled(input_tokens=100_000_001),
        "too_large",
        "input_tokens: input should be less than or equal to",
    ),
    "count past 64 bits": (spoiled(input_tokens=2**80), "too_large", "input_tokens"),
    "count as text": (spoiled(input_tokens="12"), "bad_value", "input_tokens: input should be a valid integer"),
    "count as a fraction": (spoiled(input_tokens=1.5), "bad_value", "input_tokens"),
    "count as true": (spoiled(input_tokens=True), "bad_value", "input_tokens"),
    "cache larger than input": (
        spoiled(input_tokens=10, cache_read_tokens=6, cache_write_1h_tokens=5),
        "subsets_exceed_total",
        "input_tokens (10) must include its subsets: cache reads and writes come to 11",
    ),
    "reasoning larger than output": (spoiled(reasoning_tokens=301), "subsets_exceed_total", "reasoning is 301"),
    "model name of 10,000 characters": (
        spoiled(request_model="m" * 10_000),
        "too_large",
        "request_model: string should have at most 200",
    ),
    "NUL": (spoiled(provider="open\x00ai"), "bad_value", "provider has characters that are not allowed here"),
    "lone surrogate": (spoiled(provider="\ud83d"), "bad_value", "provider is not Unicode text"),
    "NaN": (spoiled(input_tokens=float("nan")), "bad_value", "input_tokens"),
    "infinity": (spoiled(output_tokens=float("inf")), "bad_value", "output_tokens"),
    "time without a zone": (
        spoiled(started_at="2026-11-20T12:00:00"),
        "bad_value",
        "started_at must say its time zone",
    ),
    "time before clocks": (
        spoiled(started_at="1815-12-10T00:00:00Z"),
        "bad_value",
        "started_at: input should be greater",
    ),
    "time beyond the calendar": (
        spoiled(started_at="9999-12-31T23:59:59-14:00"),
        "bad_value",
        "started_at: input should be less",
    ),
    "time that is none": (spoiled(started_at="yesterday"), "bad_value", "started_at"),
    "id that is none": (spoiled(call_id="7"), "bad_value", "call_id"),
    "not an object": ("llm_call", "bad_value", "the event must be an object"),
    "null": (None, "bad_value", "the event must be an object"),
    "nested far too deeply": (spoiled(input_tokens=json.loads("[" * 300 + "]" * 300)), "bad_value", "input_tokens"),
    "both a decoration and a count": (spoiled(tags="eu", output_tokens=-5), "bad_value", "output_tokens"),
}


@pytest.mark.parametrize(("event", "code", "said"), BAD_EVENTS.values(), ids=BAD_EVENTS.keys())
def test_a_bad_event_is_named_with_its_mend_and_the_good_one_beside_it_is_kept(
    acme: KeyHolder, event: Any, code: str, said: str
) -> None:
    receipt = acme.report(event, soon())

    assert receipt.accepted == [1]
    [rejection] = receipt.rejected
    assert (rejection.index, rejection.code) == (0, code)
    assert said in rejection.message
    assert len(rejection.message) < 400, "large input is not sent back"
    assert LLMCall.objects.count() == 1


LEFT_OUT: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "a field of a newer plugin": ({"input_video_tokens": 5}, "input_video_tokens", {}),
    "a field's name of 10,000 characters": ({"f" * 10_000: 1}, "f" * 60 + "…", {}),
    "a lone surrogate in a field's name": ({"\ud83d": 1}, "\ufffd", {}),
    "a word of a newer plugin": ({"purpose": "reflection"}, "purpose", {"purpose": "agent"}),
    "not a number": ({"time_to_first_token_seconds": float("nan")}, "time_to", {"time_to_first_token_seconds": None}),
    "a tag of 200 characters": ({"tags": ["t" * 200]}, "tags", {"tags": []}),
    "nine tags": ({"tags": list("abcdefghi")}, "tags", {"tags": []}),
    "tags nested far too deeply": ({"tags": json.loads("[" * 300 + "]" * 300)}, "tags", {"tags": []}),
    "a name that cannot be shown": ({"step": "plan\x1b[31m", "thread_id": "t" * 300}, "step, thread_id", {"step": ""}),
    "the millionth call of a run, and more": ({"call_index": 1_000_001}, "", {"call_index": 1_000_000}),
    "more messages than a prompt has": ({"prompt_messages": 2**40}, "", {"prompt_messages": 1_000_000}),
}


@pytest.mark.parametrize(("changes", "named", "kept"), LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_what_a_call_can_do_without_does_not_cost_the_call(
    acme: KeyHolder, changes: dict[str, Any], named: str, kept: dict[str, Any]
) -> None:
    event = spoiled(**changes)
    receipt = acme.report(soon(), event)

    assert (receipt.accepted, receipt.rejected) == ([0, 1], [])
    call = LLMCall.objects.get(call_id=event["call_id"])
    assert (call.input_tokens, call.output_tokens, call.provider) == (1_200, 300, "openai")
    assert {name: getattr(call, name) for name in kept} == kept
    assert [notice.code for notice in receipt.notices] == (["left_out"] if named else [])
    assert all(named in notice.message and len(notice.message) < 400 for notice in receipt.notices)


def test_a_newer_plugins_batch_is_taken_with_what_it_says_more(acme: KeyHolder) -> None:
    receipt = acme.report(soon(), health={"host": "worker-3", "mood": "good"}, region="eu")

    assert receipt.accepted == [0]
    assert Client.objects.get().host == "worker-3"
    [notice] = receipt.notices
    assert (notice.code, "mood, region" in notice.message) == ("left_out", True)


def test_every_code_of_the_closed_list_is_one_that_can_be_met(acme: KeyHolder) -> None:
    met_here = {code for _, code, _ in BAD_EVENTS.values()}
    met_below = {"too_old", "agent_not_allowed", "not_storable"}

    assert met_here | met_below == set(get_args(wire.RejectionCode))


def test_an_integer_of_five_thousand_digits_costs_only_its_event(acme: KeyHolder) -> None:
    body = json.dumps(batch(spoiled(input_tokens=4711471147114711), soon())).encode()

    receipt = wire.Receipt.model_validate_json(acme.post(body.replace(b"4711471147114711", b"9" * 5_000)).content)

    assert receipt.accepted == [1]
    assert receipt.rejected[0].code == "too_large"


def test_bytes_that_are_no_utf_8_cost_only_their_event(acme: KeyHolder) -> None:
    body = json.dumps(batch(spoiled(provider="SPOIL"), soon())).encode().replace(b"SPOIL", b"caf\xe9")

    receipt = wire.Receipt.model_validate_json(acme.post(body).content)

    assert receipt.accepted == [1]
    assert receipt.rejected[0].message == (
        "provider is not Unicode text: it has half of a surrogate pair, or bytes that are not UTF-8."
    )


def test_a_call_from_before_what_the_ledger_keeps_is_too_old_and_says_so(acme: KeyHolder) -> None:
    LedgerState.objects.create(pk=1, time_zone="UTC", retained_from="2025-10-01")

    receipt = acme.report(spoiled(started_at="2025-09-30T23:59:59Z", ended_at="2025-10-01T00:00:00Z"), soon())

    assert receipt.accepted == [1]
    assert receipt.rejected[0].code == "too_old"
    assert "set the clock" in receipt.rejected[0].message


def test_a_call_of_a_host_that_did_not_know_the_time_yet_is_kept_at_the_time_it_came(acme: KeyHolder) -> None:
    """It started at 1970, made its call, was told the time, and sent the call with the right one."""
    receipt = acme.report(spoiled(started_at="1970-01-01T00:00:09Z", ended_at="1970-01-01T00:00:11Z"))

    assert receipt.accepted == [0]
    call = LLMCall.objects.get()
    assert datetime.now(UTC) - call.started_at < timedelta(minutes=1)
    assert call.reported_started_at == datetime(1970, 1, 1, 0, 0, 9, tzinfo=UTC)


@pytest.mark.parametrize("server", [datetime(1970, 1, 1, 0, 5, tzinfo=UTC), datetime(2019, 12, 31, tzinfo=UTC)])
def test_a_server_that_lost_the_time_asks_to_be_asked_again_and_loses_nothing(
    acme: KeyHolder, server: datetime, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps(batch(soon(), soon())).encode()
    with monkeypatch.context() as wrong:
        wrong.setattr(timezone, "now", lambda: server)
        response = acme.post(body)

    assert (response.status_code, error_of(response).code) == (503, "server_clock")
    assert response.headers["Retry-After"] == "60"
    assert "Set the clock of the server" in error_of(response).message
    assert "Set the clock of the server" in caplog.text
    assert not LLMCall.objects.exists()
    assert wire.Receipt.model_validate_json(acme.post(body).content).accepted == [0, 1]


@pytest.mark.parametrize("off_by", [timedelta(days=730), timedelta(days=-20)])
def test_a_server_whose_clock_jumped_does_not_move_the_calls_of_those_whose_clock_did_not(
    acme: KeyHolder, off_by: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    truly = datetime.now(UTC) + timedelta(days=30)  # far enough from the release that a clock may be behind
    LedgerState.objects.create(pk=1, time_zone="UTC", trusted_day=truly.date())  # as the tick keeps it
    monkeypatch.setattr(timezone, "now", lambda: truly + off_by)

    response = acme.post(json.dumps(batch(soon(started_at=truly, ended_at=truly), sent_at=truly.isoformat())).encode())

    assert (response.status_code, error_of(response).code) == (503, "server_clock")
    assert not LLMCall.objects.exists()


def test_a_call_from_the_future_is_kept_at_the_time_it_came(acme: KeyHolder) -> None:
    far = datetime.now(UTC) + timedelta(days=3)

    receipt = acme.report(soon(started_at=far, ended_at=far))

    assert receipt.accepted == [0]
    call = LLMCall.objects.get()
    assert datetime.now(UTC) - call.started_at < timedelta(minutes=1)
    assert call.reported_started_at == far


@pytest.mark.parametrize(
    ("off_by", "told"),
    [
        (timedelta(hours=-2), r"7,2\d\d s behind the server's"),  # and what a slow machine takes from clock to clock
        (timedelta(hours=2), r"7,(1\d\d|200) s ahead of the server's"),
        (timedelta(days=-366 * 40), "behind the server's"),
    ],
)
def test_times_of_a_clock_that_is_off_are_moved_by_what_it_is_off(
    acme: KeyHolder, off_by: timedelta, told: str
) -> None:
    """A call of a minute ago by both clocks, in a batch whose sender's clock is off."""
    truly = datetime.now(UTC) - timedelta(minutes=1)
    call = soon(started_at=truly + off_by, ended_at=truly + off_by + timedelta(seconds=2))

    receipt = report_until_believed(acme, call, off_by)

    assert abs(LLMCall.objects.get().started_at - truly) < timedelta(seconds=30)
    [notice] = receipt.notices
    assert notice.code == "clock_differs"
    assert re.search(told, notice.message)


def report_until_believed(acme: KeyHolder, call: wire.LLMCall, off_by: timedelta) -> wire.Receipt:
    """The Receipt, once the server has seen the difference twice; each sending says its own time."""
    client_id = str(uuid4())
    for _ in range(10):
        sent_at = (datetime.now(UTC) + off_by).isoformat()
        response = acme.post(json.dumps(batch(call, client_id=client_id, sent_at=sent_at)).encode())
        if response.status_code == 200:
            return wire.Receipt.model_validate_json(response.content)
        assert (response.status_code, error_of(response).code) == (503, "clock_unsure")
        time.sleep(float(response.headers["Retry-After"]))
    raise AssertionError("never believed")


def test_a_batch_that_stood_at_the_door_of_a_paused_server_is_not_moved_to_when_it_woke(acme: KeyHolder) -> None:
    """The client gave up after 15 s, and again 31 s after the first; then the server came back and read all of it."""
    began = datetime.now(UTC) - timedelta(hours=30)
    call, client_id = soon(started_at=began, ended_at=began), str(uuid4())

    def post(sent_at: datetime, read_at: float) -> Any:
        body = json.dumps(batch(call, client_id=client_id, sent_at=sent_at.isoformat()))
        stamps = {ARRIVED_AT: datetime.now(UTC).timestamp(), ARRIVED_MONOTONIC: read_at}
        return acme.client.post(EVENTS, body, content_type="application/json", **stamps)

    for number, waited in enumerate((0, 15, 31)):
        response = post(began + timedelta(seconds=waited), read_at=1_000 + number / 100)
        assert (response.status_code, error_of(response).code) == (503, "clock_unsure")
        assert "the batch is 10" in error_of(response).message

    receipt = wire.Receipt.model_validate_json(post(datetime.now(UTC), read_at=1_001.5).content)
    assert (receipt.accepted, receipt.notices) == ([0], [])
    assert LLMCall.objects.get().started_at == began


def test_a_clock_less_than_a_minute_off_is_left_alone(acme: KeyHolder) -> None:
    call = soon()

    receipt = acme.report(call, sent_at=(datetime.now(UTC) - timedelta(seconds=30)).isoformat())

    assert receipt.notices == []
    assert LLMCall.objects.get().started_at == call.started_at


def test_a_key_of_one_agent_reports_for_that_agent_only(workspace: Workspace) -> None:
    bound = KeyHolder(workspace, agent=AgentFactory(workspace=workspace, slug="support-bot"))

    receipt = bound.report(soon(), soon(agent="sales-bot"))

    assert receipt.accepted == [0]
    [rejection] = receipt.rejected
    assert (rejection.index, rejection.code) == (1, "agent_not_allowed")
    assert "'support-bot' only" in rejection.message
    assert not Agent.objects.filter(slug="sales-bot").exists()


def test_an_agent_named_as_another_workspaces_is_this_workspaces_own(acme: KeyHolder) -> None:
    theirs = AgentFactory(workspace=WorkspaceFactory(slug="other"), slug="support-bot")

    acme.report(soon(agent="support-bot"))

    assert LLMCall.objects.get().agent.workspace == acme.row.workspace
    assert not AgentRunLog.objects.filter(agent=theirs).exists()


@override_settings(COSTSITE_REGISTER_AGENTS=False)
def test_where_agents_do_not_register_themselves_the_money_is_kept_and_the_client_told(acme: KeyHolder) -> None:
    receipt = acme.report(soon(agent="newcomer"))

    assert receipt.accepted == [0]
    assert LLMCall.objects.get().agent.slug == "unregistered"
    [notice] = receipt.notices
    assert notice.code == "agent_not_registered"
    assert "newcomer. Add it in the admin." in notice.message


def test_health_that_cannot_be_read_costs_no_event(acme: KeyHolder) -> None:
    receipt = acme.report(soon(), health={"pid": 2**40})

    assert receipt.accepted == [0]
    [notice] = receipt.notices
    assert notice.code == "bad_health"
    assert "pid" in notice.message


BAD_BATCHES: dict[str, tuple[Callable[[dict[str, Any]], Any], int, str, str]] = {
    "no batch_id": (lambda sent: sent.pop("batch_id"), 422, "bad_batch", "batch_id is missing"),
    "no events": (lambda sent: sent.pop("events"), 422, "bad_batch", "events is missing"),
    "events no list": (
        lambda sent: sent.update(events={"0": 1}),
        422,
        "bad_batch",
        "events: input should be a valid list",
    ),
    "sent before clocks": (lambda sent: sent.update(sent_at=-1), 422, "bad_batch", "sent_at"),
    "1,001 events": (
        lambda sent: sent.update(events=sent["events"] * 1_001),
        413,
        "too_many_events",
        "The batch has 1,001 events; send at most 1,000 at a time.",
    ),
    "10,000 fields": (
        lambda sent: sent.update({f"field_{number}": 1 for number in range(10_000)}),
        422,
        "bad_batch",
        "no batch has more than 60",
    ),
}


@pytest.mark.parametrize(("spoil", "status", "code", "said"), BAD_BATCHES.values(), ids=BAD_BATCHES.keys())
def test_a_batch_whose_envelope_cannot_be_read_is_refused_as_a_whole(
    acme: KeyHolder, spoil: Callable[[dict[str, Any]], Any], status: int, code: str, said: str
) -> None:
    sent = batch(soon())
    spoil(sent)

    response = acme.post(json.dumps(sent).encode())

    assert response.status_code == status
    assert error_of(response).code == code
    assert said in error_of(response).message
    assert not LLMCall.objects.exists()


def test_the_most_events_a_batch_may_have_are_taken(acme: KeyHolder) -> None:
    receipt = acme.report(*[soon() for _ in range(1_000)])

    assert len(receipt.accepted) == 1_000
    assert receipt.names_every_event(1_000)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'"text"', b"3"])
def test_json_that_is_no_batch_is_refused_with_what_it_must_be(acme: KeyHolder, body: bytes) -> None:
    response = acme.post(body)

    assert response.status_code in {400, 422}
    assert error_of(response).code in {"not_json", "bad_batch"}


def refuse_in_the_database(model: str) -> None:
    """Let the database itself refuse calls of one model, as it would a value that the wire's rules had missed."""
    refuse = {
        "sqlite": f"CREATE TRIGGER refuse BEFORE INSERT ON agents_llmcall WHEN NEW.request_model LIKE '{model}'"
        " BEGIN SELECT RAISE(ABORT, 'refused by the database'); END",
        "postgresql": f"ALTER TABLE agents_llmcall ADD CHECK (request_model NOT LIKE '{model}')",
    }
    with connection.cursor() as cursor:
        cursor.execute(refuse[connection.vendor])


def test_an_event_that_only_the_database_refuses_does_not_hold_up_the_others(acme: KeyHolder) -> None:
    refuse_in_the_database("poison")
    events = [soon() for _ in range(20)]
    events[3] = soon(request_model="poison")
    events[17] = soon(request_model="poison")

    receipt = acme.report(*events)

    assert [(rejection.index, rejection.code) for rejection in receipt.rejected] == [
        (3, "not_storable"),
        (17, "not_storable"),
    ]
    assert receipt.names_every_event(20)
    assert LLMCall.objects.count() == AgentRunLog.objects.count() == 18


def test_a_thousand_calls_at_a_mistyped_price_are_counted_without_a_cost(acme: KeyHolder) -> None:
    # 1,000,000 USD a million tokens for 100 million tokens is 10^16 microcents a call: a thousand leave 64 bits.
    ModelPrice.objects.create(
        model="gpt-4o-mini",
        input_per_million="1000000",
        output_per_million="4",
        effective_from=datetime(2026, 1, 1, tzinfo=UTC),
    )

    receipt = acme.report(*[soon(input_tokens=100_000_000, output_tokens=0) for _ in range(1_000)])

    assert len(receipt.accepted) == 1_000
    assert LLMCall.objects.filter(cost_microcents=None, price_source__startswith="out of bounds").count() == 1_000


def test_a_database_that_refuses_everything_is_the_servers_fault_and_the_client_keeps_its_events(
    acme: KeyHolder,
) -> None:
    refuse_in_the_database("%")

    response = acme.post(json.dumps(batch(soon(), soon())).encode())

    assert response.status_code == 500
    assert error_of(response).code == "server_error"
    assert not LLMCall.objects.exists()


def test_the_events_path_asks_the_database_no_more_for_a_hundred_events_than_for_ten(
    acme: KeyHolder, django_assert_max_num_queries: Any
) -> None:
    client_id, run_id = str(uuid4()), uuid4()
    acme.report(soon(run_id=run_id), client_id=client_id)

    with django_assert_max_num_queries(25) as for_ten:
        acme.report(*[soon(run_id=run_id) for _ in range(10)], client_id=client_id)
    with django_assert_max_num_queries(25) as for_a_hundred:
        acme.report(*[soon(run_id=run_id) for _ in range(100)], client_id=client_id)

    assert len(for_a_hundred) == len(for_ten)


def test_a_receipt_tells_the_tightest_budget_of_each_agent(workspace: Workspace) -> None:
    support_bot = AgentFactory(workspace=workspace, slug="support-bot")
    set_budget(support_bot, by=By(command="test"), limit_cents=50)
    set_budget(workspace, by=By(command="test"), limit_cents=40)
    now = datetime.now(UTC)
    cent = {"request_model": "gpt-4o", "input_tokens": 4_000, "output_tokens": 0, "started_at": now, "ended_at": now}

    receipt = KeyHolder(workspace).report(
        llm_call(**cent).model_dump(mode="json"), llm_call(agent="other", **cent).model_dump(mode="json")
    )

    limit, spent = 40_000_000, 2_000_000
    assert receipt.budgets == [
        wire.BudgetNews(agent=name, spent_microcents=spent, limit_microcents=limit) for name in ("other", "support-bot")
    ]


@pytest.mark.parametrize(
    "field",
    [{"tags": [0] * 200_000}, {"tool_calls": [[1]] * 200_000}, {f"field_{n}": 1 for n in range(100_000)}],
    ids=["tags", "tool calls", "fields"],
)
def test_a_body_full_of_mistakes_is_not_judged_mistake_by_mistake(acme: KeyHolder, field: dict[str, Any]) -> None:
    began = time.process_time()
    for _ in range(1_000_000):  # how quick this machine is just now
        pass
    looped = time.process_time()
    receipt = acme.report(soon(), spoiled(**field))
    took = time.process_time() - looped
    assert receipt.accepted[0] == 0
    assert receipt.names_every_event(2)
    assert took < 80 * (looped - began)  # 13 to 25 times; a problem for each mistake took 200 times


def test_health_full_of_mistakes_is_left_out(acme: KeyHolder) -> None:
    receipt = acme.report(soon(), health={"dropped": {f"reason {n}": -1 for n in range(100_000)}})
    assert receipt.accepted == [0]
    assert [notice.code for notice in receipt.notices] == ["bad_health"]
