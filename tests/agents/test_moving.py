"""What a merged agent did becomes the other's: all of it, and every sum agrees at every moment on the way."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from itertools import islice
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents import moving
from agents.cost_tracker import CostTracker
from agents.merging import merge
from agents.models import (
    Agent,
    AgentDay,
    AgentMerge,
    AgentRunLog,
    CostCorrection,
    LedgerState,
    LLMCall,
    ModelDay,
    ReportedRefusal,
    TagDay,
    TagMonth,
    UsageDay,
    UsageMonth,
    Workspace,
    WorkspaceTagDay,
)
from agents.moving import move, sweep
from agents.rebuild import differences
from agents.retention import let_go
from agents.tasks import move_merged
from agents.time_zone import change_time_zone
from langchain_plugin import wire
from tests.agents.conftest import RECEIVED, finish, record, whose, wrong_sums
from tests.agents.test_ledger_properties import assert_adds_up, plans, report, stories
from tests.factories import NOON, AgentFactory, WorkspaceFactory, llm_call

pytestmark = pytest.mark.django_db

CALL = 36_000
"""Microcents of `llm_call()`: 1,200 x 0.15 USD and 300 x 0.60 USD a million are 0.00036 USD = 0.036 cents."""
OF_ALL_AGENTS = (ModelDay, WorkspaceTagDay)
"""Sums whichever agents called: a merge leaves them as they are."""


@pytest.fixture(autouse=True)
def utc(db: None) -> LedgerState:
    return LedgerState.objects.create(pk=1, time_zone="UTC")


def refused(**facts: Any) -> wire.Refused:
    return wire.Refused(
        **{"type": "refused", "run_id": uuid4(), "agent": "suport-bot", "refusal_id": uuid4(), "kind": "exhausted",
           "refused_at": NOON, "count": 3} | facts
    )  # fmt: skip


# ── what moves ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_all_that_the_ledger_holds_of_one_becomes_the_others(workspace: Workspace, bots: tuple[Agent, Agent]) -> None:
    source, target = bots
    run = uuid4()
    record(
        workspace,
        llm_call(agent="suport-bot", run_id=run, tags=["prod", "eu"]),
        llm_call(agent="suport-bot", run_id=run),
        llm_call(agent="suport-bot", request_model="house-model", started_at=NOON - timedelta(days=40)),
        llm_call(tags=["prod"]),
        refused(run_id=run),
    )
    before = CostTracker().workspace(workspace).between(NOON - timedelta(days=90), RECEIVED).total()
    of_all_agents = [list(table._default_manager.order_by("pk").values()) for table in OF_ALL_AGENTS]

    done = finish(merge(source, target, by_name="test"))

    for table in (AgentRunLog, LLMCall, ReportedRefusal, UsageDay, UsageMonth, AgentDay, TagDay, TagMonth):
        assert whose(table) == {"support-bot"}, table
    assert (done.runs, done.calls, done.unpriced_calls, done.cost_microcents) == (2, 3, 1, 2 * CALL)
    assert done.months == {"2026-11": 2 * CALL, "2026-10": 0}
    assert (done.expected_calls, done.percent) == (3, 100)
    assert wrong_sums(workspace) == []
    assert CostTracker().workspace(workspace).between(NOON - timedelta(days=90), RECEIVED).total() == before
    assert [list(table._default_manager.order_by("pk").values()) for table in OF_ALL_AGENTS] == of_all_agents
    # Of the same day, model and status: the two agents' rows are one row.
    assert UsageDay.objects.get(day=NOON.date()).calls == AgentDay.objects.get(day=NOON.date()).calls == 3
    assert TagDay.objects.get(day=NOON.date(), tag="prod").calls == 2
    # So are those of the month; what the source alone has of October comes along.
    assert [(str(row.month), row.model, row.calls) for row in UsageMonth.objects.order_by("month")] == [
        ("2026-10-01", "house-model", 1), ("2026-11-01", "gpt-4o-mini", 3),
    ]  # fmt: skip
    assert [(str(row.month), row.tag, row.calls) for row in TagMonth.objects.order_by("month", "tag")] == [
        ("2026-10-01", "", 1), ("2026-11-01", "", 1), ("2026-11-01", "eu", 1), ("2026-11-01", "prod", 2),
    ]  # fmt: skip


def test_rows_of_others_stay_where_they_are(workspace: Workspace, bots: tuple[Agent, Agent]) -> None:
    elsewhere = WorkspaceFactory()
    record(workspace, llm_call(agent="suport-bot"), llm_call(agent="triage"))
    record(elsewhere, llm_call(agent="suport-bot"))

    finish(merge(*bots, by_name="test"))

    assert set(LLMCall.objects.values_list("workspace", "agent__slug")) == {
        (workspace.pk, "support-bot"), (workspace.pk, "triage"), (elsewhere.pk, "suport-bot"),
    }  # fmt: skip


def test_corrections_of_both_by_one_repricing_become_one(workspace: Workspace, bots: tuple[Agent, Agent]) -> None:
    source, target = bots
    repricing = uuid4()
    facts: dict[str, Any] = {"workspace": workspace, "day": NOON.date(), "model": "m", "reason": "a price"}
    for agent, repriced in ((source, repricing), (target, repricing), (source, uuid4())):
        CostCorrection.objects.create(
            **facts, agent=agent, repricing_id=repriced, calls=2, newly_priced_calls=1, cost_before_microcents=3,
            cost_after_microcents=5,
        )  # fmt: skip

    finish(merge(source, target, by_name="test"))

    rows = CostCorrection.objects.order_by("calls").values_list(
        "agent__slug", "calls", "newly_priced_calls", "cost_before_microcents", "cost_after_microcents"
    )
    assert list(rows) == [("support-bot", 2, 1, 3, 5), ("support-bot", 4, 2, 6, 10)]


@pytest.mark.parametrize("of_target", [0, 1], ids=["to where nothing is", "to rows of the target"])
def test_days_whose_calls_are_gone_move_with_their_sums(
    workspace: Workspace, bots: tuple[Agent, Agent], of_target: int
) -> None:
    long_ago = NOON - timedelta(days=500)
    record(
        workspace,
        *(llm_call(agent="suport-bot", tags=["prod"], started_at=long_ago) for _ in range(2)),
        *(llm_call(tags=["prod"], started_at=long_ago) for _ in range(of_target)),
        llm_call(agent="suport-bot"),
    )
    for _ in let_go(date(2026, 1, 1)):
        pass
    assert LLMCall.objects.count() == 1

    done = finish(merge(*bots, by_name="test"))

    for table in (UsageDay, AgentDay, TagDay):
        assert whose(table) == {"support-bot"}, table
        assert table._default_manager.get(day=long_ago.date()).calls == 2 + of_target, table
    for table in OF_ALL_AGENTS:
        assert table._default_manager.get(day=long_ago.date()).calls == 2 + of_target, table
    for month in (UsageMonth, TagMonth):
        assert whose(month) == {"support-bot"}, month
        sums = dict(month._default_manager.values_list("month", "cost_microcents"))
        assert sums == {date(2025, 7, 1): (2 + of_target) * CALL, date(2026, 11, 1): CALL}, month
    assert wrong_sums(workspace) == []
    assert (done.calls, done.cost_microcents) == (3, 3 * CALL)
    assert done.months == {"2026-11": CALL, f"{long_ago:%Y-%m}": 2 * CALL}


@pytest.mark.parametrize("of_target", [0, 1], ids=["to where nothing is", "to rows of the target"])
def test_a_month_of_which_some_days_are_gone_moves_in_parts_that_agree(
    workspace: Workspace, bots: tuple[Agent, Agent], of_target: int
) -> None:
    for day in (3, 5, 20):
        calls = [llm_call(agent="suport-bot", tags=["eu"], started_at=NOON.replace(day=day)) for _ in range(2)]
        record(workspace, *calls, *(llm_call(tags=["eu"], started_at=NOON.replace(day=day)) for _ in range(of_target)))
    for _ in let_go(date(2026, 11, 10)):
        pass

    seen: list[dict[str, int]] = []
    for _ in move(merge(*bots, by_name="test")):
        assert wrong_sums(workspace) == []
        now = dict(UsageMonth.objects.values_list("agent__slug", "calls"))
        assert dict(TagMonth.objects.values_list("agent__slug", "calls")) == now
        if now not in seen:
            seen.append(now)

    # The day whose calls are there, then the sums of the others: two calls of the source's each.
    ours = 3 * of_target
    assert [(now.get("suport-bot"), now.get("support-bot")) for now in seen] == [
        (6, ours or None), (4, ours + 2), (2, ours + 4), (None, ours + 6),
    ]  # fmt: skip
    assert UsageMonth.objects.get().cost_microcents == TagMonth.objects.get().cost_microcents == (ours + 6) * CALL


def test_calls_that_retention_is_about_to_delete_are_not_taken_out_of_their_sums(
    workspace: Workspace, bots: tuple[Agent, Agent]
) -> None:
    long_ago = NOON - timedelta(days=500)
    record(workspace, *(llm_call(agent="suport-bot", started_at=long_ago) for _ in range(2)))
    steps = let_go(date(2026, 1, 1))
    LedgerState.objects.update(retained_from=date(2026, 1, 1))  # stored first: the calls are there still

    finish(merge(*bots, by_name="test"))
    for _ in steps:
        pass

    assert LLMCall.objects.count() == 0
    for table in (UsageDay, UsageMonth, TagMonth):
        assert list(table._default_manager.values_list("agent__slug", "calls")) == [("support-bot", 2)], table


@pytest.mark.parametrize("table", [UsageDay, AgentDay, ModelDay, WorkspaceTagDay])
def test_sums_that_were_wrong_stay_as_wrong_and_are_mended_as_ever(
    workspace: Workspace, bots: tuple[Agent, Agent], table: type[UsageDay | AgentDay | ModelDay | WorkspaceTagDay]
) -> None:
    record(workspace, llm_call(agent="suport-bot"))
    table._default_manager.update(calls=5)

    finish(merge(*bots, by_name="test"))

    (wrong,) = differences(workspace)
    assert (wrong.table, wrong.missing["calls"]) == (table, -4)
    assert whose(UsageDay) == whose(AgentDay) == {"support-bot"}
    call_command("rebuild_rollups", stdout=StringIO())
    assert_rows_of_one_call(workspace)


@pytest.mark.parametrize("table", [UsageMonth, TagMonth])
@pytest.mark.parametrize("calls", [0, 5])
def test_months_that_were_wrong_are_mended_after_it_as_ever(
    workspace: Workspace, bots: tuple[Agent, Agent], table: type[UsageMonth | TagMonth], calls: int
) -> None:
    record(workspace, llm_call(agent="suport-bot"))
    table._default_manager.update(calls=calls)

    finish(merge(*bots, by_name="test"))

    assert {wrong.table for wrong in wrong_sums(workspace)} == {table}
    call_command("rebuild_rollups", stdout=StringIO())
    assert_rows_of_one_call(workspace)


def assert_rows_of_one_call(workspace: Workspace) -> None:
    assert wrong_sums(workspace) == []
    for table in (UsageDay, UsageMonth, AgentDay, TagDay, TagMonth):
        assert list(table._default_manager.values_list("agent__slug", "calls", "cost_microcents")) == [
            ("support-bot", 1, CALL)
        ], table


@pytest.mark.parametrize("table", [UsageDay, AgentDay])
def test_sums_of_a_day_that_one_table_has_alone_move_too(
    workspace: Workspace, bots: tuple[Agent, Agent], table: type[UsageDay | AgentDay]
) -> None:
    record(workspace, llm_call(agent="suport-bot"))
    LLMCall.objects.all().delete()
    for other in {UsageDay, AgentDay} - {table}:
        other.objects.all().delete()

    finish(merge(*bots, by_name="test"))

    assert whose(table) == {"support-bot"}


@pytest.mark.parametrize("table", OF_ALL_AGENTS)
def test_a_model_or_tag_that_has_no_day_gets_none_by_a_merge(
    workspace: Workspace, bots: tuple[Agent, Agent], table: type[ModelDay | WorkspaceTagDay]
) -> None:
    record(workspace, llm_call(agent="suport-bot"))
    table._default_manager.all().delete()

    finish(merge(*bots, by_name="test"))

    assert not table._default_manager.exists(), "what was taken out and added is nothing"


def test_every_step_is_short_and_leaves_all_sums_right(
    workspace: Workspace, bots: tuple[Agent, Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RUNS_AT_ONCE", "CALLS_AT_ONCE", "CALLS_PER_PAGE"):
        monkeypatch.setattr(moving, name, 2)
    record(workspace, *(llm_call(agent="suport-bot", started_at=NOON - timedelta(days=n % 3)) for n in range(9)))
    steps = 0

    for rows in move(merge(*bots, by_name="test")):
        steps += 1
        assert rows <= 2
        assert wrong_sums(workspace) == []
        assert sum(UsageDay.objects.values_list("calls", flat=True)) == 9

    assert steps >= 5 + 6  # nine runs by two, and three days of three calls by two


def test_a_run_that_began_before_goes_on_and_ends_up_with_the_other(
    workspace: Workspace, bots: tuple[Agent, Agent]
) -> None:
    run = uuid4()
    record(workspace, llm_call(agent="suport-bot", run_id=run))
    begun = merge(*bots, by_name="test")
    record(workspace, llm_call(agent="suport-bot", run_id=run))
    steps = move(begun)
    next(steps)  # the run has moved, its two calls have not
    assert whose(AgentRunLog) == {"support-bot"}
    record(workspace, llm_call(agent="suport-bot", run_id=run))
    assert wrong_sums(workspace) == []

    for _ in steps:
        pass

    assert whose(LLMCall) == whose(UsageDay) == {"support-bot"}
    assert AgentRunLog.objects.get().calls == UsageDay.objects.get().calls == 3
    assert AgentMerge.objects.get().calls == 2


def test_a_measured_report_replaces_one_that_has_not_moved_yet(workspace: Workspace, bots: tuple[Agent, Agent]) -> None:
    guess = llm_call(agent="suport-bot", usage_basis="estimated", output_tokens=1)
    record(workspace, guess)
    steps = move(merge(*bots, by_name="test"))
    next(steps)  # the run alone

    record(workspace, guess.model_copy(update={"usage_basis": "measured", "output_tokens": 300}))
    assert wrong_sums(workspace) == []
    for _ in steps:
        pass

    assert whose(LLMCall) == whose(UsageDay) == {"support-bot"}
    assert UsageDay.objects.get().cost_microcents == CALL
    assert wrong_sums(workspace) == []


def test_a_chain_of_merges_ends_at_its_last(workspace: Workspace, bots: tuple[Agent, Agent]) -> None:
    source, target = bots
    last = AgentFactory(workspace=workspace, slug="support")
    record(workspace, llm_call(agent="suport-bot"), llm_call(agent="support-bot"), llm_call(agent="support"))
    first = merge(source, target, by_name="test")
    next(move(first))  # begun and not finished

    merge(target, last, by_name="test")
    sweep()

    assert whose(LLMCall) == whose(AgentRunLog) == whose(UsageDay) == {"support"}
    assert {merge.finished_at is not None for merge in AgentMerge.objects.all()} == {True}
    recorded = record(workspace, llm_call(agent="suport-bot"), llm_call(agent="support-bot"))
    assert {agent.slug for agent in recorded.agents.values()} == {"support"}
    assert set(Agent.objects.exclude(pk=last.pk).values_list("merged_into", flat=True)) == {last.pk}
    assert wrong_sums(workspace) == []


# ── background work ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_merge_queues_its_moving_and_the_tick_makes_up_for_a_lost_task(
    workspace: Workspace,
    bots: tuple[Agent, Agent],
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    queued: list[tuple[Any, ...]] = []
    monkeypatch.setattr("agents.merging.async_task", lambda *task: queued.append(task))
    record(workspace, llm_call(agent="suport-bot"))
    assert sweep() == "nothing due"
    with django_capture_on_commit_callbacks(execute=True):
        made = merge(*bots, by_name="test")
    assert queued == [("agents.tasks.move_merged", made.pk)]

    assert sweep() == "2 rows moved, 1 merge finished"
    assert sweep() == "nothing due"
    assert move_merged(made.pk) == f"merge #{made.pk}: nothing due"


def test_a_sweep_that_has_no_time_goes_on_next_time(workspace: Workspace, bots: tuple[Agent, Agent]) -> None:
    record(workspace, llm_call(agent="suport-bot"), llm_call(agent="suport-bot", started_at=NOON - timedelta(days=1)))
    merge(*bots, by_name="test")
    said = [sweep(seconds=-1) for _ in range(9)]

    assert all(text.endswith("more is left") for text in said)
    assert sweep() == "0 rows moved, 1 merge finished"


def test_a_merge_that_fails_keeps_no_other_from_its_own(
    workspace: Workspace, bots: tuple[Agent, Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = merge(*bots, by_name="test")
    record(workspace, llm_call(agent="suport-bott"))
    fine = merge(Agent.objects.get(slug="suport-bott"), bots[1], by_name="test")

    def fail(merge: AgentMerge) -> Iterator[int]:
        if merge.pk == stuck.pk:
            raise RuntimeError("broken")
        return moving_on(merge)

    moving_on = moving.move
    monkeypatch.setattr(moving, "move", fail)
    assert f"1 merge finished; merge #{stuck.pk} failed" in sweep()
    fine.refresh_from_db()
    assert fine.finished_at is not None


def test_the_command_says_what_would_move_and_then_moves_it(workspace: Workspace, bots: tuple[Agent, Agent]) -> None:
    record(workspace, llm_call(agent="suport-bot"), llm_call(agent="suport-bot", request_model="house-model"))
    out = StringIO()

    call_command("merge_agents", "acme", "suport-bot", "support-bot", stdout=out)
    assert "suport-bot has 2 runs and 2 calls, 0.036 cents and 1 call without a price." in out.getvalue()
    assert AgentMerge.objects.count() == 0
    call_command("merge_agents", "acme", "suport-bot", "support-bot", "--apply", stdout=out)

    assert (
        "Merged suport-bot into support-bot: 2 runs and 2 calls moved, 0.036 cents and 1 call without a price."
        in out.getvalue()
    )
    made = AgentMerge.objects.get()
    assert (made.by_name, made.percent) == ("manage.py merge_agents", 100)
    record(workspace, llm_call(agent="nobodys", request_model="house-model"))
    call_command("merge_agents", "acme", "nobodys", "support-bot", stdout=out)
    assert "nobodys has 1 run and 1 call, without a price." in out.getvalue()
    for names, said in (
        (("nowhere", "a", "b"), "no workspace 'nowhere'"),
        (("acme", "nobody", "support-bot"), "No agent 'nobody' in acme"),
        (("acme", "suport-bot", "support-bot"), "was merged into support-bot already"),
        (("acme", "support-bot", "nobody"), "no agent named 'nobody'"),
    ):
        with pytest.raises(CommandError, match=said):
            call_command("merge_agents", *names, "--apply")


# ── whatever happens beside it ───────────────────────────────────────────────────────────────────────────────────────


def events_of(plan: list[list[wire.Event]]) -> int:
    return sum(len(batch) for batch in plan)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data(), events=stories())
def test_whatever_is_reported_and_wherever_it_is_broken_off_every_sum_agrees(
    data: st.DataObject, events: list[wire.Event]
) -> None:
    """`researcher` is merged into `support-bot` somewhere among the batches, step by step, and begun anew at will."""
    LedgerState.objects.update_or_create(pk=1, defaults={"time_zone": "Europe/Berlin", "retained_from": None})
    place = WorkspaceFactory()
    source, target = (AgentFactory(workspace=place, slug=slug) for slug in ("researcher", "support-bot"))
    plan = data.draw(plans(events))
    begins = data.draw(st.integers(min_value=0, max_value=len(plan)))
    steps: Iterator[int] = iter(())
    begun: AgentMerge | None = None
    for number, batch in enumerate(plan):
        if number == begins:
            begun = merge(source, target, by_name="test")
            steps = move(begun)
        report(place, [batch])
        for _ in islice(steps, data.draw(st.integers(min_value=0, max_value=3))):
            assert not wrong_sums(place)
        if begun is not None and data.draw(st.booleans()):
            steps = move(begun)  # as after a kill: nothing is remembered but what stands in the tables
        assert_adds_up(place)
    finish(begun or merge(source, target, by_name="test"))

    assert_adds_up(place)
    assert not wrong_sums(place)
    for table in (LLMCall, AgentRunLog, ReportedRefusal, UsageDay, UsageMonth, AgentDay, TagDay, TagMonth):
        assert not table._default_manager.filter(agent=source).exists(), table
    for receipt in report(place, plan):
        assert not receipt.accepted, "everything was known"
    assert events_of(plan) == sum(len(receipt.duplicates) for receipt in report(place, plan))


def test_a_change_of_the_time_zone_beside_it_loses_nothing(workspace: Workspace, bots: tuple[Agent, Agent]) -> None:
    late = datetime(2026, 10, 31, 23, 30, tzinfo=UTC)
    record(workspace, *(llm_call(agent="suport-bot", started_at=late) for _ in range(3)))
    steps = move(merge(*bots, by_name="test"))
    next(steps)  # the runs

    for _ in change_time_zone("Europe/Berlin"):
        pass
    for _ in steps:
        pass

    assert [(row.agent.slug, row.day, row.calls) for row in UsageDay.objects.all()] == [
        ("support-bot", date(2026, 11, 1), 3)
    ]
    assert [(row.agent.slug, row.month, row.calls) for row in UsageMonth.objects.all()] == [
        ("support-bot", date(2026, 11, 1), 3)
    ]
    assert wrong_sums(workspace) == []


def test_every_table_that_names_agents_is_thought_of() -> None:
    """A new one fails here: say in a receiver of `merge_settling` what becomes of its rows."""
    stays = {
        "AgentMerge.source", "AgentMerge.target", "Agent.merged_into", "BudgetPolicy.agent", "MonthlyStatement.agent",
    }  # fmt: skip
    moves = {
        "AgentRunLog.agent", "LLMCall.agent", "ReportedRefusal.agent", "UsageDay.agent", "UsageMonth.agent",
        "AgentDay.agent", "TagDay.agent", "TagMonth.agent", "ApiKey.agent", "CostCorrection.agent", "SpendLease.agent",
        "Refusal.agent", "Advice.agent", "RunReview.agent",
    }  # fmt: skip
    made_anew = {f"{table}.agent" for table in ("AgentUsualRun", "AgentMonth", "ReviewedDay", "UsageSlice", "TaskDay")}
    named = {
        f"{model.__name__}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.get_fields()
        if field.is_relation and field.related_model is Agent and not field.auto_created
    }

    assert named == stays | moves | made_anew
