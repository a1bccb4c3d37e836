"""Rebuilding sums from calls: nothing to do on a healthy ledger, and a damaged one is mended."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import date, timedelta
from itertools import chain
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db.models import F

from agents.models import (
    AgentDay,
    AgentRunLog,
    LedgerState,
    LLMCall,
    ModelDay,
    TagDay,
    TagMonth,
    UsageDay,
    UsageMonth,
    Workspace,
    WorkspaceDay,
    WorkspaceTagDay,
)
from agents.rebuild import MENDED_AT_ONCE, differences, differences_of_months, mend
from agents.retention import let_go
from tests.agents.conftest import wrong_sums
from tests.agents.test_ledger_properties import assert_adds_up, report, what_stands
from tests.agents.test_record import refused, run_ended, run_started
from tests.factories import NOON, WorkspaceFactory, llm_call

pytestmark = pytest.mark.django_db


def rebuild(*arguments: str) -> str:
    out = io.StringIO()
    call_command("rebuild_rollups", *arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def busy(workspace: Workspace) -> Workspace:
    """Two days of two agents: tags, estimates, an unpriced call, a cache hit, a refusal, a replaced call. And one of
    the month before.
    """
    LedgerState.objects.create(pk=1, time_zone="Europe/Berlin")
    run_id = uuid4()
    provisional = llm_call(run_id=run_id, usage_basis="estimated", status="cancelled", output_tokens=5)
    report(
        workspace,
        [
            [run_started(run_id), provisional, refused(run_id)],
            [llm_call(call_id=provisional.call_id, run_id=run_id), run_ended(run_id)],
            [
                llm_call(agent="researcher", tags=["eu", "vip"], started_at=NOON + timedelta(hours=11, minutes=30)),
                llm_call(request_model="house-model", tags=["eu"]),
                llm_call(served_from_local_cache=True, is_root=True),
                llm_call(started_at=NOON - timedelta(days=30), tags=["eu"]),
                llm_call(run_id=run_id, status="error", effort="high", started_at=NOON + timedelta(hours=12)),
            ],
        ],
    )
    return workspace


def test_a_healthy_ledger_is_left_as_it_is(busy: Workspace) -> None:
    before = what_stands(busy)
    assert "Every sum agrees" in rebuild("--check")
    assert "Every sum agrees" in rebuild()
    assert what_stands(busy) == before


DAMAGE: dict[str, Callable[[], object]] = {
    "a rollup counts too much": lambda: UsageDay.objects.update(cost_microcents=F("cost_microcents") + 1),
    "an agent's day counts too little": lambda: AgentDay.objects.update(calls=F("calls") - 1),
    "a model's day counts too much": lambda: ModelDay.objects.update(calls=F("calls") + 1),
    "a model's day is under another status": lambda: ModelDay.objects.filter(status="error").update(status="cancelled"),
    "a tag's day counts too much": lambda: WorkspaceTagDay.objects.filter(tag="eu").update(calls=F("calls") + 1),
    "a day without tags counts too little": lambda: WorkspaceTagDay.objects.filter(tag="").update(calls=F("calls") - 1),
    "rollups are gone": lambda: [
        table.objects.all().delete()
        for table in (UsageDay, AgentDay, ModelDay, TagDay, WorkspaceTagDay, WorkspaceDay)
    ],
    "months count too much": lambda: UsageMonth.objects.update(cost_microcents=F("cost_microcents") + 1),
    "a month counts too little": lambda: UsageMonth.objects.filter(month="2026-10-01").update(calls=F("calls") - 1),
    "a tag's month counts too much": lambda: TagMonth.objects.filter(tag="vip").update(calls=F("calls") + 1),
    "a tag's months count too little": lambda: TagMonth.objects.filter(tag="eu").update(calls=F("calls") - 1),
    "months are gone": lambda: [table.objects.all().delete() for table in (UsageMonth, TagMonth)],
    "days and months are gone": lambda: [
        table.objects.all().delete() for table in (UsageDay, UsageMonth, TagDay, TagMonth)
    ],
    "a month of a model that nobody called is there": lambda: UsageMonth.objects.create(
        workspace=Workspace.objects.get(slug="acme"), agent=AgentRunLog.objects.earliest("pk").agent, calls=3,
        month=date(2026, 2, 1), provider="openai", model="never-used", status="ok",  # as no other table has
    ),
    "a month of a tag that nobody used is there": lambda: TagMonth.objects.create(
        workspace=Workspace.objects.get(slug="acme"), agent=AgentRunLog.objects.earliest("pk").agent, calls=3,
        month=date(2027, 12, 1), tag="never-used",
    ),
    "days and months count too much alike": lambda: [
        table.objects.update(input_tokens=F("input_tokens") + 5) for table in (UsageDay, UsageMonth)
    ],
    "days and months count too much, each its own": lambda: [
        table.objects.update(calls=F("calls") + more)
        for table, more in ((UsageDay, 1), (UsageMonth, 4), (TagDay, -1), (TagMonth, 2))
    ],
    "a rollup of nothing is there": lambda: UsageDay.objects.create(
        workspace=Workspace.objects.get(slug="acme"), agent=AgentRunLog.objects.earliest("pk").agent, calls=3,
        day=NOON.date(), provider="openai", model="never-used", status="ok",
    ),
    "a day of an agent that did nothing is there": lambda: AgentDay.objects.create(
        workspace=Workspace.objects.get(slug="acme"), agent=AgentRunLog.objects.earliest("pk").agent, calls=3,
        day=NOON.date() + timedelta(days=8),  # beyond what any other table has
    ),
    "a day of a model that nobody called is there": lambda: ModelDay.objects.create(
        workspace=Workspace.objects.get(slug="acme"), calls=3, provider="openai", model="never-used", status="ok",
        day=NOON.date() + timedelta(days=8),
    ),
    "a day of a tag that nobody used is there": lambda: WorkspaceTagDay.objects.create(
        workspace=Workspace.objects.get(slug="acme"), calls=3, tag="never-used", day=NOON.date() + timedelta(days=8),
    ),
    "runs lost their sums": lambda: AgentRunLog.objects.update(calls=0, input_tokens=9, refused_calls=0),
    "a run is gone": lambda: AgentRunLog.objects.filter(agent__slug="researcher").delete(),
    "calls are gone": lambda: LLMCall.objects.filter(agent__slug="researcher").delete(),
    "runs are counted on no day": lambda: WorkspaceDay.objects.update(runs=0),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_ledger_is_mended(busy: Workspace, damage: Callable[[], object]) -> None:
    damage()
    damaged = what_stands(busy)
    with pytest.raises(CommandError, match="rebuild_rollups"):
        rebuild("--check")
    assert what_stands(busy) == damaged, "--check changes nothing"

    assert "mended" in rebuild()
    assert_adds_up(busy)
    assert "Every sum agrees" in rebuild("--check")


def test_the_difference_is_said_in_words(busy: Workspace) -> None:
    WorkspaceDay.objects.filter(day=NOON.date()).update(runs=F("runs") + 2, input_tokens=F("input_tokens") - 1_500)
    out = io.StringIO()
    with pytest.raises(CommandError, match="1 sums differ"):
        call_command("rebuild_rollups", "--check", stdout=out)
    assert "acme: workspace day 2026-11-20: runs -2, input_tokens +1,500" in out.getvalue()


def test_a_difference_of_a_month_says_which(busy: Workspace) -> None:
    TagMonth.objects.filter(tag="vip").update(calls=3)
    agent_id = TagMonth.objects.get(tag="vip").agent_id
    assert [str(one) for one in differences_of_months(busy)] == [
        f"acme: tag month 2026-11-01 / vip / {agent_id}: calls -2"
    ]


@pytest.mark.parametrize(("day", "month"), [(UsageDay, UsageMonth), (TagDay, TagMonth)])
def test_a_month_that_is_right_stays_while_its_day_is_mended(
    busy: Workspace, day: type[UsageDay | TagDay], month: type[UsageMonth | TagMonth]
) -> None:
    months = list(month._default_manager.order_by("pk").values())
    one = day._default_manager.filter(calls=1).earliest("pk")
    day._default_manager.filter(pk=one.pk).update(calls=8)

    with pytest.raises(CommandError, match=r"^1 sums differ"):
        rebuild("--check")
    assert "1 sums mended" in rebuild()

    assert list(month._default_manager.order_by("pk").values()) == months
    assert_adds_up(busy)


@pytest.mark.parametrize(("day", "month"), [(UsageDay, UsageMonth), (TagDay, TagMonth)])
def test_a_month_that_is_as_wrong_as_its_day_is_found_too(
    busy: Workspace, day: type[UsageDay | TagDay], month: type[UsageMonth | TagMonth]
) -> None:
    one = day._default_manager.filter(calls=1).earliest("pk")
    key = {field.name: getattr(one, field.name) for field in day._meta.concrete_fields if field.name in NAMES}
    day._default_manager.filter(pk=one.pk).update(calls=F("calls") + 7)
    assert month._default_manager.filter(month=one.day.replace(day=1), **key).update(calls=F("calls") + 7) == 1

    with pytest.raises(CommandError, match=r"^2 sums differ"):
        rebuild("--check")
    assert "2 sums mended" in rebuild()
    assert_adds_up(busy)


NAMES = ("workspace", "agent", "provider", "model", "status", "effort", "tag")


def test_more_than_one_transaction_of_days_and_then_of_months_are_mended(busy: Workspace) -> None:
    many = MENDED_AT_ONCE + 20
    report(busy, [[llm_call(request_model=f"model-{number}", tags=[f"tag-{number}"]) for number in range(many)]])
    UsageDay.objects.filter(model__startswith="model-").update(calls=F("calls") + 1)
    UsageMonth.objects.filter(model__startswith="model-").update(calls=F("calls") + 3)
    TagMonth.objects.filter(tag__startswith="tag-").delete()

    assert f"{3 * many} sums mended" in rebuild()

    assert_adds_up(busy)
    assert wrong_sums(busy) == []


def test_another_workspace_is_left_alone(busy: Workspace) -> None:
    other = WorkspaceFactory(slug="globex")
    report(other, [[llm_call()]])
    for table in (UsageDay, UsageMonth):
        table._default_manager.update(calls=9)
    rebuild("--workspace", "globex")
    assert_adds_up(other)
    for table in (UsageDay, UsageMonth):
        assert table._default_manager.filter(workspace=busy).values_list("calls", flat=True)[0] == 9
    with pytest.raises(CommandError, match="create_workspace"):
        rebuild("--workspace", "nobody")


def test_days_whose_calls_were_let_go_keep_their_sums(busy: Workspace) -> None:
    LLMCall.objects.filter(day=NOON.date()).delete()
    kept = what_stands(busy)
    LedgerState.objects.update(retained_from=NOON.date() + timedelta(days=1))
    rebuild()
    stands = what_stands(busy)
    assert [stands[table] for table in SUMS] == [kept[table] for table in SUMS]


SUMS = ("UsageDay", "UsageMonth", "AgentDay", "ModelDay", "TagDay", "TagMonth", "WorkspaceTagDay", "WorkspaceDay")


MONTHS_DAMAGE: dict[str, Callable[[], object]] = {
    "they count too much": lambda: [
        table.objects.update(calls=F("calls") + 2, cost_microcents=F("cost_microcents") + 7)
        for table in (UsageMonth, TagMonth)
    ],
    "they are gone": lambda: [table.objects.all().delete() for table in (UsageMonth, TagMonth)],
}


@pytest.mark.parametrize("damage", MONTHS_DAMAGE.values(), ids=MONTHS_DAMAGE.keys())
@pytest.mark.parametrize("first_kept", [date(2026, 11, 21), date(2027, 6, 1)], ids=["half a month", "all"])
def test_months_are_mended_from_days_whose_calls_are_gone(
    busy: Workspace, damage: Callable[[], object], first_kept: date
) -> None:
    before = what_stands(busy)
    list(let_go(first_kept))
    assert not LLMCall.objects.filter(day__lt=first_kept).exists()
    assert wrong_sums(busy) == []
    damage()
    with pytest.raises(CommandError, match="rebuild_rollups"):
        rebuild("--check")

    assert "mended" in rebuild()

    stands = what_stands(busy)
    assert [stands[table] for table in SUMS] == [before[table] for table in SUMS]
    assert "Every sum agrees" in rebuild("--check")


def test_what_retention_or_a_batch_does_before_a_months_difference_is_posted_leaves_it_right(busy: Workspace) -> None:
    UsageMonth.objects.filter(month="2026-11-01").update(calls=F("calls") + 1)
    TagMonth.objects.filter(tag="vip").delete()
    found = list(differences_of_months(busy))
    report(busy, [[llm_call(agent="researcher", tags=["vip"]), llm_call()]])
    list(let_go(NOON.date() + timedelta(days=1)))

    assert list(mend(iter(found))) == found

    assert wrong_sums(busy) == []
    assert sum(UsageMonth.objects.values_list("calls", flat=True)) == 8
    assert TagMonth.objects.get(tag="vip").calls == 2


@pytest.fixture
def ten_days(workspace: Workspace) -> Workspace:
    """Ten days of calls, the first of them counted wrong."""
    LedgerState.objects.create(pk=1, time_zone="UTC")
    report(workspace, [[llm_call(started_at=NOON - timedelta(days=days), tags=["eu"]) for days in range(10)]])
    WorkspaceDay.objects.filter(day=NOON.date() - timedelta(days=9)).update(calls=7)
    return workspace


def test_what_retention_deletes_while_sums_are_compared_is_not_taken_off_them(ten_days: Workspace) -> None:
    before = what_stands(ten_days)
    found = differences(ten_days)
    first = next(found)  # compared, with nine days still to come
    list(let_go(NOON.date() - timedelta(days=2)))

    mended = list(mend(chain([first], found)))

    assert mended == [], "what is gone cannot be mended any more"
    assert LLMCall.objects.count() == 3
    kept = what_stands(ten_days)
    assert [kept[table] for table in SUMS] == [before[table] for table in SUMS]
    assert "Every sum agrees" in rebuild("--check")


def test_what_retention_deletes_between_a_comparison_and_its_posting_is_not_taken_off_either(
    ten_days: Workspace,
) -> None:
    before = what_stands(ten_days)
    found = list(differences(ten_days))
    assert len(found) == 1
    list(let_go(NOON.date() - timedelta(days=2)))
    assert list(mend(iter(found))) == []
    assert what_stands(ten_days)["WorkspaceDay"] == before["WorkspaceDay"]


def test_a_run_made_anew_has_its_calls_and_its_day(busy: Workspace) -> None:
    lost = AgentRunLog.objects.get(agent__slug="researcher")
    lost_id: UUID = lost.run_id
    lost.delete()
    rebuild()
    again = AgentRunLog.objects.get(run_id=lost_id)
    # 23:30 in London's winter is half past midnight in Berlin.
    assert (again.agent.slug, again.calls, str(again.day)) == ("researcher", 1, "2026-11-21")
