"""Unusual runs are found and named; ordinary ones are left alone."""

from __future__ import annotations

from datetime import timedelta
from random import Random

import pytest
from django.core.management import call_command

from agents.models import Agent as AgentRow
from agents.models import AgentRunLog, LedgerState, LLMCall, UsageDay, Workspace, WorkspaceDay
from agents.retention import let_go
from costsite.advice import causes
from costsite.advice.asking import mark_of
from costsite.advice.models import Advice, AgentMonth, AgentUsualRun, ReviewedDay, ReviewState, RunReview, ScannedDay
from costsite.advice.nightly import review, sweep
from tests.advice.conftest import FIRST, YESTERDAY, Book
from tests.advice.planted import ALL_CAUSES, Agent, Month

pytestmark = [pytest.mark.django_db]


@pytest.mark.parametrize("cause", ALL_CAUSES)
def test_a_planted_run_is_found_and_its_cause_named(book: Book, workspace: Workspace, cause: str) -> None:
    month = Month(Agent(), FIRST)
    book(month.events((cause,)))

    review(YESTERDAY)

    (planted,) = month.planted
    found = RunReview.objects.get(run__run_id=planted)
    assert found.cause == cause, found.causes
    assert found.over_microcents is not None
    assert 0 < (found.causes[0][1] or 0) <= found.over_microcents
    assert found.over_microcents == found.run.cost_microcents - found.usual_microcents


def test_a_quiet_month_raises_nothing(book: Book) -> None:
    agents = (Agent(), Agent("steady", spread=0.05, more_calls=0.0), Agent("wide", spread=0.6, runs_a_day=20))
    for agent in agents:
        book(Month(agent, FIRST).events())

    review(YESTERDAY)

    assert ReviewedDay.objects.count() == 3 * 28
    assert [str(row) for row in Advice.objects.all()] == []
    assert RunReview.objects.count() == 0


def test_an_agent_with_too_few_runs_is_new_and_nothing_of_it_is_unusual(book: Book) -> None:
    month = Month(Agent(runs_a_day=1), FIRST, days=20)
    book(month.events((causes.LOOPS,)))

    review(YESTERDAY)

    usual = AgentUsualRun.objects.get()
    assert (usual.runs, usual.is_new) == (21, True)
    assert not RunReview.objects.exists()


def test_two_kinds_of_runs_are_both_usual_where_the_dear_one_is_common(book: Book) -> None:
    month = Month(Agent(), FIRST)
    events = list(month.events())
    for day in range(28):
        for _ in range(2):
            events += month.talk(month.uuid(FIRST), FIRST + timedelta(days=day, hours=9), 3, 40_000, 100)
    book(events)

    review(YESTERDAY)

    assert not RunReview.objects.exists()


def test_one_is_told_why_the_review_marked_a_run(book: Book) -> None:
    month = Month(Agent(), FIRST)
    book(month.events((causes.VERBOSE_PROMPT,)))
    review(YESTERDAY)
    run = AgentRunLog.objects.get(run_id=next(iter(month.planted)))

    mark = mark_of(run.pk)

    assert mark is not None
    assert mark.over == run.cost_microcents - mark.usual
    assert (mark.tokens, mark.runs) == (run.input_tokens + run.output_tokens, AgentUsualRun.objects.get().runs)
    first = mark.reasons[0]
    assert first.label == "Overly verbose prompt"
    assert first.text.startswith("It began with 90k input tokens; usual are 1.")
    ordinary = AgentRunLog.objects.exclude(pk=run.pk).order_by("cost_microcents")[0]
    assert mark_of(ordinary.pk) is None


def test_a_cause_that_this_release_does_not_know_is_no_error(book: Book) -> None:
    month = Month(Agent(), FIRST)
    book(month.events((causes.LOOPS,)))
    review(YESTERDAY)
    RunReview.objects.update(causes=[["from_another_release", 5, {}]])

    mark = mark_of(RunReview.objects.get().run_id)

    assert mark is not None
    assert [(reason.label, reason.microcents) for reason in mark.reasons] == [("No single cause", 5)]


def test_a_run_without_a_price_is_weighed_by_its_tokens(book: Book, workspace: Workspace) -> None:
    month = Month(Agent(), FIRST)
    calls = [call.model_copy(update={"request_model": "acme-unheard-of"}) for call in month.events((causes.COMPACT,))]
    book(calls)

    review(YESTERDAY)

    found = RunReview.objects.get(run__run_id=next(iter(month.planted)))
    assert (found.cause, found.over_microcents) == (causes.COMPACT, None)
    assert found.causes[0][1] is None
    assert not Advice.objects.exists(), "what has no price has no cents to advise on"


def test_reviewing_again_changes_nothing_and_a_late_call_has_its_day_read_again(book: Book) -> None:
    month = Month(Agent(), FIRST, days=10)
    book(month.events((causes.LOOPS,)))
    days: list[object] = []
    review(YESTERDAY, on_day=lambda _, day, calls: days.append(day))
    before = list(ReviewedDay.objects.order_by("day").values_list("day", "calls", "cost_microcents"))
    again: list[object] = []
    review(YESTERDAY, on_day=lambda _, day, calls: again.append(day))

    book(month.ordinary(FIRST + timedelta(days=3, hours=10)))
    late: list[object] = []
    review(YESTERDAY, on_day=lambda _, day, calls: late.append(day))

    assert (len(days), again, late) == (10, [], [(FIRST + timedelta(days=3)).date()])
    after = list(ReviewedDay.objects.order_by("day").values_list("day", "calls", "cost_microcents"))
    assert [one for one, other in zip(before, after, strict=True) if one != other] == [before[3]]


def test_a_review_that_was_broken_off_goes_on_where_it_was(book: Book) -> None:
    book(Month(Agent(), FIRST, days=6).events())
    looks = iter([False, False, False, True])
    said = review(YESTERDAY, is_over=lambda: next(looks))
    assert said.endswith("more are left")
    assert ScannedDay.objects.count() == 3

    rest: list[object] = []
    review(YESTERDAY, on_day=lambda _, day, calls: rest.append(day))

    assert len(rest) == 3
    assert ReviewState.objects.get().through == YESTERDAY


def test_days_of_another_time_zone_are_read_anew_and_old_sums_are_let_go(book: Book) -> None:
    book(Month(Agent(), FIRST, days=3).events())
    review(YESTERDAY)
    LedgerState.objects.update(time_zone="Asia/Tokyo")

    again: list[object] = []
    review(YESTERDAY, on_day=lambda _, day, calls: again.append(day))

    assert len(again) == 3
    assert ReviewedDay.objects.count() == 3
    review(YESTERDAY + timedelta(days=110))
    assert not ReviewedDay.objects.exists()


def test_a_run_that_the_retention_lets_go_takes_its_mark_with_it(book: Book) -> None:
    month = Month(Agent(), FIRST, days=10)
    book(month.events((causes.LOOPS,)))
    review(YESTERDAY)
    assert RunReview.objects.count() == 1

    assert sum(let_go(YESTERDAY)) > 0

    assert (AgentRunLog.objects.count(), RunReview.objects.count()) == (0, 0)


def test_the_tick_reviews_a_day_once(book: Book) -> None:
    book(Month(Agent(), FIRST, days=3).events())

    assert "calls reviewed" in sweep()
    assert sweep() == "nothing due"


def test_agents_without_a_call_are_no_trouble(book: Book, workspace: Workspace) -> None:
    AgentRow.objects.create(workspace=workspace, slug="idle")
    month = Month(Agent("failing"), FIRST)
    one = Month(Agent("once"), FIRST)
    book(one.talk(one.uuid(FIRST), FIRST, 2, 1_500, 100))
    book(
        month.call(
            month.uuid(FIRST), FIRST, 0, status="error", usage_basis="estimated", input_tokens=0, output_tokens=0
        )
        for _ in range(3)
    )

    review(YESTERDAY)

    # What cost nothing says nothing of what is usual.
    assert set(AgentUsualRun.objects.values_list("agent__slug", "runs")) == {("failing", 0), ("once", 1)}
    months = set(AgentMonth.objects.values_list("agent__slug", "runs", "calls", "cost_microcents"))
    cost = AgentRunLog.objects.get(agent__slug="once").cost_microcents
    assert months == {("failing", 3, 3, 0), ("once", 1, 2, cost)}
    assert not RunReview.objects.exists()
    assert not Advice.objects.exists()


def test_calls_that_come_late_and_in_any_order_are_reviewed_as_those_that_come_in_theirs(
    book: Book, workspace: Workspace
) -> None:
    month = Month(Agent(caches=False), FIRST)
    events = list(month.events((causes.COMPACT, causes.LOOPS)))
    columns = ("day", "runs", "calls", "cost_microcents", "looped_calls", "looped_microcents", "compactable", "growth")

    def reviewed() -> tuple[object, ...]:
        review(YESTERDAY)
        days = list(ReviewedDay.objects.order_by("day").values_list(*columns))
        marks = list(RunReview.objects.order_by("run__run_id").values_list("run__run_id", "cause", "over_microcents"))
        advised = list(Advice.objects.order_by("kind").values_list("kind", "key", "month_microcents", "figures"))
        return days, marks, advised

    book(events)
    in_order = reviewed()
    assert all(in_order), "there is something to compare"
    reviewed_tables = (ReviewedDay, RunReview, Advice, ScannedDay, AgentUsualRun)
    for table in (LLMCall, UsageDay, WorkspaceDay, *reviewed_tables, AgentRunLog):
        table._default_manager.all().delete()
    Random(5).shuffle(events)
    half = len(events) // 2
    book(events[:half])
    review(YESTERDAY)
    book(events[half:])
    book(events[: half // 2])  # and some twice
    AgentUsualRun.objects.all().delete()  # what is usual is found once a night

    assert reviewed() == in_order


def test_the_command_reviews_one_workspace_and_says_what_it_found(
    book: Book, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    book(Month(Agent(), FIRST).events((causes.LOOPS,)))

    call_command("review_runs", workspace="acme")

    said = capsys.readouterr().out
    assert "1 runs are marked as unusually high" in said
    assert not ReviewState.objects.filter(through=YESTERDAY).exists(), "the other workspaces are still to be reviewed"
