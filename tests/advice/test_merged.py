"""Two agents become one: their runs are reviewed as one's, and what was decided stays."""

from __future__ import annotations

from typing import Any

import pytest

from agents.merging import merge
from agents.models import Agent as AgentRow
from agents.models import AgentMerge, Workspace
from agents.moving import sweep
from agents.write_lock import AlreadyRunningError
from costsite.advice import causes, merged
from costsite.advice.acts import decide
from costsite.advice.models import Advice, AdviceChange, AgentMonth, AgentUsualRun, ReviewedDay, RunReview, UsageSlice
from costsite.advice.nightly import JOB, review
from tests.advice.conftest import FIRST, YESTERDAY, Book
from tests.advice.planted import Agent, Month
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def bots(book: Book, workspace: Workspace) -> tuple[AgentRow, AgentRow]:
    """Both reviewed, each with a dear run."""
    for slug in ("suport-bot", "support-bot"):
        book(Month(Agent(slug), FIRST).events((causes.LOOPS,)))
    review(YESTERDAY)
    return AgentRow.objects.get(slug="suport-bot"), AgentRow.objects.get(slug="support-bot")


def advise(agent: AgentRow, key: str) -> Advice:
    return Advice.objects.create(
        workspace=agent.workspace, agent=agent, kind="cheaper_model", key=key, first_found=YESTERDAY,
        last_found=YESTERDAY,
    )  # fmt: skip


def test_the_next_review_is_of_both_as_one(bots: tuple[AgentRow, AgentRow]) -> None:
    source, target = bots
    runs = {row.agent_id: row.runs for row in ReviewedDay.objects.filter(day=YESTERDAY)}
    marked = RunReview.objects.count()
    assert set(runs) == {source.pk, target.pk}
    assert marked

    merge(source, target, by_name="test")
    sweep()

    assert RunReview.objects.filter(agent=target).count() == marked
    for table in (ReviewedDay, AgentMonth, AgentUsualRun, UsageSlice):
        assert not table._default_manager.filter(agent=source).exists(), table
    review(YESTERDAY)
    again = {row.agent_id: row.runs for row in ReviewedDay.objects.filter(day=YESTERDAY)}
    assert again == {target.pk: sum(runs.values())}


def test_what_was_decided_of_either_stays(bots: tuple[AgentRow, AgentRow]) -> None:
    source, target = bots
    person = UserFactory()
    Advice.objects.all().delete()
    of_both, of_one = advise(source, "gpt-4o"), advise(source, "o3")
    kept = advise(target, "gpt-4o")
    decide(of_both.pk, "dismissed", "needed", person)
    decide(of_one.pk, "snoozed", "later", person)

    merge(source, target, by_name="test")
    sweep()

    assert set(Advice.objects.values_list("agent", "key", "state")) == {
        (target.pk, "gpt-4o", "open"), (target.pk, "o3", "snoozed"),
    }  # fmt: skip
    assert set(AdviceChange.objects.values_list("advice", "reason")) == {(kept.pk, "needed"), (of_one.pk, "later")}


def test_while_a_review_is_at_work_the_merge_waits_for_it(
    bots: tuple[AgentRow, AgentRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(job: str) -> Any:
        assert job == JOB
        raise AlreadyRunningError(f"{job} runs already")

    merge(*bots, by_name="test")
    with monkeypatch.context() as patched:
        patched.setattr(merged, "only_job", held)  # by another process, which a test in memory has none of
        assert "0 merges finished; merge #1 waits: review_runs runs already" in sweep().replace(
            f"#{AgentMerge.objects.get().pk}", "#1"
        )
    assert AgentMerge.objects.get().finished_at is None
    assert ReviewedDay.objects.filter(agent=bots[0]).exists()

    sweep()

    assert AgentMerge.objects.get().finished_at is not None
