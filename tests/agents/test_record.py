"""A batch becomes calls, runs and rollups."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.dispatch import Signal
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries, Settings

from agents import arrivals, ledger, run_arrivals
from agents.models import Agent, AgentRunLog, LedgerState, LLMCall, ReportedRefusal, UsageDay, Workspace, WorkspaceDay
from agents.models.sums import SUM_COLUMNS
from agents.signals import usage_recorded, usage_summed
from langchain_plugin import wire
from tests.factories import NOON, AgentFactory, llm_call

pytestmark = pytest.mark.django_db

CAIRO = timezone(timedelta(hours=2))
RECEIVED = NOON + timedelta(minutes=1)
GPT_4O_MINI = 1_200 * 15 + 300 * 60
"""36,000 microcents: 0.15 USD per million in, 0.60 out; a cent is 1,000,000."""


def record(workspace: Workspace, *events: wire.Event, **arguments: Any) -> ledger.Recorded:
    arguments = {"client": None, "received_at": RECEIVED} | arguments
    return ledger.record(workspace, list(enumerate(events)), **arguments)


BESIDE = pytest.mark.parametrize("beside", [0, 20], ids=["alone", "among others"])
"""Few calls and many go down by different statements."""


def run_started(run_id: UUID, **changes: Any) -> wire.RunStarted:
    facts = {"type": "run_started", "run_id": run_id, "agent": "support-bot", "started_at": NOON}
    return wire.RunStarted(**facts | changes)


def run_ended(run_id: UUID, **changes: Any) -> wire.RunEnded:
    facts = {"type": "run_ended", "run_id": run_id, "agent": "support-bot", "started_at": NOON, "status": "ok"}
    return wire.RunEnded(**facts | {"ended_at": NOON + timedelta(seconds=9)} | changes)


def refused(run_id: UUID, **changes: Any) -> wire.Refused:
    facts = {"type": "refused", "run_id": run_id, "agent": "support-bot", "refusal_id": uuid4(), "kind": "exhausted"}
    return wire.Refused(**facts | {"refused_at": NOON, "count": 3} | changes)


# ── once, and in full ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_call_sent_twice_is_counted_once(workspace: Workspace) -> None:
    call = llm_call()

    first = record(workspace, call)
    second = record(workspace, call)

    assert (first.accepted, first.duplicates) == ([0], [])
    assert (second.accepted, second.duplicates) == ([], [0])
    assert LLMCall.objects.count() == 1
    assert AgentRunLog.objects.get().input_tokens == 1_200
    assert WorkspaceDay.objects.get().calls == 1


def test_a_call_costs_what_its_tokens_cost(workspace: Workspace) -> None:
    recorded = record(workspace, llm_call())

    assert LLMCall.objects.get().cost_microcents == GPT_4O_MINI
    assert AgentRunLog.objects.get().cost_microcents == GPT_4O_MINI
    assert recorded.spent == {(Agent.objects.get().pk, date(2026, 11, 20)): GPT_4O_MINI}
    (entry,) = recorded.price_card
    assert (entry.model, entry.prices and entry.prices.input) == ("gpt-4o-mini", 15_000_000)


@BESIDE
def test_every_fact_of_a_call_is_read_back_as_it_was_sent(workspace: Workspace, beside: int) -> None:
    call = llm_call(
        langchain_run_id=uuid4(), lease_id=uuid4(), call_index=7, step="plan", sub_agent="searcher",
        purpose="compaction", response_model="gpt-4o-mini-2024-07-18", service_tier="flex", effort="high",
        status="error", error_type="Boom", started_at=datetime(2026, 11, 20, 15, 0, 0, 123456, tzinfo=CAIRO),
        input_tokens=900, output_tokens=80, cache_read_tokens=100, cache_write_5m_tokens=50, cache_write_1h_tokens=40,
        cache_write_unknown_tokens=30, reasoning_tokens=20, input_audio_tokens=10, output_audio_tokens=5,
        ended_at=datetime(2026, 11, 20, 13, 0, 1, tzinfo=UTC), max_output_tokens=4_096,
        time_to_first_token_seconds=0.25, prompt_messages=12, prompt_hash="0123456789abcdef",
        thread_id=r"Grüße 🌍 \N\t", tool_calls=[("search", "fedcba9876543210"), ("stop", "")],
        tags=["beta", r"Größe\\", "beta"],
    )  # fmt: skip
    record(workspace, call, *(llm_call() for _ in range(beside)), received_at=NOON + timedelta(hours=2))

    row = LLMCall.objects.get(call_id=call.call_id)
    same = set(arrivals.COLUMNS) - {
        "workspace_id", "agent_id", "client_id", "model", "reported_started_at", "received_at", "day", "tokens_from",
        "provisional", "cost_basis", "cost_microcents", "saved_microcents", "price_source", "tool_calls", "tags",
    }  # fmt: skip
    assert {name: getattr(row, name) for name in same} == {name: getattr(call, name) for name in same}
    assert row.tool_calls == [["search", "fedcba9876543210"], ["stop", ""]]
    assert row.tags == ["beta", r"Größe\\"]
    assert row.model == "gpt-4o-mini"
    assert row.received_at == NOON + timedelta(hours=2)
    assert (row.day, row.provisional, row.reported_started_at) == (date(2026, 11, 20), False, None)


def test_the_write_path_fills_every_column() -> None:
    assert set(arrivals.COLUMNS) == {field.attname for field in LLMCall._meta.concrete_fields} - {"id"}
    written = {*run_arrivals.COLUMNS, *SUM_COLUMNS}
    assert written == {field.attname for field in AgentRunLog._meta.concrete_fields} - {"id"}
    assert set(ledger.REFUSAL_COLUMNS) == {field.attname for field in ReportedRefusal._meta.concrete_fields} - {"id"}


@BESIDE
def test_rows_are_stored_as_the_orm_stores_them(workspace: Workspace, beside: int) -> None:
    """Down to the bytes: a filter through the ORM compares what is stored."""
    call = llm_call(tags=["ü"], started_at=NOON + timedelta(microseconds=5))
    record(workspace, call, run_started(uuid4(), tags=["ü"]), *(llm_call() for _ in range(beside)))

    for model in (LLMCall, AgentRunLog):
        columns = [field.column for field in model._meta.concrete_fields if field.name != "id"]
        raw = f"SELECT {', '.join(columns)} FROM {model._meta.db_table} ORDER BY id"
        with connection.cursor() as cursor:
            cursor.execute(raw)
            written = cursor.fetchall()
        for row in model._default_manager.order_by("pk"):
            row.save()
        with connection.cursor() as cursor:
            cursor.execute(raw)
            assert cursor.fetchall() == written


def test_a_batch_takes_the_same_few_statements_whatever_its_size(
    workspace: Workspace, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    record(workspace, llm_call())
    with django_assert_max_num_queries(21):
        record(workspace, *(llm_call(run_id=run_id) for run_id in [uuid4() for _ in range(50)] for _ in range(2)))


@pytest.mark.parametrize("signal", [usage_recorded, usage_summed])
def test_a_receiver_that_fails_undoes_the_batch(workspace: Workspace, signal: Signal) -> None:
    def fail(**kwargs: Any) -> None:
        raise RuntimeError("the budgets are on fire")

    signal.connect(fail)
    try:
        with pytest.raises(RuntimeError, match="on fire"):
            record(workspace, llm_call())
    finally:
        signal.disconnect(fail)
    assert not LLMCall.objects.exists()
    assert not WorkspaceDay.objects.exists()


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_call_outside_any_chain_is_its_own_run(workspace: Workspace) -> None:
    call = llm_call(is_root=True, status="abandoned", thread_id="thread-1", tags=["eu"], langchain_run_id=uuid4())
    record(workspace, call)

    run = AgentRunLog.objects.get()
    assert (run.started_at, run.ended_at, run.status) == (call.started_at, call.ended_at, "cancelled")
    assert (run.thread_id, run.tags, run.langchain_run_id) == ("thread-1", ["eu"], call.langchain_run_id)


def test_calls_that_arrive_before_their_run_begins_belong_to_it(workspace: Workspace) -> None:
    run_id = uuid4()
    record(workspace, llm_call(run_id=run_id, started_at=NOON + timedelta(seconds=5)))
    assert AgentRunLog.objects.get().status == "running"
    record(workspace, run_ended(run_id, status="error", error_type="Boom"))
    record(workspace, run_started(run_id, thread_id="thread-1"))

    run = AgentRunLog.objects.get()
    assert (run.started_at, run.ended_at) == (NOON, NOON + timedelta(seconds=9))
    assert (run.status, run.error_type, run.thread_id, run.calls) == ("error", "Boom", "thread-1", 1)
    assert WorkspaceDay.objects.get().runs == 1


def test_what_a_run_says_twice_is_a_duplicate(workspace: Workspace) -> None:
    run_id = uuid4()
    events = [run_started(run_id), run_ended(run_id)]
    assert record(workspace, *events).accepted == [0, 1]
    assert record(workspace, *events).duplicates == [0, 1]


def test_a_run_that_turns_out_to_begin_a_day_earlier_is_counted_there(workspace: Workspace) -> None:
    run_id, midnight = uuid4(), datetime(2026, 11, 20, tzinfo=UTC)
    record(workspace, llm_call(run_id=run_id, started_at=midnight + timedelta(minutes=1)))
    record(workspace, run_started(run_id, started_at=midnight - timedelta(minutes=1)))

    assert AgentRunLog.objects.get().day == date(2026, 11, 19)
    assert dict(WorkspaceDay.objects.values_list("day", "runs")) == {date(2026, 11, 19): 1, date(2026, 11, 20): 0}
    assert dict(WorkspaceDay.objects.values_list("day", "calls")) == {date(2026, 11, 19): 0, date(2026, 11, 20): 1}


@pytest.mark.parametrize(
    ("refusals", "error_type", "status"),
    [(1, "BudgetExceeded", "refused"), (1, "ValueError", "error"), (0, "BudgetExceeded", "error")],
)
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_run_that_a_budget_ended_after_some_calls_is_refused_too(
    order: tuple[int, ...], refusals: int, error_type: str, status: str, workspace: Workspace
) -> None:
    run_id = uuid4()
    events: list[wire.Event] = [
        llm_call(run_id=run_id),
        refused(run_id if refusals else uuid4()),
        run_ended(run_id, status="error", error_type=error_type),
    ]
    for index in order:
        record(workspace, events[index])

    assert AgentRunLog.objects.get(run_id=run_id).status == status


@pytest.mark.parametrize(("ended", "status"), [("error", "refused"), ("ok", "ok"), ("cancelled", "cancelled")])
def test_a_run_without_calls_is_refused_unless_it_came_to_another_end(
    workspace: Workspace, ended: wire.RunStatus, status: str
) -> None:
    run_id, refusal = uuid4(), refused(uuid4())
    refusal = refusal.model_copy(update={"run_id": run_id})
    record(workspace, refusal)
    assert AgentRunLog.objects.get().status == "refused"
    record(workspace, run_ended(run_id, status=ended), refusal)
    assert (AgentRunLog.objects.get().status, AgentRunLog.objects.get().refused_calls) == (status, 3)

    record(workspace, llm_call(run_id=run_id))
    assert AgentRunLog.objects.get().status == ended


# ── provisional ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_measured_report_replaces_a_provisional_one_once(workspace: Workspace) -> None:
    lease, run_id, call_id = uuid4(), uuid4(), uuid4()
    same = {"call_id": call_id, "run_id": run_id, "lease_id": lease}
    cancelled = llm_call(**same, status="cancelled", usage_basis="estimated", input_tokens=1_000, output_tokens=100)
    measured = llm_call(**same)

    first = record(workspace, cancelled)
    of_lease = lease, Agent.objects.get().pk, NOON.date()
    assert first.spent_by_lease == {of_lease: 21_000}  # 1,000 x 15 + 100 x 60
    second = record(workspace, measured)
    assert second.accepted == [0]
    assert second.spent_by_lease == {of_lease: GPT_4O_MINI - 21_000}
    assert record(workspace, measured, cancelled).duplicates == [0, 1]

    call = LLMCall.objects.get()
    assert (call.provisional, call.cost_basis, call.cost_microcents) == (False, "measured", GPT_4O_MINI)
    run = AgentRunLog.objects.get()
    assert (run.calls, run.estimated_calls, run.failed_calls, run.cost_microcents) == (1, 0, 0, GPT_4O_MINI)
    assert [(row.status, row.calls, row.cost_microcents) for row in UsageDay.objects.all()] == [("ok", 1, GPT_4O_MINI)]


def test_the_first_of_two_provisional_reports_stands(workspace: Workspace) -> None:
    call = llm_call(usage_basis="estimated", output_tokens=10)
    other = call.model_copy(update={"output_tokens": 20})
    assert record(workspace, call, other).duplicates == [1]
    assert LLMCall.objects.get().output_tokens == 10


def test_a_provisional_and_a_measured_report_in_one_batch_become_one_measured_call(workspace: Workspace) -> None:
    measured = llm_call()
    estimated = measured.model_copy(update={"usage_basis": "estimated", "output_tokens": 1})
    assert record(workspace, estimated, measured).accepted == [0, 1]
    assert AgentRunLog.objects.get().cost_microcents == GPT_4O_MINI


@BESIDE
def test_of_a_batch_that_is_partly_known_only_the_news_is_booked(workspace: Workspace, beside: int) -> None:
    known, fresh = llm_call(), llm_call()
    measured = llm_call()
    estimated = measured.model_copy(update={"usage_basis": "estimated", "output_tokens": 1})
    elsewhere = measured.model_copy(update={"run_id": uuid4()})
    record(workspace, known, estimated)

    others = [llm_call() for _ in range(beside)]
    again = record(workspace, known, fresh, elsewhere, estimated, measured, fresh, measured, *others)

    calls = 3 + beside
    assert (again.accepted, again.duplicates) == ([1, 4, *range(7, 7 + beside)], [0, 2, 3, 5, 6])
    stored = {call.call_id for call in LLMCall.objects.all()}
    assert stored == {call.call_id for call in (known, fresh, measured, *others)}
    assert not LLMCall.objects.exclude(cost_microcents=GPT_4O_MINI).exists()
    assert [(row.calls, row.cost_microcents) for row in UsageDay.objects.all()] == [(calls, calls * GPT_4O_MINI)]


def test_unknown_output_is_the_agents_median_for_the_model(workspace: Workspace) -> None:
    record(workspace, *(llm_call(output_tokens=tokens) for tokens in (100, 500, 90_000)))
    record(workspace, llm_call(request_model="gpt-4o", output_tokens=7))
    unknown = llm_call(status="cancelled", usage_basis="estimated", output_tokens=None)
    record(workspace, unknown)

    call = LLMCall.objects.get(call_id=unknown.call_id)
    assert (call.output_tokens, call.tokens_from, call.cost_basis) == (500, "median", "estimated")
    assert call.cost_microcents == 1_200 * 15 + 500 * 60


def test_unknown_output_without_a_past_is_0_and_says_so(workspace: Workspace) -> None:
    record(workspace, llm_call(status="cancelled", usage_basis="estimated", output_tokens=None))
    call = LLMCall.objects.get()
    assert (call.output_tokens, call.tokens_from, call.provisional) == (0, "nothing", True)


def test_a_call_without_a_price_has_no_cost(workspace: Workspace) -> None:
    record(workspace, llm_call(request_model="house-model", provider=""))
    call = LLMCall.objects.get()
    assert (call.cost_basis, call.cost_microcents, call.estimated_cost_cents) == ("unpriced", None, None)
    assert call.usage_basis == "measured"
    assert AgentRunLog.objects.get().estimated_cost_cents is None


# ── agents ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_keeps_the_agent_of_its_first_event(workspace: Workspace) -> None:
    run_id = uuid4()
    record(workspace, run_started(run_id, agent="planner"), llm_call(run_id=run_id, agent="searcher"))
    assert AgentRunLog.objects.get().agent.slug == "planner"
    assert LLMCall.objects.get().agent.slug == "planner"
    assert UsageDay.objects.get().agent.slug == "planner"


def test_an_agents_name_becomes_a_slug_an_address_can_hold(workspace: Workspace) -> None:
    record(workspace, llm_call(agent=" team/support bot? "))
    assert Agent.objects.get().slug == "team-support bot-"


def test_closed_registration_books_to_the_reserved_agent(workspace: Workspace, settings: Settings) -> None:
    known = AgentFactory(workspace=workspace, slug="known")
    settings.COSTSITE_REGISTER_AGENTS = False
    recorded = record(workspace, llm_call(agent="known"), llm_call(agent="stranger"))
    assert recorded.accepted == [0, 1]
    assert set(LLMCall.objects.values_list("agent__slug", flat=True)) == {"known", "unregistered"}
    assert recorded.agents["known"].id == known.pk


def test_a_full_workspace_books_new_agents_to_the_reserved_one(workspace: Workspace, settings: Settings) -> None:
    settings.COSTSITE_MAX_AGENTS_PER_WORKSPACE = 2
    record(workspace, *(llm_call(agent=f"bot-{number}") for number in range(4)))
    assert set(Agent.objects.values_list("slug", flat=True)) == {"bot-0", "bot-1", "unregistered"}
    assert LLMCall.objects.filter(agent__slug="unregistered").count() == 2


def test_an_inactive_agents_money_is_recorded(workspace: Workspace) -> None:
    AgentFactory(workspace=workspace, slug="support-bot", active=False, archived_at=NOON)
    recorded = record(workspace, llm_call())
    assert recorded.accepted == [0]
    assert not recorded.agents["support-bot"].active


def test_a_key_of_one_agent_cannot_report_another(workspace: Workspace) -> None:
    mine = AgentFactory(workspace=workspace, slug="mine")
    theirs = uuid4()
    record(workspace, run_started(theirs, agent="theirs"))

    good, wrong_agent = llm_call(agent="mine"), llm_call(agent="theirs")
    wrong_run = llm_call(agent="mine", run_id=theirs)
    recorded = record(workspace, wrong_agent, good, wrong_run, key_agent=mine)

    assert recorded.accepted == [1]
    assert [(rejection.index, rejection.code) for rejection in recorded.rejected] == [
        (0, "agent_not_allowed"),
        (2, "agent_not_allowed"),
    ]
    assert "'mine'" in recorded.rejected[0].message
    assert LLMCall.objects.count() == 1


def test_the_last_run_of_an_agent_moves_at_most_once_a_minute(workspace: Workspace) -> None:
    seen = []
    for seconds in (0, 59, 60):
        record(workspace, llm_call(started_at=NOON + timedelta(seconds=seconds), ended_at=NOON + timedelta(minutes=2)))
        seen.append(Agent.objects.get().last_run_at)
    assert seen == [NOON, NOON, NOON + timedelta(seconds=60)]


# ── clocks ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_shifted_batch_keeps_the_reported_time(workspace: Workspace) -> None:
    record(workspace, llm_call(), clock_shift=timedelta(hours=13))
    call = LLMCall.objects.get()
    # 01:00 the next day is more than five minutes after it was received: it becomes the time received.
    assert (call.started_at, call.reported_started_at) == (RECEIVED, NOON)
    record(workspace, llm_call(), clock_shift=timedelta(hours=-13))
    call = LLMCall.objects.order_by("pk").last()
    assert call is not None
    assert (call.started_at, call.reported_started_at) == (NOON - timedelta(hours=13), NOON)
    assert call.day == date(2026, 11, 19)


@pytest.mark.parametrize(("ahead", "kept"), [(timedelta(minutes=5), True), (timedelta(minutes=5, seconds=1), False)])
def test_a_start_ahead_of_the_server_is_taken_back(workspace: Workspace, ahead: timedelta, kept: bool) -> None:
    at = RECEIVED + ahead
    record(workspace, llm_call(started_at=at, ended_at=at))
    call = LLMCall.objects.get()
    assert (call.started_at, call.ended_at) == ((at, at) if kept else (RECEIVED, RECEIVED))
    assert call.reported_started_at == (None if kept else at)


def test_a_call_never_ends_before_it_begins(workspace: Workspace) -> None:
    record(workspace, llm_call(ended_at=NOON - timedelta(seconds=1)))
    assert LLMCall.objects.get().ended_at == NOON


def test_what_is_too_old_is_rejected_and_the_rest_is_kept(workspace: Workspace) -> None:
    LedgerState.objects.create(pk=1, time_zone="UTC", retained_from=date(2026, 11, 1))
    old = llm_call(started_at=datetime(2026, 10, 31, 23, 59, tzinfo=UTC))
    old_run = run_started(uuid4(), started_at=datetime(2026, 10, 1, tzinfo=UTC))
    recorded = record(workspace, old, llm_call(started_at=datetime(2026, 11, 1, tzinfo=UTC)), old_run)
    assert recorded.accepted == [1]
    assert [rejection.code for rejection in recorded.rejected] == ["too_old", "too_old"]
    assert "2026-11-01" in recorded.rejected[0].message
    assert AgentRunLog.objects.count() == 1


def test_a_run_of_a_host_that_did_not_know_the_time_begins_when_it_came_however_often_it_comes(
    workspace: Workspace,
) -> None:
    epoch = run_started(uuid4(), started_at=datetime(1970, 1, 1, tzinfo=UTC))
    record(workspace, epoch)
    assert record(workspace, epoch, received_at=RECEIVED + timedelta(hours=1)).duplicates == [0]
    assert AgentRunLog.objects.get().started_at == RECEIVED


def test_many_calls_without_tokens_have_their_agent_looked_up_once(workspace: Workspace) -> None:
    measured = llm_call()
    record(workspace, measured)
    models = ["gpt-4o-mini", *(f"model-{number}" for number in range(199))]
    lacking = [
        llm_call(usage_basis="estimated", status="cancelled", output_tokens=None, request_model=model)
        for model in models
    ]

    with CaptureQueriesContext(connection) as queries:
        record(workspace, *lacking)

    assert sum("AS recent" in query["sql"] for query in queries) == 1
    tokens = dict(LLMCall.objects.filter(provisional=True).values_list("request_model", "output_tokens"))
    assert (tokens["gpt-4o-mini"], tokens["model-1"]) == (measured.output_tokens, 0)
