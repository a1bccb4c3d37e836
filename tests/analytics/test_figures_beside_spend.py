"""Budgets, prices, runs, the forecast, caches, efforts and what may be saved: each figure, equal to a sum over calls
that is worked out here. `test_every_figure.py` does the same for spend.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from agents.models import Agent, AgentRunLog, LLMCall, ModelPrice
from agents.models import Client as Process
from budgets.models import BudgetPolicy
from budgets.policies import By, set_budget
from costsite.analytics.forecast import forecast_month
from costsite.analytics.periods import Days
from tests.analytics.facts import (
    AFTERNOON,
    MONTH,
    THIS_MONTH,
    TODAY,
    Cast,
    Spend,
    exact,
    file_of,
    grouped,
    known,
    within,
)

REVIEWED = (TODAY - timedelta(days=30), TODAY)
"""30 days, through yesterday."""


def bot() -> Agent:
    return Agent.objects.get(slug="support-bot", workspace__slug="acme")


# ── budgets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_budgets_spent_left_and_share_are_of_its_calls_this_month(
    history: None, cast: Cast, spend: Spend, client: Client
) -> None:
    wholes: list[tuple[Any, int, Callable[[LLMCall], bool]]] = [
        (bot(), 60, lambda call: call.agent_id == bot().pk),
        (cast.acme, 500, lambda call: call.workspace_id == cast.acme.pk),
        (None, 1_000, lambda call: True),
    ]
    for of, limit, _ in wholes:
        set_budget(of, by=By(command="test"), limit_cents=limit)
    # What comes after the budget was set, of this month and of the last one, late.
    spend(agent="support-bot", input_tokens=70_000, started_at=AFTERNOON - timedelta(minutes=1))
    spend(agent="support-bot", input_tokens=80_000, started_at=AFTERNOON - timedelta(days=31))
    client.force_login(cast.superuser)
    rows = {row["Scope"]: row for row in file_of(client, reverse("budgets-csv"), "all")}
    month = within(LLMCall.objects.all(), *THIS_MONTH)

    for scope, (of, limit, wanted) in zip(("Per-agent", "Per-workspace", "Global"), wholes, strict=True):
        spent = known(call for call in month if wanted(call)) or 0
        assert spent > 0
        row = rows[scope]
        assert row["Spent (cents)"] == exact(spent), scope
        assert row["Limit (cents)"] == f"{limit}"
        left = limit * 1_000_000 - spent
        assert row["Left (cents)"] == (exact(left) if left >= 0 else f"-{exact(-left)}"), scope
        policy = BudgetPolicy.objects.get(agent=of if of == bot() else None, workspace=of and cast.acme)
        page = reverse("budget", args=[policy.pk])
        standing = client.get(page).context["standing"]
        assert (standing.spent, standing.left) == (spent, left), scope
        so_far = 0
        for line in file_of(client, page, "will-it-hold")[: TODAY.day]:
            so_far += sum(
                call.cost_microcents or 0
                for call in month
                if wanted(call) and call.started_at.date().isoformat() == line["Day"]
            )
            assert line["cost_cents"] == exact(so_far), (scope, line["Day"])


# ── prices ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_models_calls_and_cost_are_of_the_month(calls: list[LLMCall], as_viewer: Client) -> None:
    month = within(calls, *THIS_MONTH)
    rows = file_of(as_viewer, reverse("prices-csv"), "all")

    assert {
        (row["Provider"], row["Model"]): (
            int(row["Calls this month"]),
            int(row["Unpriced calls this month"]),
            row["Estimated cost this month (cents)"],
            row["Last called"],
        )
        for row in rows
    } == {
        of: (
            len(of_model),
            sum(call.cost_microcents is None for call in of_model),
            exact(known(of_model)),
            max(call.started_at for call in of_model).date().isoformat(),
        )
        for of, of_model in grouped(month, lambda call: (call.provider, call.model)).items()
    }
    price = ModelPrice.objects.get()
    (priced,) = [row for row in rows if row["Model"] == price.model]
    assert Decimal(priced["Input (USD per million)"]) == price.input_per_million
    assert Decimal(priced["Cache read (USD per million)"]) == price.cache_read_per_million
    waiting = as_viewer.get(reverse("prices")).context["waiting_calls"]
    assert waiting == sum(call.cost_microcents is None for call in month) > 0


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_run_of_the_logs_is_the_sum_of_its_calls(calls: list[LLMCall], as_viewer: Client) -> None:
    rows = file_of(as_viewer, reverse("runs-csv"), "all")

    assert {
        row["Run"]: tuple(
            row[name]
            for name in ("Calls", "Unpriced calls", "Estimated calls", "Input tokens", "Output tokens",
                         "Estimated cost (cents)")
        )
        for row in rows
    } == {
        str(run_id): (
            f"{len(of_run)}",
            f"{sum(call.cost_microcents is None for call in of_run)}",
            f"{sum(call.usage_basis == 'estimated' for call in of_run)}",
            f"{sum(call.input_tokens for call in of_run)}",
            f"{sum(call.output_tokens for call in of_run)}",
            exact(known(of_run)),
        )
        for run_id, of_run in grouped(calls, lambda call: call.run_id).items()
    }  # fmt: skip


def test_a_runs_page_is_of_its_calls_one_by_one_and_by_kind(calls: list[LLMCall], as_viewer: Client) -> None:
    by_run = grouped(calls, lambda call: call.run_id)
    for run in AgentRunLog.objects.filter(workspace__slug="acme")[:20]:
        mine = sorted(by_run[run.run_id], key=lambda call: call.started_at)
        page = reverse("run", args=[run.pk])

        assert [
            (row["model"], row["input_tokens"], row["output_tokens"], row["cost_cents"])
            for row in file_of(as_viewer, page, "calls")
        ] == [
            (call.model, f"{call.input_tokens}", f"{call.output_tokens}", exact(call.cost_microcents)) for call in mine
        ]
        context = as_viewer.get(page).context
        assert context["run"].spend.saved_microcents == sum(call.saved_microcents for call in mine)
        # At 1 USD per million tokens in, a tenth of that read, and 2 USD out: 100, 10 and 200 microcents a token.
        priced = [call for call in mine if call.cost_microcents is not None]
        kinds = {row["kind"]: row["cost_cents"] for row in file_of(as_viewer, page, "cost-by-kind")}
        assert kinds["Input, cache read"] == by_hand(priced, lambda call: 10 * call.cache_read_tokens)
        assert kinds["Input, fresh"] == by_hand(priced, lambda call: 100 * (call.input_tokens - call.cache_read_tokens))
        assert kinds["Output, visible"] == by_hand(
            priced, lambda call: 200 * (call.output_tokens - call.reasoning_tokens)
        )
        assert kinds["Output, reasoning"] == by_hand(priced, lambda call: 200 * call.reasoning_tokens)


def by_hand(priced: list[LLMCall], each: Callable[[LLMCall], int]) -> str:
    """Empty where no call has a price."""
    return exact(sum(map(each, priced)) if priced else None)


def test_steps_and_the_strip_above_the_logs_are_of_the_calls(calls: list[LLMCall], as_viewer: Client) -> None:
    mine = [call for call in calls if call.agent_id == bot().pk]
    began = {run_id: min(call.started_at for call in of_run) for run_id, of_run in by_run_of(mine).items()}
    month = [call for call in mine if began[call.run_id].date() >= MONTH]

    steps = file_of(as_viewer, reverse("agent", args=[bot().pk]), "steps")
    assert {row["step"]: (row["cost_cents"], int(row["calls"])) for row in steps} == {
        step: (exact(known(of_step)), len(of_step)) for step, of_step in grouped(month, lambda call: call.step).items()
    }
    strip = file_of(as_viewer, f"{reverse('runs')}?agent={bot().pk}", "activity")
    by_day = grouped(within(mine, date(2026, 10, 26), TODAY + timedelta(days=1)), lambda call: call.started_at.date())
    assert {row["Day"]: row["cost_cents"] for row in strip if row["cost_cents"] not in ("0",)} == {
        day.isoformat(): exact(known(of_day)) for day, of_day in by_day.items()
    }


def by_run_of(calls: list[LLMCall]) -> dict[Any, list[LLMCall]]:
    return grouped(calls, lambda call: call.run_id)


# ── the month: agents, forecast, tokens, quality ─────────────────────────────────────────────────────────────────────


def test_the_list_of_agents_has_each_ones_month_and_runs(calls: list[LLMCall], as_viewer: Client) -> None:
    rows = file_of(as_viewer, reverse("analytics"), "agents")
    began: dict[str, int] = defaultdict(int)
    for of_run in by_run_of(calls).values():
        began[of_run[0].agent.slug] += min(call.started_at for call in of_run).date() >= MONTH

    assert {row["slug"]: (row["cost_cents"], row["unpriced_calls"], row["runs"]) for row in rows} == {
        slug: (
            exact(known(within(of_agent, *THIS_MONTH))),
            f"{sum(call.cost_microcents is None for call in within(of_agent, *THIS_MONTH))}",
            f"{began[slug]}",
        )
        for slug, of_agent in grouped(calls, lambda call: call.agent.slug).items()
    }


def test_the_forecast_is_drawn_from_what_the_calls_cost_each_day(calls: list[LLMCall], as_viewer: Client) -> None:
    def expected(of: list[LLMCall]) -> Any:
        spent = {
            day: sum(call.cost_microcents or 0 for call in of_day)
            for day, of_day in grouped(of, lambda call: call.started_at.date()).items()
        }
        return forecast_month(spent, TODAY, Days(MONTH, date(2026, 12, 1)))

    whole = expected(calls)
    assert as_viewer.get("/").context["forecast"] == whole
    assert whole.end.low < whole.end.high
    of_bot = expected([call for call in calls if call.agent_id == bot().pk])
    for page, forecast in (("/workspaces/acme/", whole), (reverse("agent", args=[bot().pk]), of_bot)):
        lines = {row["Day"]: row for row in file_of(as_viewer, page, "will-it-hold")}
        for one in forecast.days:
            line = lines[one.day.isoformat()]
            assert [line["p10_cents"], line["median_cents"], line["p90_cents"]] == [
                exact(one.low), exact(one.median), exact(one.high)
            ]  # fmt: skip


def test_tokens_by_kind_and_efforts_are_of_the_months_calls(calls: list[LLMCall], as_viewer: Client) -> None:
    for page, of in (
        ("/workspaces/acme/", calls),
        (reverse("agent", args=[bot().pk]), [call for call in calls if call.agent_id == bot().pk]),
    ):
        month = within(of, *THIS_MONTH)
        read = sum(call.cache_read_tokens for call in month)
        reasoning = sum(call.reasoning_tokens for call in month)
        assert {row["kind"]: int(row["tokens"]) for row in file_of(as_viewer, page, "token-usage")} == {
            "Input, fresh": sum(call.input_tokens for call in month) - read,
            "Input, cache read": read,
            "Input, cache written": 0,
            "Output, visible": sum(call.output_tokens for call in month) - reasoning,
            "Output, reasoning": reasoning,
        }
        # Each token that was read cost a tenth of the input price.
        saved = sum(90 * call.cache_read_tokens for call in month if call.cost_microcents is not None)
        assert as_viewer.get(page).context["month"].saved_microcents == saved > 0
    efforts = file_of(as_viewer, reverse("agent", args=[bot().pk]), "efforts")
    assert {row["effort"]: (row["cost_cents"], row["unpriced_calls"], row["calls"]) for row in efforts} == {
        effort: (
            exact(known(of_one)), f"{sum(call.cost_microcents is None for call in of_one)}", f"{len(of_one)}"
        )
        for effort, of_one in grouped(month, lambda call: call.effort).items()
    }  # fmt: skip


def test_the_quality_strip_is_of_the_calls_and_of_what_processes_report(
    calls: list[LLMCall], cast: Cast, as_viewer: Client
) -> None:
    for number, (waiting, dropped) in enumerate([(3, {}), (4, {"full": 2, "damaged": 5})]):
        Process.objects.create(
            workspace=cast.acme, client_id=f"00000000-0000-7000-8000-00000000000{number}", host="h",
            first_seen_at=AFTERNOON, last_seen_at=AFTERNOON, spool_events=waiting, dropped=dropped,
        )  # fmt: skip
    month = within(calls, *THIS_MONTH)

    context = as_viewer.get("/").context

    assert context["month"].priced_calls == sum(call.cost_microcents is not None for call in month)
    assert context["month"].reported_calls == sum(call.usage_basis == "measured" for call in month)
    assert (context["clients"].waiting_events, context["clients"].dropped_events) == (7, 7)


# ── cost optimization ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def reviewed(calls: list[LLMCall]) -> list[LLMCall]:
    call_command("review_runs", verbosity=0)
    return within(calls, *REVIEWED)


def test_efforts_of_the_last_30_days_are_of_the_calls(reviewed: list[LLMCall], as_viewer: Client) -> None:
    found = file_of(as_viewer, reverse("optimization"), "efforts")

    assert {
        (row["agent"], row["model"], row["effort"]): (
            row["calls"], row["cost_cents"], row["output_tokens"], row["reasoning_tokens"], row["failed_calls"],
        )
        for row in found
    } == {
        of: (
            f"{len(used)}",
            exact(known(used)),
            f"{sum(call.output_tokens for call in used)}",
            f"{sum(call.reasoning_tokens for call in used)}",
            f"{sum(call.status != 'ok' for call in used)}",
        )
        for of, used in grouped(reviewed, lambda call: (call.agent.slug, call.model, call.effort)).items()
        if of[2]
    }  # fmt: skip
    for row in found:
        if row["cost_cents"]:
            used = [
                call for call in reviewed
                if (call.agent.slug, call.model, call.effort) == (row["agent"], row["model"], row["effort"])
            ]  # fmt: skip
            priced = [call for call in used if call.cost_microcents is not None]
            assert row["cost_cents_a_call"] == exact((known(used) or 0) // len(priced))


def test_what_caches_saved_in_30_days_is_of_the_calls(reviewed: list[LLMCall], as_viewer: Client) -> None:
    rows = file_of(as_viewer, reverse("optimization"), "caching")

    assert {row["agent"]: (row["input_tokens"], row["cache_read_tokens"], row["net_saved_cents"]) for row in rows} == {
        slug: (
            f"{sum(call.input_tokens for call in used)}",
            f"{sum(call.cache_read_tokens for call in used)}",
            exact(sum(90 * call.cache_read_tokens for call in used if call.cost_microcents is not None)),
        )
        for slug, used in grouped(reviewed, lambda call: call.agent.slug).items()
    }


def test_what_could_be_saved_is_the_sum_of_what_is_advised(reviewed: list[LLMCall], as_viewer: Client) -> None:
    context = as_viewer.get(reverse("optimization")).context
    rows = file_of(as_viewer, reverse("optimization"), "advice")

    assert len(rows) > 0
    assert exact(context["total"]) == exact(sum(round(float(row["cents_a_month"]) * 1_000_000) for row in rows))
    # No advice promises more than the agent spent.
    spent = {slug: known(used) or 0 for slug, used in grouped(reviewed, lambda call: call.agent.slug).items()}
    for row in rows:
        assert 0 < float(row["cents_a_month"]) * 1_000_000 <= spent[row["agent"]], row
