"""Every figure of the pages, equal to a sum over calls that is worked out here.

Two months of calls of several agents, models, states and tags, some without a price, in two workspaces; then each
page's figures and files, against the calls themselves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date, timedelta
from statistics import median_low

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from agents.keys import create_key
from agents.models import Agent, AgentRunLog, LLMCall, Workspace
from tests.analytics.facts import (
    AFTERNOON,
    MONTH,
    THIS_MONTH,
    TODAY,
    Cast,
    Spend,
    day_of,
    exact,
    file_of,
    grouped,
    known,
    text_of,
    within,
)


def test_the_dashboards_month_and_quality_are_of_the_calls(calls: list[LLMCall], as_viewer: Client) -> None:
    context = as_viewer.get("/").context
    month = within(calls, *THIS_MONTH)

    assert context["month"].cost == known(month)
    assert context["month"].calls == len(month)
    assert context["month"].unpriced_calls == sum(call.cost_microcents is None for call in month)
    assert context["month"].estimated_calls == sum(call.usage_basis == "estimated" for call in month)
    assert context["runs"] == AgentRunLog.objects.filter(workspace__slug="acme", started_at__gte=MONTH).count()


@pytest.mark.parametrize(
    ("query", "start", "end", "wanted"),
    [
        ("", *THIS_MONTH, lambda call: True),
        ("range=last-month", date(2026, 10, 1), date(2026, 11, 1), lambda call: True),
        ("range=7-days", date(2026, 11, 18), date(2026, 11, 25), lambda call: True),
        ("range=30-days", date(2026, 10, 26), date(2026, 11, 25), lambda call: True),
        ("from=2026-10-10&to=2026-11-03", date(2026, 10, 10), date(2026, 11, 4), lambda call: True),
        ("to=2026-10-10&from=2026-11-03", date(2026, 10, 10), date(2026, 11, 4), lambda call: True),
        ("status=error", *THIS_MONTH, lambda call: call.status == "error"),
        ("model=acme-1", *THIS_MONTH, lambda call: call.model == "acme-1"),
        ("provider=acme-ai&by=agent", *THIS_MONTH, lambda call: call.provider == "acme-ai"),
        ("provider=nobody", *THIS_MONTH, lambda call: False),
        ("tag=web", *THIS_MONTH, lambda call: "web" in call.tags),
        ("tag=web&by=model&range=30-days", date(2026, 10, 26), date(2026, 11, 25), lambda call: "web" in call.tags),
        ("tag=none", *THIS_MONTH, lambda call: False),
    ],
)
def test_each_range_and_filter_sums_the_calls_it_names(
    calls: list[LLMCall], as_viewer: Client, query: str, start: date, end: date, wanted: Callable[[LLMCall], bool]
) -> None:
    bot = Agent.objects.get(slug="support-bot", workspace__slug="acme").pk
    places: list[tuple[str, Callable[[LLMCall], bool]]] = [
        ("/", lambda call: True),
        ("/workspaces/acme/", lambda call: True),
        (f"/analytics/{bot}/", lambda call: call.agent_id == bot),
    ]
    for page, of_page in places:
        found = file_of(as_viewer, f"{page}?{query}", "spend-per-day")
        by_day = grouped((call for call in within(calls, start, end) if wanted(call) and of_page(call)), day_of)

        assert {row["Day"]: row["cost_cents"] for row in found if row["Day"] in by_day} == {
            day: exact(known(of_day)) for day, of_day in by_day.items()
        }, page
        assert {row["cost_cents"] for row in found if row["Day"] not in by_day} <= {"0"}, page
        assert {row["Day"]: int(row["unpriced_calls"]) for row in found if row["Day"] in by_day} == {
            day: sum(call.cost_microcents is None for call in of_day) for day, of_day in by_day.items()
        }, page
        assert found[0]["Day"] == start.isoformat()
        assert found[-1]["Day"] == min(TODAY, end - timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", lambda call: True),
        ("model=acme-1&by=model", lambda call: call.model == "acme-1"),
        ("tag=web", lambda call: "web" in call.tags),
    ],
)
def test_one_chosen_agent_is_all_that_is_drawn(
    calls: list[LLMCall], as_viewer: Client, query: str, wanted: Callable[[LLMCall], bool]
) -> None:
    bot = Agent.objects.get(slug="support-bot", workspace__slug="acme").pk
    stranger = Agent.objects.filter(workspace__slug="elsewhere")[0].pk
    mine = [call for call in within(calls, *THIS_MONTH) if call.agent_id == bot and wanted(call)]
    for page in ("/", "/workspaces/acme/"):
        by_day = {day: exact(known(of_day)) for day, of_day in grouped(mine, day_of).items()}
        rows = file_of(as_viewer, f"{page}?agent={bot}&{query}", "spend-per-day")
        found = {row["Day"]: row["cost_cents"] for row in rows}
        assert {day: found[day] for day in by_day} == by_day, page
        assert {cost for day, cost in found.items() if day not in by_day} <= {"0"}, page
        # One that its reader may not see is as if it were not named.
        hidden = file_of(as_viewer, f"{page}?agent={stranger}&{query}", "spend-per-day")
        assert hidden == file_of(as_viewer, f"{page}?{query}", "spend-per-day"), page


@pytest.mark.parametrize(
    ("by", "key"),
    [
        ("agent", lambda call: call.agent.slug),
        ("model", lambda call: call.model),
        ("provider", lambda call: call.provider),
        ("workspace", lambda call: "Acme"),
    ],
)
def test_a_split_chart_has_each_part_of_each_day(
    calls: list[LLMCall], as_viewer: Client, by: str, key: Callable[[LLMCall], str]
) -> None:
    rows = {row["Day"]: row for row in file_of(as_viewer, f"/?by={by}", "spend-per-day")}

    for (day, part), of_part in grouped(within(calls, *THIS_MONTH), lambda call: (day_of(call), key(call))).items():
        column = f"{part} (cost_cents)"
        if column in rows[day]:
            assert rows[day][column] == exact(known(of_part)), (day, part)
        else:
            assert not sum(call.cost_microcents or 0 for call in calls if key(call) == part)


def test_the_range_before_is_laid_beside_day_by_day(calls: list[LLMCall], as_viewer: Client) -> None:
    for page in ("/", "/?by=model", "/workspaces/acme/"):
        rows = file_of(as_viewer, f"{page}{'&' if '?' in page else '?'}range=7-days&compare=1", "spend-per-day")
        before = grouped(within(calls, date(2026, 11, 11), date(2026, 11, 18)), lambda call: call.started_at.date())

        assert [row["Before (cost_cents)"] for row in rows] == [
            exact(known(before[date(2026, 11, 11) + timedelta(days=number)])) for number in range(7)
        ], page


def test_hours_sum_the_runs_that_began_in_them(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    for minutes in (1, 30, 61, 200, 1_439, 1_500):
        spend(started_at=AFTERNOON - timedelta(minutes=minutes))
    spend(cast.elsewhere, agent="stranger", started_at=AFTERNOON - timedelta(minutes=2))

    rows = file_of(as_viewer, "/?range=24-hours", "spend-per-day")

    assert len(rows) == 24
    spent = {row["Hour"]: row["cost_cents"] for row in rows if row["cost_cents"] != "0"}
    # 14:59 and 14:30; 13:59; 11:40. What began at 15:01 yesterday is 23 h 59 min old, in an hour before the 24 shown.
    assert spent == {
        "2026-11-24T14:00+00:00": "0.36",
        "2026-11-24T13:00+00:00": "0.18",
        "2026-11-24T11:00+00:00": "0.18",
    }


def test_hours_say_that_they_are_of_whole_runs_where_something_else_was_chosen(
    cast: Cast, spend: Spend, as_viewer: Client
) -> None:
    spend(started_at=AFTERNOON - timedelta(minutes=1))

    chart = as_viewer.get("/?range=24-hours&model=no-such-model").context["chart"]

    assert "whole runs: neither model, provider, status nor tag narrows hours" in chart.measure
    assert sum(bar.column.total for bar in chart.bars) == 180_000


def test_workspaces_agents_and_movers_are_of_the_calls(calls: list[LLMCall], cast: Cast, client: Client) -> None:
    client.force_login(cast.superuser)
    everything = list(LLMCall.objects.select_related("agent", "workspace"))
    by_workspace = grouped(within(everything, *THIS_MONTH), lambda call: call.workspace.name)

    rows = file_of(client, "/", "workspaces")

    assert {row["workspace"]: row["cost_cents"] for row in rows} == {
        name: exact(known(of_one)) for name, of_one in by_workspace.items()
    }
    by_agent = grouped(everything, lambda call: (call.agent.slug, call.workspace_id))
    week, before = (date(2026, 11, 17), date(2026, 11, 24)), (date(2026, 11, 10), date(2026, 11, 17))
    moved = []
    for (slug, _), of_agent in by_agent.items():
        now, then = known(within(of_agent, *week)), known(within(of_agent, *before))
        if now is not None and then is not None and now != then:
            moved.append((slug, exact(then), exact(now)))
    movers = [(row["agent"], row["before_cents"], row["now_cents"]) for row in file_of(client, "/", "movers")]
    assert sorted(movers) == sorted(moved)


def test_a_workspaces_tables_are_of_its_calls(calls: list[LLMCall], as_viewer: Client) -> None:
    month = within(calls, *THIS_MONTH)
    page = "/workspaces/acme/"

    assert {row["agent"]: row["cost_cents"] for row in file_of(as_viewer, page, "agents")} == {
        slug: exact(known(within(of_agent, *THIS_MONTH)))
        for slug, of_agent in grouped(calls, lambda call: call.agent.slug).items()
    }
    assert {row["model"]: row["cost_cents"] for row in file_of(as_viewer, page, "models")} == {
        model: exact(known(of_model)) for model, of_model in grouped(month, lambda call: call.model).items()
    }
    by_tag: dict[str, list[LLMCall]] = defaultdict(list)
    for call in month:
        for tag in call.tags or [""]:
            by_tag[tag].append(call)
    assert {row["tag"]: (row["cost_cents"], int(row["calls"])) for row in file_of(as_viewer, page, "tags")} == {
        tag: (exact(known(of_tag)), len(of_tag)) for tag, of_tag in by_tag.items()
    }


def test_sums_by_tag_are_of_the_chosen_agent_and_say_what_does_not_narrow_them(
    calls: list[LLMCall], as_viewer: Client
) -> None:
    bot = Agent.objects.get(slug="support-bot", workspace__slug="acme").pk
    by_tag: dict[str, list[LLMCall]] = defaultdict(list)
    for call in within(calls, *THIS_MONTH):
        for tag in (call.tags or [""]) if call.agent_id == bot else ():
            by_tag[tag].append(call)
    page = f"/workspaces/acme/?agent={bot}"

    assert {row["tag"]: (row["cost_cents"], int(row["calls"])) for row in file_of(as_viewer, page, "tags")} == {
        tag: (exact(known(of_tag)), len(of_tag)) for tag, of_tag in by_tag.items()
    }
    assert f"agent={bot}&amp;tag=web" in as_viewer.get(page).content.decode()
    assert "whatever the model, provider and status" in text_of(as_viewer, f"{page}&model=acme-1")
    assert "whatever the model" not in text_of(as_viewer, page)
    assert "whatever the tag" in text_of(as_viewer, f"{page}&tag=web")


def test_an_agents_page_is_of_its_calls(calls: list[LLMCall], as_viewer: Client) -> None:
    bot = Agent.objects.get(slug="support-bot", workspace__slug="acme")
    mine = [call for call in calls if call.agent_id == bot.pk]
    month = within(mine, *THIS_MONTH)
    page = reverse("agent", args=[bot.pk])
    context = as_viewer.get(page).context

    assert context["month"].cost == known(month)
    for kind in ("input_tokens", "output_tokens", "cache_read_tokens", "reasoning_tokens", "saved_microcents"):
        assert getattr(context["month"], kind) == sum(getattr(call, kind) for call in month), kind
    lost = [call for call in month if call.status != "ok"]
    assert (context["lost"].cost, context["lost"].calls) == (known(lost), len(lost))
    assert {effort: spend.cost for effort, spend in context["efforts"]} == {
        effort: known(of_one) for effort, of_one in grouped(month, lambda call: call.effort).items()
    }
    so_far, lines = 0, {row["Day"]: row["cost_cents"] for row in file_of(as_viewer, page, "will-it-hold")}
    for number in range(TODAY.day):
        day = MONTH + timedelta(days=number)
        so_far += sum(call.cost_microcents or 0 for call in month if call.started_at.date() == day)
        assert lines[day.isoformat()] == exact(so_far)


def test_a_days_median_and_p95_are_of_its_priced_runs(calls: list[LLMCall], as_viewer: Client) -> None:
    bot = Agent.objects.get(slug="support-bot", workspace__slug="acme")
    by_run = grouped((call for call in calls if call.agent_id == bot.pk), lambda call: call.run_id)
    by_day = defaultdict(list)
    for of_run in by_run.values():
        began = min(call.started_at for call in of_run).date()
        if began >= MONTH and all(call.cost_microcents is not None for call in of_run):
            by_day[began.isoformat()].append(sum(call.cost_microcents or 0 for call in of_run))

    rows = file_of(as_viewer, reverse("agent", args=[bot.pk]), "cost-trend")

    assert {row["Day"]: (row["median_cents"], row["runs"]) for row in rows} == {
        day: (exact(median_low(costs)), str(len(costs))) for day, costs in by_day.items()
    }
    assert all(float(row["p95_cents"]) >= float(row["median_cents"]) for row in rows)


def test_every_file_has_only_what_one_may_see(history: None, cast: Cast, client: Client) -> None:
    spend_of_others = Workspace.objects.get(slug="elsewhere")
    stranger = Agent.objects.filter(workspace=spend_of_others)[0]
    client.force_login(cast.viewer)
    for address in (reverse("agent", args=[stranger.pk]), "/workspaces/elsewhere/"):
        for name in ("spend-per-day", "will-it-hold", "models", "tags", "run-costs"):
            assert client.get(f"{address}?csv={name}").status_code == 404, address
    create_key(spend_of_others, name="of Elsewhere")
    call_command("review_runs", verbosity=0)
    for page, name in (
        ("/", "workspaces"), ("/", "movers"), ("/workspaces/", "workspaces"), ("/analytics/", "agents"),
        ("/keys/", "keys"), ("/optimization/", "advice"), ("/optimization/", "caching"), ("/optimization/", "efforts"),
    ):  # fmt: skip
        hidden = str(file_of(client, page, name))
        assert "lsewhere" not in hidden, page
        client.force_login(cast.superuser)
        assert len(str(file_of(client, page, name))) > len(hidden), page
        client.force_login(cast.viewer)
    whole = file_of(client, "/?workspace=elsewhere", "spend-per-day")
    assert whole == file_of(client, "/", "spend-per-day")  # a workspace one may not see is as if it were not named


def test_more_than_two_months_are_drawn_by_week_and_still_add_up(calls: list[LLMCall], as_viewer: Client) -> None:
    bot = Agent.objects.get(slug="support-bot", workspace__slug="acme").pk
    start, end = date(2026, 8, 27), date(2026, 11, 25)
    for page in ("/?range=90-days", "/?range=90-days&by=model", "/workspaces/acme/?range=90-days&compare=1"):
        stack = as_viewer.get(page).context["chart"]

        assert sum(bar.column.total for bar in stack.bars) == known(within(calls, start, end)), page
        assert stack.head[0] == "Week from"
        assert len(stack.bars) == 14  # 27 Aug is a Thursday: its week's end, then 13 Mondays, the last of 23 Nov
        for bar in stack.bars:
            if bar.column.total:
                listed = as_viewer.get(bar.href).context["run_page"].rows
                assert sum(row.spend.cost_microcents for row in listed) == bar.column.total, bar.href
        by_day = file_of(as_viewer, page, "spend-per-day")
        assert len(by_day) == 90, page
    start = date(2025, 11, 25)
    for page in ("/?from=2025-11-25&to=2026-11-24", "/workspaces/acme/?from=2025-11-25&to=2026-11-24&by=model"):
        stack = as_viewer.get(page).context["chart"]

        assert sum(bar.column.total for bar in stack.bars) == known(within(calls, start, end)), page
        assert (stack.head[0], len(stack.bars)) == ("Month from", 13)
        assert len(file_of(as_viewer, page, "spend-per-day")) == 365, page
    trend = as_viewer.get(f"/analytics/{bot}/?range=90-days").context["trend"]
    for week in trend.days:
        assert len(as_viewer.get(week.href).context["run_page"].rows) >= week.n
    assert sum(week.n for week in trend.days) == as_viewer.get(f"/analytics/{bot}/?range=90-days").context["per_run"].n
