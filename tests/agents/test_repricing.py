"""Costs after the fact: what was unpriced gets its price, and every sum moves with it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from agents import ledger, repricing
from agents.models import (
    AgentRunLog,
    CostCorrection,
    LedgerState,
    LLMCall,
    ModelPrice,
    PriceListState,
    TagDay,
    TagMonth,
    UsageDay,
    UsageMonth,
    Workspace,
    WorkspaceDay,
    WorkspaceTagDay,
)
from agents.repricing import Corrected, Selection
from agents.signals import costs_corrected
from tests.agents.conftest import wrong_sums
from tests.factories import llm_call

TODAY = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LAST_MONTH = datetime(2026, 10, 30, 12, 0, tzinfo=UTC)


def price(**facts: Any) -> ModelPrice:
    """2 USD in, 10 USD out per million tokens for llama3.1:8b wherever it runs, since 2020."""
    return ModelPrice.objects.create(
        **{
            "model": "llama3.1:8b",
            "input_per_million": Decimal(2),
            "output_per_million": Decimal(10),
            "effective_from": datetime(2020, 1, 1, tzinfo=UTC),
        }
        | facts
    )


def record(workspace: Workspace, *calls: Any) -> None:
    ledger.record(workspace, list(enumerate(calls)), client=None, received_at=TODAY)


def local_call(at: datetime = TODAY, **facts: Any) -> Any:
    """1,200 tokens in and 300 out of llama3.1:8b on ollama: unpriced."""
    ended_at = at + timedelta(seconds=2)
    return llm_call(
        **{"provider": "ollama", "request_model": "llama3.1:8b", "started_at": at, "ended_at": ended_at} | facts
    )


def apply(selection: Selection | None = None, now: datetime = TODAY) -> repricing.Repriced:
    return repricing.reprice(selection or Selection(), apply=True, reason="test", now=now)


def assert_all_sums_agree(workspace: Workspace) -> None:
    assert wrong_sums(workspace) == []


# 1,200 x 2 USD / 1M = 0.0024 USD, 300 x 10 USD / 1M = 0.003 USD: 0.0054 USD = 540,000 microcents.
COST = 540_000


def test_unpriced_calls_get_their_cost_with_every_sum_that_shows_it(workspace: Workspace) -> None:
    run = uuid4()
    record(workspace, local_call(run_id=run, tags=["prod"]), local_call(run_id=run), llm_call())
    priced_at_once = LLMCall.objects.get(provider="openai").cost_microcents
    price()

    repriced = apply()

    assert repriced.calls == 2
    assert set(LLMCall.objects.filter(provider="ollama").values_list("cost_microcents", "cost_basis")) == {
        (COST, "measured")
    }
    row = AgentRunLog.objects.get(run_id=run)
    assert (row.cost_microcents, row.unpriced_calls, row.calls) == (2 * COST, 0, 2)
    for usage in (UsageDay.objects.get(provider="ollama"), UsageMonth.objects.get(provider="ollama")):
        assert (usage.cost_microcents, usage.unpriced_calls) == (2 * COST, 0)
    for table in (TagDay, TagMonth, WorkspaceTagDay):
        assert table._default_manager.get(tag="prod").cost_microcents == COST, table
    day = WorkspaceDay.objects.get()
    assert (day.cost_microcents, day.unpriced_calls) == (2 * COST + priced_at_once, 0)
    assert_all_sums_agree(workspace)


def test_a_correction_says_what_moved_and_adds_up(workspace: Workspace) -> None:
    record(workspace, local_call(), local_call(agent="other-bot"), local_call(TODAY - timedelta(days=1)))
    row = price()

    repriced = apply()

    corrections = CostCorrection.objects.filter(repricing_id=repriced.repricing_id)
    assert sorted(
        corrections.values_list("day", "agent__slug", "calls", "newly_priced_calls", "cost_after_microcents")
    ) == [
        (date(2026, 11, 19), "support-bot", 1, 1, COST),
        (date(2026, 11, 20), "other-bot", 1, 1, COST),
        (date(2026, 11, 20), "support-bot", 1, 1, COST),
    ]
    assert {correction.cost_before_microcents for correction in corrections} == {0}
    assert set(LLMCall.objects.values_list("price_source", flat=True)) == {f"price #{row.pk}"}


def test_a_correction_knows_which_costs_were_and_which_are_not_known(workspace: Workspace) -> None:
    record(workspace, local_call())
    row = price()
    apply()
    row.delete()
    apply(Selection(priced_too=True))

    gone, found = CostCorrection.objects.order_by("-pk")
    assert (found.cost_before, found.cost_after) == (None, COST)
    assert (gone.cost_before, gone.cost_after, gone.no_longer_priced_calls) == (COST, None, 1)


def test_a_day_larger_than_one_transaction_has_one_correction(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repricing, "CALLS_AT_ONCE", 2)
    monkeypatch.setattr(repricing, "CALLS_PER_PAGE", 3)
    record(workspace, *(local_call() for _ in range(7)))
    price()

    repriced = apply()

    correction = CostCorrection.objects.get()
    assert (repriced.calls, correction.calls, correction.cost_after_microcents) == (7, 7, 7 * COST)
    assert_all_sums_agree(workspace)


def test_repricing_twice_changes_nothing_the_second_time(workspace: Workspace) -> None:
    record(workspace, local_call(), llm_call())
    price()
    apply()
    before = [list(table._default_manager.values()) for table in (UsageDay, UsageMonth)]

    again = apply(Selection(priced_too=True))

    assert again.calls == 0
    assert CostCorrection.objects.count() == 1
    assert [list(table._default_manager.values()) for table in (UsageDay, UsageMonth)] == before


def test_a_dry_run_tells_the_same_difference_and_writes_nothing(workspace: Workspace) -> None:
    record(workspace, local_call(), local_call())
    price()

    said = repricing.reprice(Selection(), apply=False, reason="", now=TODAY)

    change = said.changes[workspace.pk, "ollama", "llama3.1:8b"]
    assert (change.calls, change.newly_priced_calls, change.before, change.after) == (2, 2, 0, 2 * COST)
    assert LLMCall.objects.filter(cost_basis="unpriced").count() == 2
    assert not CostCorrection.objects.exists()
    assert apply().changes == said.changes


def test_priced_calls_are_left_alone_unless_all_are_asked_for(workspace: Workspace) -> None:
    # gpt-4o-mini lists 0.15 and 0.60 USD: 1,200 x 0.15 + 300 x 0.60 = 360 USD / 1M = 36,000 microcents.
    record(workspace, llm_call())
    price(model="gpt-4o-mini", provider="openai")

    assert apply().calls == 0
    repriced = apply(Selection(priced_too=True))

    assert repriced.changes[workspace.pk, "openai", "gpt-4o-mini"].before == 36_000
    assert LLMCall.objects.get().cost_microcents == COST
    assert WorkspaceDay.objects.get().cost_microcents == COST
    assert_all_sums_agree(workspace)


def test_calls_of_models_that_still_have_no_price_are_not_even_read(
    workspace: Workspace, django_assert_num_queries: Any
) -> None:
    record(workspace, *(local_call(request_model=f"local-{number}") for number in range(20)))
    price(model="something-else")
    # The state of the ledger, what is left of closed months, the days, the price book's mark and rows, the day's names.
    with django_assert_num_queries(6):
        assert repricing.reprice(Selection(), apply=False, reason="", now=TODAY).calls == 0


def test_closed_months_are_counted_and_left_alone_until_they_are_asked_for(workspace: Workspace) -> None:
    record(workspace, local_call(LAST_MONTH), local_call())
    price()

    first = apply()
    second = apply(Selection(closed_months=True))

    assert (first.calls, first.calls_of_closed_months) == (1, 1)
    assert (second.calls, second.calls_of_closed_months) == (1, 0)
    assert dict(UsageMonth.objects.values_list("month", "cost_microcents")) == {
        date(2026, 10, 1): COST, date(2026, 11, 1): COST,
    }  # fmt: skip
    assert_all_sums_agree(workspace)
    assert not LLMCall.objects.filter(cost_basis="unpriced").exists()


def test_what_retention_lets_go_of_is_not_repriced_any_more(workspace: Workspace) -> None:
    record(workspace, local_call(LAST_MONTH), local_call())
    LedgerState.objects.update(retained_from=date(2026, 11, 1))
    price()

    repriced = apply(Selection(closed_months=True))

    assert repriced.calls == 1
    assert LLMCall.objects.get(cost_basis="unpriced").day == date(2026, 10, 30)


def test_an_ended_price_goes_and_what_the_library_gave_stays(workspace: Workspace) -> None:
    row = price()
    record(workspace, local_call(), llm_call(request_model="gpt-4o-mini"))
    LLMCall.objects.filter(provider="openai").update(
        request_model="forgotten-by-the-library", price_source="genai-prices 0.1"
    )
    row.effective_to = TODAY - timedelta(days=300)
    row.save()

    repriced = apply(Selection(priced_too=True))

    assert repriced.changes[workspace.pk, "ollama", "llama3.1:8b"].no_longer_priced_calls == 1
    assert dict(LLMCall.objects.values_list("provider", "cost_microcents")) == {"ollama": None, "openai": 36_000}
    assert UsageDay.objects.get(provider="ollama").estimated_cost_cents is None
    assert_all_sums_agree(workspace)


def test_a_cancelled_call_whose_usage_was_reported_is_measured_once_it_has_a_price(workspace: Workspace) -> None:
    record(workspace, local_call(status="cancelled"))
    price()
    apply()

    assert LLMCall.objects.get().cost_basis == "measured"
    assert_all_sums_agree(workspace)


def test_an_estimated_call_stays_estimated_and_its_measured_report_still_replaces_it(workspace: Workspace) -> None:
    call = local_call(usage_basis="estimated", status="cancelled", output_tokens=100)
    record(workspace, call)
    price()
    apply()
    assert LLMCall.objects.get().cost_basis == "estimated"

    record(workspace, local_call(call_id=call.call_id, run_id=call.run_id))

    assert (LLMCall.objects.get().cost_microcents, WorkspaceDay.objects.get().cost_microcents) == (COST, COST)
    assert_all_sums_agree(workspace)


def test_a_call_replaced_between_reading_and_writing_gets_the_cost_of_what_it_is_now(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = local_call(usage_basis="estimated", output_tokens=100)
    record(workspace, call)
    price()
    write = repricing._write

    def replaced_first(*args: Any) -> None:
        record(workspace, local_call(call_id=call.call_id, run_id=call.run_id))
        write(*args)

    monkeypatch.setattr(repricing, "_write", replaced_first)
    apply()

    # Priced as it arrived, by the price that was there by then: nothing is left to correct, nothing is counted twice.
    assert (LLMCall.objects.get().cost_microcents, WorkspaceDay.objects.get().cost_microcents) == (COST, COST)
    assert not CostCorrection.objects.exists()
    assert_all_sums_agree(workspace)


@pytest.fixture
def corrected() -> Iterator[list[Corrected]]:
    heard: list[Corrected] = []

    def listen(sender: object, corrected: Corrected, **kwargs: Any) -> None:
        heard.append(corrected)

    costs_corrected.connect(listen)
    yield heard
    costs_corrected.disconnect(listen)


def test_who_keeps_counters_hears_the_difference_by_agent_day_and_lease(
    workspace: Workspace, corrected: list[Corrected]
) -> None:
    lease = uuid4()
    record(workspace, local_call(lease_id=lease), local_call())
    price()

    apply()

    agent_id = LLMCall.objects.values_list("agent_id", flat=True)[0]
    assert [dict(heard.spent) for heard in corrected] == [{(agent_id, date(2026, 11, 20)): 2 * COST}]
    assert dict(corrected[0].spent_by_lease) == {(lease, agent_id, date(2026, 11, 20)): COST}


def test_a_counter_that_fails_undoes_the_correction(workspace: Workspace) -> None:
    record(workspace, local_call())
    price()

    def fail(sender: object, **kwargs: Any) -> None:
        raise RuntimeError("the counter's disk is full")

    costs_corrected.connect(fail)
    try:
        with pytest.raises(RuntimeError):
            apply()
    finally:
        costs_corrected.disconnect(fail)

    assert LLMCall.objects.get().cost_microcents is None
    assert not CostCorrection.objects.exists()
    assert_all_sums_agree(workspace)


# ── what asks for it ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_sweep_prices_what_was_left_once_and_again_only_after_a_change(workspace: Workspace) -> None:
    now = timezone.now()
    ledger.record(workspace, [(0, local_call(now))], client=None, received_at=now)
    price()

    assert repricing.sweep() == "1 calls repriced"
    assert repricing.sweep() == "nothing due"
    price(model="something-else")
    assert repricing.sweep() == "0 calls repriced"
    PriceListState.objects.update(swept="an older version of the library")
    assert repricing.sweep() == "0 calls repriced"


def test_a_price_of_one_workspace_reprices_no_other(workspace: Workspace) -> None:
    other = Workspace.objects.create(slug="other", name="Other")
    now = timezone.now()
    for one in (workspace, other):
        ledger.record(one, [(0, local_call(now))], client=None, received_at=now)
    row = price(workspace=workspace)

    assert repricing.reprice_unpriced(row.pk) is not None

    assert dict(LLMCall.objects.values_list("workspace__slug", "cost_microcents")) == {"acme": COST, "other": None}
    assert repricing.reprice_unpriced(row.pk + 1) is None


def test_the_unpriced_calls_a_price_is_for_are_counted_by_its_pattern(workspace: Workspace) -> None:
    record(workspace, local_call(), local_call(request_model="llama3.2:1b"), local_call(request_model="qwen3:4b"))
    record(workspace, local_call(), local_call(LAST_MONTH), llm_call())
    unpriced = repricing.unpriced_models(Workspace.objects.all(), now=TODAY)

    assert next(iter(unpriced.items())) == ((workspace.pk, "ollama", "llama3.1:8b"), 2)
    assert len(unpriced) == 3
    assert repricing.calls_it_is_for(ModelPrice(model="llama3*", kind="free"), unpriced) == 3
    assert repricing.calls_it_is_for(ModelPrice(model="llama3*", provider="groq", kind="free"), unpriced) == 0
    assert repricing.calls_it_is_for(ModelPrice(model="*", workspace_id=workspace.pk + 1, kind="free"), unpriced) == 0
    assert repricing.unpriced_models(Workspace.objects.none(), now=TODAY) == {}


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("reprice", *arguments, stdout=out)
    return out.getvalue()


def test_the_command_shows_the_difference_first_and_writes_it_when_told(workspace: Workspace) -> None:
    now = timezone.now()
    ledger.record(workspace, [(0, local_call(now))], client=None, received_at=now)
    price()

    shown = run("--workspace", "acme", "--model", "llama3*")
    assert "acme: ollama/llama3.1:8b" in shown
    assert "+0.005400" in shown
    assert "Add --apply" in shown
    assert LLMCall.objects.get().cost_microcents is None

    assert "Repriced" in run("--apply")
    assert LLMCall.objects.get().cost_microcents == COST
    assert "right cost" in run("--all", "--apply")


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        (["--workspace", "acmee"], "there are: acme"),
        (["--from", "20.11.2026"], "write it as 2026-11-20"),
        (["--from", "2026-11-20", "--to", "2026-11-01"], "swap them"),
    ],
)
def test_the_command_says_what_is_wrong_with_an_option(workspace: Workspace, arguments: list[str], mend: str) -> None:
    with pytest.raises(CommandError, match=mend):
        run(*arguments)


@pytest.mark.django_db(transaction=True)
def test_a_queue_that_cannot_be_reached_takes_no_price_back(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_args: object) -> None:
        raise ConnectionError("no queue")

    monkeypatch.setattr(repricing, "async_task", unreachable)
    record(workspace, local_call())
    with transaction.atomic():
        saved = price()
        repricing.reprice_after_saving(saved)

    assert ModelPrice.objects.get() == saved
    repricing.sweep()
    assert not LLMCall.objects.filter(cost_microcents=None).exists()
