"""Advice from a month: each kind is found where it holds, with its cents, and not where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from agents.models import Workspace
from costsite.advice import kinds
from costsite.advice.comparing import Side, buys_nothing_measurable, points_worse, wilson
from costsite.advice.models import Advice, AgentMonth, ModelTier, TaskRow
from costsite.advice.nightly import review
from costsite.advice.tiers import above, more_effort, task_in, tier_of
from costsite.advice.words import of_advice
from langchain_plugin import wire
from tests.advice.conftest import FIRST, YESTERDAY, Book
from tests.advice.planted import DEARER, MODEL, Agent, Month
from tests.advice.test_chains import PRICES

pytestmark = [pytest.mark.django_db]


def one_call_runs(
    count: int, *, failing: int = 0, agent: str = "support-bot", day: int = 3, **changes: Any
) -> Iterator[wire.LLMCall]:
    """Runs of one call each, `failing` of them failed; 1,000 tokens in and 500 out unless said otherwise."""
    month = Month(Agent(agent), FIRST, seed=day * 1_000 + count)
    for index in range(count):
        at = FIRST + timedelta(days=day, hours=8, seconds=index)
        facts: dict[str, Any] = {"input_tokens": 1_000, "output_tokens": 500, "prompt_hash": month.hash()} | changes
        if index < failing:
            facts |= {"status": "error"}
        yield month.call(month.uuid(at), at, 0, is_root=True, **facts)


def advice(kind: str) -> Advice:
    return Advice.objects.get(kind=kind)


def words(row: Advice) -> str:
    return of_advice(row.kind, row.key, row.figures)


def test_where_high_effort_fails_no_less_its_surplus_is_advised_on(book: Book) -> None:
    book(one_call_runs(300, effort="medium", day=3))
    book(one_call_runs(300, effort="high", day=4, output_tokens=2_500, reasoning_tokens=2_000))

    review(YESTERDAY)

    # 1,000 x 100 + 500 x 200 = 200,000 microcents a call at medium; 1,000 x 100 + 2,500 x 200 = 600,000 at high.
    row = advice(kinds.EFFORT)
    assert row.month_microcents == 300 * (600_000 - 200_000)
    assert words(row).endswith("Use medium.")
    assert row.evidence, "runs at the high effort"


def test_effort_that_lowers_failures_or_has_few_calls_is_left_alone(book: Book) -> None:
    book(one_call_runs(300, failing=30, effort="medium", day=3))
    book(one_call_runs(300, effort="high", day=4, output_tokens=2_500))
    book(one_call_runs(150, agent="rare", effort="medium", day=5))
    book(one_call_runs(150, agent="rare", effort="high", day=6, output_tokens=2_500))

    review(YESTERDAY)

    assert not Advice.objects.filter(kind=kinds.EFFORT).exists()


def test_a_cheaper_model_that_fails_no_more_is_advised_for_the_same_tokens(book: Book) -> None:
    book(one_call_runs(250, day=3))
    book(one_call_runs(250, day=4, request_model=DEARER))

    review(YESTERDAY)

    # 2,000,000 microcents a call on the dearer, 200,000 on the other.
    row = advice(kinds.CHEAPER_MODEL)
    assert (row.month_microcents, row.key) == (250 * 1_800_000, DEARER)
    assert f"Use {MODEL}." in words(row)


def test_a_model_above_its_tasks_row_is_advised_against_with_one_of_the_rows_tier(book: Book) -> None:
    ModelTier.objects.create(model=DEARER, tier="top")
    book(one_call_runs(20, day=3, request_model=DEARER, tags=("production", "task:Formatting")))
    book(one_call_runs(20, day=4))

    review(YESTERDAY)

    row = advice(kinds.TASK_MODEL)
    assert row.month_microcents == 20 * 1_800_000
    assert words(row) == (
        "20 calls for “Code formatting” on acme-large (top tier), which needs the small tier. Use acme-1."
    )
    assert len(row.evidence) == 5


def test_effort_above_its_tasks_row_is_advised_against(book: Book) -> None:
    book(
        one_call_runs(20, day=3, effort="high", output_tokens=3_000, reasoning_tokens=2_500, tags=("task:formatting",))
    )

    review(YESTERDAY)

    # Half of 20 x 2,500 tokens of reasoning at 200.
    row = advice(kinds.TASK_EFFORT)
    assert (row.month_microcents, row.confidence) == (5_000_000, Advice.Confidence.LOW)


def test_a_task_longer_than_a_tag_is_met_by_what_the_tag_holds_of_it(book: Book) -> None:
    ModelTier.objects.create(model=DEARER, tier="top")
    TaskRow.objects.create(task="y", name="Sort the mail of " + "customer " * 9, effort="low", tier="small")
    called = f"task:sort-the-mail-of-{'customer-' * 9}"[: wire.MAX_TAG_LENGTH]
    book(one_call_runs(20, day=3, request_model=DEARER, tags=(called,)))
    book(one_call_runs(20, day=4))

    review(YESTERDAY)

    assert "for “Sort the mail of customer" in words(advice(kinds.TASK_MODEL))


@pytest.mark.parametrize("tag", ["task:bug-fix", "task:Bug_Fix", "task:bug fixes", "task:Bug fixes"])
def test_a_task_goes_by_its_rows_key_and_by_its_name(tag: str, book: Book) -> None:
    ModelTier.objects.create(model=DEARER, tier="top")
    ModelTier.objects.create(model=MODEL, tier="mid")
    book(one_call_runs(20, day=3, request_model=DEARER, tags=(tag,)))
    book(one_call_runs(20, day=4))

    review(YESTERDAY)

    assert "for “Bug fixes” on acme-large (top tier), which needs the mid tier." in words(advice(kinds.TASK_MODEL))


def test_a_task_without_a_row_is_no_evidence(book: Book) -> None:
    ModelTier.objects.create(model=DEARER, tier="top")
    book(one_call_runs(20, day=3, request_model=DEARER, effort="high", tags=("task:poetry",)))

    review(YESTERDAY)

    assert not Advice.objects.filter(kind__in=[kinds.TASK_MODEL, kinds.TASK_EFFORT]).exists()


def test_a_conversation_that_grows_is_advised_to_be_compacted_at_the_best_of_the_triggers(book: Book) -> None:
    month = Month(Agent(caches=False), FIRST)
    for day in range(10):
        book(month.talk(month.uuid(FIRST), FIRST + timedelta(days=day, hours=9), 12, 2_000, 5_000))

    review(YESTERDAY)

    row = advice(kinds.COMPACT_AT)
    by_trigger = dict(row.figures["by_trigger"])
    assert row.month_microcents == max(by_trigger.values()) == by_trigger[row.figures["trigger"]]
    assert 0 < row.month_microcents < row.figures["spent"]
    assert [number for number, *_ in AgentMonth.objects.get().growth] == [*range(1, 11), 11]


def test_identical_prompts_of_a_day_are_counted_after_the_first(book: Book) -> None:
    book(one_call_runs(40, day=3, prompt_hash="ab" * 16))
    book(one_call_runs(1, day=4, prompt_hash="ab" * 16))

    review(YESTERDAY)

    row = advice(kinds.REPEATED)
    assert (row.figures["calls"], row.month_microcents) == (39, 39 * 200_000)
    assert len(row.evidence) == 1, "a run that sent it again"


@pytest.mark.parametrize(
    ("days", "sure"),
    [
        ((3,), Advice.Confidence.LOW),  # one day says nothing of a month
        ((3, 4), Advice.Confidence.MEDIUM),
        ((3, 4, 5), Advice.Confidence.HIGH),
    ],
)
def test_advice_is_no_surer_than_the_runs_that_show_it(book: Book, days: tuple[int, ...], sure: str) -> None:
    for day in days:
        book(one_call_runs(40, day=day, prompt_hash="ab" * 16))

    review(YESTERDAY)

    assert (len(advice(kinds.REPEATED).evidence), advice(kinds.REPEATED).confidence) == (len(days), sure)


def test_a_run_after_the_reviewed_days_is_no_evidence_of_them(book: Book) -> None:
    book(one_call_runs(300, effort="medium", day=3))
    book(one_call_runs(300, effort="high", day=4, output_tokens=2_500, reasoning_tokens=2_000))
    book(one_call_runs(9, effort="high", day=28, output_tokens=2_500, reasoning_tokens=2_000))  # of today

    review(YESTERDAY)

    assert {at[:10] for _, at in advice(kinds.EFFORT).evidence} == {"2026-11-05"}


def test_caches_that_are_written_and_not_read_cost_and_unreported_ones_are_not_zero(book: Book) -> None:
    cached = {"provider": "anthropic", "request_model": "claude-haiku-4-5"}
    book(one_call_runs(30, agent="writer", day=3, input_tokens=20_000, cache_write_5m_tokens=19_000, **cached))
    book(one_call_runs(30, agent="silent", day=3, **cached))

    review(YESTERDAY)

    months = {month.agent.slug: month for month in AgentMonth.objects.select_related("agent")}
    # Written at 1.25 USD in place of 1: 30 x 19,000 x 25 microcents.
    assert months["writer"].cache_saved_microcents == -30 * 19_000 * 25
    assert advice(kinds.CACHE_LOSS).month_microcents == 30 * 19_000 * 25
    assert (months["writer"].cache_reported, months["silent"].cache_reported) == (True, False)


def test_what_is_no_longer_found_is_gone_and_what_was_decided_stays(book: Book, workspace: Workspace) -> None:
    book(one_call_runs(40, day=3, prompt_hash="ab" * 16))
    review(YESTERDAY)
    row = advice(kinds.REPEATED)
    Advice.objects.filter(pk=row.pk).update(state=Advice.State.DONE, reason="cached")

    review(YESTERDAY + timedelta(days=40))

    row.refresh_from_db()
    assert (row.last_found, row.state, row.reason) == (YESTERDAY, "done", "cached")


# ── the arithmetic ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_wilsons_interval_is_the_published_one() -> None:
    low, high = wilson(10, 100)

    # As in Brown, Cai and DasGupta 2001, by hand: centre 0.1148, half-width 0.0596.
    assert (round(low, 3), round(high, 3)) == (0.055, 0.174)
    assert wilson(0, 0) == (0.0, 1.0)


def test_few_calls_or_more_failures_are_no_proof() -> None:
    dear = Side(1_000, 10, 1_000_000)

    assert buys_nothing_measurable(Side(1_000, 10, 100_000), dear)
    assert not buys_nothing_measurable(Side(1_000, 50, 100_000), dear)
    assert not buys_nothing_measurable(Side(100, 1, 10_000), dear)
    assert not buys_nothing_measurable(Side(1_000, 10, 2_000_000), dear), "it is not cheaper"
    assert points_worse(Side(1_000, 10, 1), dear) < 1


def test_a_tier_is_what_people_say_else_what_the_price_says() -> None:
    entered = {"acme-*": "small", "acme-large*": "top"}

    assert tier_of("Acme-Large-2", PRICES, entered) == "top"
    assert tier_of("acme-1", None, entered) == "small"
    assert tier_of("other", PRICES, entered) == "small"
    assert tier_of("other", PRICES.model_copy(update={"output": 1_500_000_000}), {}) == "mid"
    assert tier_of("other", PRICES.model_copy(update={"output": 2_500_000_000}), {}) == "top"
    assert tier_of("other", None, {}) is None
    assert above("top", "mid")
    assert not above(None, "small")


def test_efforts_and_tasks_are_read_as_people_write_them() -> None:
    assert more_effort("High", "medium")
    assert not more_effort("medium", "medium")
    assert not more_effort("8192", "low"), "a budget of tokens is no level"
    assert task_in(["production", "Task:Code_formatting"]) == task_in(["task:code-formatting"]) == "code formatting"
    assert task_in(["t" * 200, "task:" + "x" * 200]) == "x" * 59
    assert task_in([]) == ""
