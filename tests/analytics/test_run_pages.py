"""Run logs, and one run with its calls."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.http import StreamingHttpResponse
from django.test import Client
from django.urls import reverse

from agents.models import Agent, AgentRunLog
from costsite.analytics.queries.runs import Cursor
from costsite.analytics.templatetags.figures import duration
from tests.analytics.facts import UNPRICED, Cast, Spend, text_of
from tests.factories import NOON, MembershipFactory, WorkspaceFactory


def run_page(client: Client, run_id: object) -> str:
    return text_of(client, "run", AgentRunLog.objects.get(run_id=run_id).pk)


def test_a_run_shows_its_calls_in_order_with_a_running_sum(spend: Spend, as_viewer: Client) -> None:
    run_id = uuid4()
    for index, step in enumerate(["plan", "act", "answer"]):
        spend(run_id=run_id, step=step, started_at=NOON + timedelta(seconds=index), call_index=index)

    html = run_page(as_viewer, run_id)

    assert "Estimated cost 0.5400¢" in html
    assert re.search(
        r"1\. plan .* 0\.1800¢ .* 2\. act .* 0\.1800¢ .* 0\.3600¢ .* 3\. answer .* 0\.1800¢ .* 0\.5400¢", html
    )
    assert re.search(r"Total 3,600 900 0\.5400¢", html)


def test_the_kinds_of_tokens_of_a_call_are_named(spend: Spend, as_viewer: Client) -> None:
    call = spend(input_tokens=9_000, cache_read_tokens=8_000, cache_write_1h_tokens=500, reasoning_tokens=120)

    html = run_page(as_viewer, call.run_id)

    assert "9,000 8.00k read, 500 written" in html
    assert "300 120 reasoning" in html


def test_a_call_without_a_price_is_unpriced_and_the_sum_says_so(spend: Spend, as_viewer: Client) -> None:
    run_id = uuid4()
    spend(run_id=run_id)
    spend(run_id=run_id, started_at=NOON + timedelta(seconds=1), **UNPRICED)

    html = run_page(as_viewer, run_id)

    assert "Estimated cost 0.1800¢ + 1 unpriced call" in html
    assert "acme-unheard-of-9 acme-ai 1,200 300 unpriced" in html


def test_a_running_sum_says_what_it_does_not_know(spend: Spend, as_viewer: Client) -> None:
    run_id = uuid4()
    for index, facts in enumerate([UNPRICED, {}, UNPRICED]):
        spend(run_id=run_id, started_at=NOON + timedelta(seconds=index), **facts)

    address = reverse("run", args=[AgentRunLog.objects.get().pk])
    running = [line.running for line in as_viewer.get(address).context["lines"]]
    later = as_viewer.get(f"{address}?from=2").context["lines"]

    assert [(spent.cost, spent.unpriced_calls) for spent in running] == [(None, 1), (180_000, 1), (180_000, 2)]
    assert [line.running.cost for line in later] == [180_000]
    assert "unpriced 1 unpriced call 0 s" in text_of(as_viewer, address)
    assert "0.1800¢ + 1 unpriced call" in text_of(as_viewer, address)


def test_a_run_without_a_price_has_no_running_sum_of_nothing(spend: Spend, as_viewer: Client) -> None:
    html = run_page(as_viewer, spend(**UNPRICED).run_id)

    assert "$0.00" not in html
    assert "0¢" not in html


def test_estimated_and_provisional_calls_are_marked(spend: Spend, as_viewer: Client) -> None:
    call = spend(usage_basis="estimated", status="cancelled")

    html = run_page(as_viewer, call.run_id)

    assert "estimated provisional" in html
    assert "Cancelled" in html


def test_that_usage_was_estimated_is_said_of_a_call_without_a_price_too(spend: Spend, as_viewer: Client) -> None:
    call = spend(usage_basis="estimated", **UNPRICED)

    html = run_page(as_viewer, call.run_id)

    assert "20 Nov 12:00 OK estimated" in html
    assert "unpriced estimated provisional" in html
    assert "Estimated: the provider reported no usage" in html
    assert "OK estimated" in text_of(as_viewer, "runs")


def test_a_run_is_compared_with_the_median_of_its_agent(spend: Spend, as_viewer: Client) -> None:
    for _ in range(4):
        spend()
    dear = spend(input_tokens=2_400, output_tokens=600)

    assert "2.0 × the median of 0.1800¢, n 5" in run_page(as_viewer, dear.run_id)


def test_one_walks_from_a_run_to_the_agents_next(spend: Spend, as_viewer: Client) -> None:
    calls = [spend(started_at=NOON + timedelta(minutes=minute)) for minute in range(3)]
    spend(agent="other", started_at=NOON + timedelta(minutes=1, seconds=30))
    first, middle, last = (AgentRunLog.objects.get(run_id=call.run_id).pk for call in calls)

    context = as_viewer.get(reverse("run", args=[middle])).context

    assert (context["newer"], context["older"]) == (last, first)


@pytest.mark.parametrize(("seconds", "written"), [(0, "0 s"), (0.04, "<0.1 s"), (0.05, "0.1 s"), (9.94, "9.9 s")])
def test_a_short_time_is_not_shown_as_none(seconds: float, written: str) -> None:
    assert duration(timedelta(seconds=seconds)) == written


def test_context_is_drawn_call_by_call(spend: Spend, as_viewer: Client) -> None:
    run_id = uuid4()
    for index, size in enumerate([1_000, 5_000, 40_000]):
        spend(run_id=run_id, input_tokens=size, started_at=NOON + timedelta(seconds=index))

    assert "Context grew from 1.00k to 40.0k tokens" in run_page(as_viewer, run_id)


def test_a_run_of_many_calls_is_paged_and_its_running_sum_goes_on(spend: Spend, as_viewer: Client) -> None:
    run_id = uuid4()
    for index in range(203):
        spend(run_id=run_id, started_at=NOON + timedelta(seconds=index))
    address = reverse("run", args=[AgentRunLog.objects.get().pk])

    first, second = as_viewer.get(address).context, as_viewer.get(f"{address}?from=200").context

    assert (len(first["lines"]), first["next"]) == (50, 50)
    # The context is drawn of 200 calls, each leading to the page that lists it.
    assert [len(page["context"].bars) for page in (first, second)] == [200, 3]
    hrefs = [bar.href for bar in first["context"].bars]
    assert (hrefs[0], hrefs[49], hrefs[50], hrefs[199]) == (
        "#call-1",
        "#call-50",
        "?from=50#call-51",
        "?from=150#call-200",
    )
    middle = as_viewer.get(f"{address}?from=150")
    assert "Calls 151 to 200 of 203" in middle.content.decode()
    assert [line.number for line in middle.context["lines"]] == list(range(151, 201))
    assert (middle.context["previous"], middle.context["next"]) == (100, 200)
    assert [(line.number, line.running.cost) for line in second["lines"]] == [
        (201, 201 * 180_000),
        (202, 202 * 180_000),
        (203, 203 * 180_000),
    ]
    assert second["next"] is None


def test_a_nested_run_leads_to_the_run_it_was_part_of(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    outer, inner = spend(), spend()
    AgentRunLog.objects.filter(run_id=inner.run_id).update(parent_run_id=outer.run_id)

    response = as_viewer.get(reverse("run", args=[AgentRunLog.objects.get(run_id=inner.run_id).pk]))

    assert response.context["parent"] == AgentRunLog.objects.get(run_id=outer.run_id).pk


def test_run_logs_are_newest_first_across_all_workspaces_one_may_see(cast: Cast, spend: Spend, client: Client) -> None:
    second = WorkspaceFactory(slug="second")
    MembershipFactory(user=cast.viewer, workspace=second)
    for minute in range(120):
        spend((cast.acme, second, cast.elsewhere)[minute % 3], started_at=NOON + timedelta(minutes=minute))

    for person, minutes in ((cast.viewer, [m for m in range(120) if m % 3 != 2]), (cast.superuser, list(range(120)))):
        client.force_login(person)
        found, address = [], reverse("runs")
        while address:
            page = client.get(address).context["run_page"]
            found += [(row.started_at - NOON).seconds // 60 for row in page.rows]
            address = f"{reverse('runs')}?before={page.older}" if page.older else ""

        assert found == minutes[::-1]


def test_runs_that_began_at_the_same_moment_are_paged_once_each(spend: Spend, as_viewer: Client) -> None:
    for _ in range(70):
        spend()

    first = as_viewer.get(reverse("runs")).context["run_page"]
    second = as_viewer.get(f"{reverse('runs')}?before={first.older}").context["run_page"]
    back = as_viewer.get(f"{reverse('runs')}?after={second.newer}").context["run_page"]

    assert len({row.id for row in first.rows + second.rows}) == 70
    assert back.rows == first.rows


def test_run_logs_are_filtered_by_agent_workspace_and_day(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    spend(agent="triage", started_at=datetime(2026, 11, 19, 23, 59, tzinfo=UTC))
    wanted = spend(agent="triage", started_at=datetime(2026, 11, 20, 0, 0, tzinfo=UTC))
    spend(started_at=datetime(2026, 11, 20, 0, 0, tzinfo=UTC))
    triage = Agent.objects.get(slug="triage").pk

    page = as_viewer.get(reverse("runs"), {"agent": triage, "workspace": "acme", "day": "2026-11-20"}).context[
        "run_page"
    ]

    assert [row.run_id for row in page.rows] == [wanted.run_id]
    assert "No runs match these filters on 1 Nov 2026" in text_of(as_viewer, f"{reverse('runs')}?day=2026-11-01")


def test_run_logs_are_filtered_by_status(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    spend()
    failed = spend(agent="triage", status="error")
    spend(cast.elsewhere, agent="stranger", status="error")
    triage = Agent.objects.get(slug="triage").pk
    bot = Agent.objects.get(slug="support-bot").pk

    def found(**query: Any) -> list[Any]:
        return [row.run_id for row in as_viewer.get(reverse("runs"), query).context["run_page"].rows]

    for beside in ({}, {"agent": triage}, {"workspace": "acme"}, {"day": "2026-11-20"}):
        assert found(status="error", **beside) == [failed.run_id], beside
    assert found(status="error", agent=bot) == []
    assert len(found(status="no such status")) == 2
    assert [row[0] for row in exported(as_viewer, "?status=error")[1:]] == [str(failed.run_id)]


def test_the_filter_bar_offers_what_one_sees_and_keeps_what_one_chose(cast: Cast, spend: Spend, client: Client) -> None:
    spend()
    spend(agent="triage", status="error")
    spend(cast.elsewhere, agent="stranger")
    triage = Agent.objects.get(slug="triage").pk

    def offered(person: Any, name: str, query: str = "") -> list[str]:
        client.force_login(person)
        html = client.get(reverse("runs") + query).content.decode()
        select = re.search(rf'<select id="{name}".*?</select>', html, re.S)
        assert select is not None
        return re.findall(r"<option[^>]*>(.*?)</option>", select[0])

    assert offered(cast.viewer, "agent") == ["All agents", "support-bot", "triage"]
    assert offered(cast.superuser, "agent") == [
        "All agents",
        "stranger · Elsewhere",
        "support-bot · Acme",
        "triage · Acme",
    ]
    assert offered(cast.superuser, "agent", "?workspace=elsewhere") == ["All agents", "stranger"]
    assert offered(cast.viewer, "status") == ["Any status", "Running", "OK", "Failed", "Cancelled", "Refused"]
    client.force_login(cast.viewer)
    html = client.get(reverse("runs"), {"agent": triage, "status": "error"}).content.decode()
    assert f'<option value="{triage}" selected>' in html
    assert '<option value="error" selected>' in html


def test_an_agent_beyond_those_that_are_listed_is_filtered_by_too(
    spend: Spend, as_viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend()
    spend(agent="triage")
    monkeypatch.setattr("costsite.analytics.views.runs.LISTED_AGENTS", 1)

    response = as_viewer.get(reverse("runs"), {"agent": Agent.objects.get(slug="triage").pk})

    assert [row.agent_name for row in response.context["run_page"].rows] == ["triage"]
    assert ">triage</option>" in response.content.decode()


def test_older_runs_of_a_status_keep_the_status(spend: Spend, as_viewer: Client) -> None:
    for minute in range(60):
        spend(status="error" if minute % 2 else "ok", started_at=NOON + timedelta(minutes=minute))
    for _ in range(45):
        spend(status="error")

    response = as_viewer.get(reverse("runs"), {"status": "error"})

    older = response.context["run_page"].older
    assert f"?status=error&amp;before={older}" in response.content.decode()


def test_filtering_by_what_one_may_not_see_does_not_show_it(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    spend()
    spend(cast.elsewhere, agent="stranger")
    stranger = Agent.objects.get(slug="stranger").pk

    for query in ({"agent": stranger}, {"workspace": "elsewhere"}):
        page = as_viewer.get(reverse("runs"), query).context["run_page"]
        assert {row.agent_name for row in page.rows} <= {"support-bot"}


def test_an_agent_of_another_workspace_than_the_chosen_one_is_left_out(
    cast: Cast, spend: Spend, client: Client
) -> None:
    spend()
    spend(cast.elsewhere, agent="stranger")
    client.force_login(cast.superuser)

    context = client.get(reverse("runs"), {"agent": Agent.objects.get(slug="stranger").pk, "workspace": "acme"}).context

    assert [row.agent_name for row in context["run_page"].rows] == ["support-bot"]
    assert context["wanted_agent"] is None


def test_a_workspace_beyond_those_that_are_listed_is_filtered_by_too(
    cast: Cast, spend: Spend, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend()
    spend(cast.elsewhere, agent="stranger")
    client.force_login(cast.superuser)
    monkeypatch.setattr("costsite.analytics.views.runs.LISTED_WORKSPACES", 1)

    response = client.get(reverse("runs"), {"workspace": "elsewhere"})

    assert [row.agent_name for row in response.context["run_page"].rows] == ["stranger"]
    assert '<option value="elsewhere" selected>' in response.content.decode()


def exported(client: Client, query: str = "") -> list[list[str]]:
    response = client.get(reverse("runs-csv") + query)
    assert response.status_code == 200
    assert isinstance(response, StreamingHttpResponse)
    return list(csv.reader(StringIO(response.getvalue().decode())))


def test_run_logs_are_exported_with_exact_cents(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    spend(input_tokens=1_201)  # 1,201 x 100 + 300 x 200 = 180,100 microcents
    spend(started_at=NOON - timedelta(days=1), **UNPRICED)
    spend(cast.elsewhere, agent="stranger")

    head, newest, unpriced = exported(as_viewer)
    only = exported(as_viewer, "?day=2026-11-19")

    assert head[-3:] == ["Input tokens", "Output tokens", "Estimated cost (cents)"]
    assert newest[1:4] == ["Acme", "support-bot", "2026-11-20T12:00:00+00:00"]
    assert newest[-3:] == ["1201", "300", "0.1801"]
    assert unpriced[-3:] == ["1200", "300", ""]
    assert only == [head, unpriced]


def test_a_name_is_not_a_formula_in_a_spreadsheet(spend: Spend, as_viewer: Client) -> None:
    for agent in (
        "=1+1",
        "@sum",
        "＝1+1",
        "plain",
        "x;=HYPERLINK(1)",
        "+1;=2",
        "a-b, c = d",
        "-80.13",
        "-80.13+1",
        "q;\"=cmd|' -C calc'!A0;",
    ):
        spend(agent=agent)

    assert {row[2] for row in exported(as_viewer)[1:]} == {
        "'=1+1",
        "'@sum",
        "'＝1+1",
        "plain",
        "x;'=HYPERLINK(1)",
        "'+1;'=2",
        "a-b, c = d",
        "-80.13",
        "'-80.13+1",
        "q;'\"=cmd|' -C calc'!A0;",
    }


def test_an_export_asks_who_one_is(client: Client) -> None:
    assert client.get(reverse("runs-csv")).status_code == 302


def test_a_cursor_survives_its_way_through_an_address() -> None:
    cursor = Cursor(datetime(2026, 11, 20, 12, 0, 0, 123_457, tzinfo=UTC), 42)

    assert Cursor.parse(str(cursor)) == cursor


def test_what_is_no_cursor_is_none() -> None:
    for text in ("", "5", "-", "a-b", "1-", "-1", "1-2-3", "9" * 30 + "-1", "1-" + "9" * 30, "²-1"):
        assert Cursor.parse(text) is None, text


def test_of_a_run_like_the_median_no_differences_are_said_to_add_up(spend: Spend, as_viewer: Client) -> None:
    like = [spend().run_id for _ in range(3)]
    dear = spend(output_tokens=3_000).run_id

    for run_id, adds_up in ((like[0], False), (dear, True)):
        html = text_of(as_viewer, "run", AgentRunLog.objects.get(run_id=run_id).pk)
        assert "median run" in html
        assert ("These add up to the difference." in html) is adds_up
