"""Whatever is reported, in whatever order, however often: calls = runs = rollups, and every order ends the same.

`STORIES` tells what happened; a batch plan cuts the events into batches, repeats some and shuffles all. The ledger is
compared with itself under another plan, and with sums made here, by plain loops over the calls.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents import ledger
from agents.models import (
    AgentDay,
    AgentRunLog,
    LedgerState,
    LLMCall,
    ModelDay,
    ReportedRefusal,
    TagDay,
    TagMonth,
    UsageDay,
    UsageMonth,
    Workspace,
    WorkspaceDay,
    WorkspaceTagDay,
)
from agents.models.sums import SUM_COLUMNS
from langchain_plugin import wire
from tests.agents.conftest import wrong_sums
from tests.factories import WorkspaceFactory

BERLIN = ZoneInfo("Europe/Berlin")
EVENING = datetime(2026, 11, 30, 22, 50, tzinfo=UTC)
"""Ten minutes before a month begins in Berlin: runs and their calls fall on both sides of its first midnight."""
RECEIVED = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)


def ident(kind: int, number: int) -> UUID:
    return UUID(int=(kind << 64) | (0x7000 << 48) | number)


minutes = st.integers(min_value=-40, max_value=40).map(lambda number: timedelta(minutes=number))


@st.composite
def calls(draw: Any, number: int, run: int, agent: str, *, is_root: bool) -> list[wire.LLMCall]:
    """One call as it was reported: measured, or provisional and perhaps measured later."""
    started_at = EVENING + draw(minutes)
    input_tokens = draw(st.integers(min_value=0, max_value=5_000))
    facts: dict[str, Any] = {
        "type": "llm_call",
        "call_id": ident(1, number),
        "run_id": ident(2, run),
        "agent": agent,
        "is_root": is_root,
        "lease_id": draw(st.sampled_from([None, ident(3, 1), ident(3, 2)])),
        "provider": "openai",
        "request_model": draw(st.sampled_from(["gpt-4o-mini", "gpt-4o", "house-model-without-a-price"])),
        "effort": draw(st.sampled_from(["", "high"])),
        "started_at": started_at,
        "ended_at": started_at + timedelta(seconds=draw(st.integers(min_value=-5, max_value=90))),
        "input_tokens": input_tokens,
        "output_tokens": draw(st.integers(min_value=0, max_value=2_000)),
        "cache_read_tokens": draw(st.integers(min_value=0, max_value=input_tokens)),
        "served_from_local_cache": draw(st.sampled_from([False, False, False, True])),
        "thread_id": draw(st.sampled_from(["", "thread-1"])),
        "tags": draw(st.lists(st.sampled_from(["beta", "eu", "vip"]), max_size=3)),
    }
    measured = wire.LLMCall(**facts, status=draw(st.sampled_from(["ok", "error"])))
    kind = draw(st.sampled_from(["measured", "measured", "provisional", "both"]))
    if kind == "measured":
        return [measured]
    provisional = wire.LLMCall(
        **facts
        | {
            "status": draw(st.sampled_from(["cancelled", "abandoned", "ok"])),
            "usage_basis": "estimated",
            "input_tokens": input_tokens + draw(st.integers(min_value=0, max_value=99)),
            "output_tokens": draw(st.integers(min_value=0, max_value=50)),
            "started_at": started_at - draw(st.sampled_from([timedelta(0), timedelta(minutes=15)])),
        }
    )
    return [provisional] if kind == "provisional" else [provisional, measured]


@st.composite
def runs(draw: Any, number: int) -> list[wire.Event]:
    """A run: a model called by itself, or a chain whose own events may have been lost."""
    agent = draw(st.sampled_from(["support-bot", "researcher"]))
    if draw(st.booleans()):
        return list(draw(calls(number * 10, number, agent, is_root=True)))
    started_at = EVENING + draw(minutes)
    run: dict[str, Any] = {"run_id": ident(2, number), "agent": agent}
    events: list[wire.Event] = []
    if draw(st.booleans()):
        events.append(
            wire.RunStarted(
                **run,
                type="run_started",
                started_at=started_at,
                langchain_run_id=ident(4, number),
                thread_id=draw(st.sampled_from(["", "thread-2"])),
                tags=draw(st.sampled_from([(), ("eu",)])),
            )
        )
    for ending in range(draw(st.integers(min_value=0, max_value=2))):
        events.append(
            wire.RunEnded(
                **run,
                type="run_ended",
                started_at=started_at,
                ended_at=started_at + timedelta(minutes=draw(st.integers(min_value=0, max_value=9)), seconds=ending),
                status=draw(st.sampled_from(["ok", "error", "cancelled"])),
                error_type=draw(st.sampled_from(["", "Boom"])),
            )
        )
    for refusal in range(draw(st.integers(min_value=0, max_value=2))):
        events.append(
            wire.Refused(
                **run,
                type="refused",
                refusal_id=ident(5, number * 10 + refusal),
                kind="exhausted",
                refused_at=EVENING + draw(minutes),
                count=draw(st.integers(min_value=1, max_value=9)),
            )
        )
    for call in range(draw(st.integers(min_value=0, max_value=3))):
        events += draw(calls(number * 10 + call, number, agent, is_root=False))
    return events


@st.composite
def stories(draw: Any) -> list[wire.Event]:
    return [
        event for number in range(1, draw(st.integers(min_value=1, max_value=4)) + 1) for event in draw(runs(number))
    ]


@st.composite
def plans(draw: Any, events: list[wire.Event]) -> list[list[wire.Event]]:
    """The events in any order, some of them twice, cut into batches anywhere."""
    again = draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    order = draw(st.permutations([*events, *again]))
    cuts = sorted(draw(st.lists(st.integers(min_value=0, max_value=len(order)), max_size=4)))
    return [order[start:end] for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True) if start < end]


def report(workspace: Workspace, plan: list[list[wire.Event]]) -> list[ledger.Recorded]:
    return [ledger.record(workspace, list(enumerate(batch)), client=None, received_at=RECEIVED) for batch in plan]


def what_stands(workspace: Workspace) -> dict[str, Any]:
    """Everything the ledger says of a workspace, without the numbers rows were given."""
    unlike = {"id", "workspace_id", "agent_id", "received_at"}
    tables: dict[str, Any] = {}
    for model in (
        LLMCall, AgentRunLog, ReportedRefusal, UsageDay, UsageMonth, AgentDay, ModelDay, TagDay, TagMonth,
        WorkspaceTagDay, WorkspaceDay,
    ):  # fmt: skip
        rows = model._default_manager.filter(workspace=workspace)
        slug = [] if model in (ModelDay, WorkspaceTagDay, WorkspaceDay) else ["agent__slug"]
        columns = [field.attname for field in model._meta.concrete_fields if field.attname not in unlike] + slug
        tables[model.__name__] = sorted(rows.values_list(*columns), key=repr)
    return tables


def by_hand(workspace: Workspace) -> tuple[dict[Any, Counter[str]], ...]:
    """Sums by run, by usage key, by agent, by model and status, by tag and agent, by tag, by day, and by month for
    usage keys and for tags and agents; from the calls alone.
    """
    by_run: dict[Any, Counter[str]] = defaultdict(Counter)
    usage, agents, models, tags, workspace_tags, days, usage_months, tag_months = (
        defaultdict(Counter) for _ in range(8)
    )
    for call in LLMCall.objects.filter(workspace=workspace):
        sums = Counter({name: getattr(call, name, 0) for name in SUM_COLUMNS if name.endswith("tokens")})
        sums.update(
            calls=1,
            failed_calls=int(call.status != "ok"),
            estimated_calls=int(call.usage_basis == "estimated"),
            unpriced_calls=int(call.cost_microcents is None),
            local_cache_hits=int(call.served_from_local_cache),
            cost_microcents=call.cost_microcents or 0,
            saved_microcents=call.saved_microcents,
        )
        in_berlin = call.started_at.astimezone(BERLIN)
        assert call.day == in_berlin.date()
        month = f"{in_berlin:%Y-%m}-01"
        by_run[call.run_id].update(sums)
        used = (call.agent_id, call.provider, call.model, call.status, call.effort)
        usage[call.day, *used].update(sums)
        usage_months[month, *used].update(sums)
        agents[call.day, call.agent_id].update(sums)
        models[call.day, call.provider, call.model, call.status].update(sums)
        days[call.day].update(sums)
        for tag in call.tags or [""]:
            tags[call.day, tag, call.agent_id].update(sums)
            workspace_tags[call.day, tag].update(sums)
            tag_months[month, tag, call.agent_id].update(sums)
    return by_run, usage, agents, models, tags, workspace_tags, days, usage_months, tag_months


def assert_sums(row: Any, expected: Counter[str]) -> None:
    assert {name: getattr(row, name) for name in SUM_COLUMNS} == {name: expected[name] for name in SUM_COLUMNS}


def assert_adds_up(workspace: Workspace) -> None:
    by_run, usage, agents, models, tags, workspace_tags, days, usage_months, tag_months = by_hand(workspace)
    runs_begun: Counter[date] = Counter()
    for run in AgentRunLog.objects.filter(workspace=workspace):
        assert_sums(run, by_run.pop(run.run_id, Counter()))
        assert run.day == run.started_at.astimezone(BERLIN).date()
        refused = ReportedRefusal.objects.filter(workspace=workspace, run_id=run.run_id)
        assert run.refused_calls == sum(refusal.count for refusal in refused)
        runs_begun[run.day] += 1
    assert not by_run, "every call has its run"
    for row in UsageDay.objects.filter(workspace=workspace):
        assert_sums(row, usage.pop((row.day, row.agent_id, row.provider, row.model, row.status, row.effort)))
    for row in AgentDay.objects.filter(workspace=workspace):
        assert_sums(row, agents.pop((row.day, row.agent_id)))
    for row in ModelDay.objects.filter(workspace=workspace):
        assert_sums(row, models.pop((row.day, row.provider, row.model, row.status)))
    for row in TagDay.objects.filter(workspace=workspace):
        assert_sums(row, tags.pop((row.day, row.tag, row.agent_id)))
    for row in WorkspaceTagDay.objects.filter(workspace=workspace):
        assert_sums(row, workspace_tags.pop((row.day, row.tag)))
    for row in UsageMonth.objects.filter(workspace=workspace):
        key = (str(row.month), row.agent_id, row.provider, row.model, row.status, row.effort)
        assert_sums(row, usage_months.pop(key))
    for row in TagMonth.objects.filter(workspace=workspace):
        assert_sums(row, tag_months.pop((str(row.month), row.tag, row.agent_id)))
    for row in WorkspaceDay.objects.filter(workspace=workspace):
        assert row.runs == runs_begun.pop(row.day, 0)
        assert_sums(row, days.pop(row.day, Counter()))
    left = (usage, agents, models, tags, workspace_tags, days, usage_months, tag_months, runs_begun)
    assert not any(left), "every call and run is in the rollups"


@pytest.fixture
def _berlin(db: None) -> None:
    LedgerState.objects.create(pk=1, time_zone="Europe/Berlin")


@pytest.mark.usefixtures("_berlin")
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data(), events=stories())
def test_calls_runs_and_rollups_agree_and_every_order_ends_the_same(
    data: st.DataObject, events: list[wire.Event]
) -> None:
    one, other = WorkspaceFactory(), WorkspaceFactory()
    plan = data.draw(plans(events))
    receipts = report(one, plan)
    report(other, data.draw(plans(events)))

    assert_adds_up(one)
    assert not wrong_sums(one)
    assert what_stands(one) == what_stands(other)

    spent = sum(sum(receipt.spent.values()) for receipt in receipts)
    assert spent == sum(
        LLMCall.objects.filter(workspace=one, cost_microcents__gt=0).values_list("cost_microcents", flat=True)
    )
    for batch, receipt in zip(plan, receipts, strict=True):
        assert sorted([*receipt.accepted, *receipt.duplicates]) == list(range(len(batch)))

    before = what_stands(one)
    for receipt in report(one, plan):
        assert not receipt.accepted, "everything was known"
        assert not receipt.spent
    assert what_stands(one) == before
