"""The figures of dashboard, analytics, workspace and agent, worked out by hand.

A priced call is 180,000 microcents (see facts): 0.18 cents.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.cost_tracker import CostTracker
from agents.models import Agent
from agents.models import Client as ReportingClient
from tests.analytics.facts import AFTERNOON, UNPRICED, Cast, Spend, is_paged_older_and_newer, text_of

OCTOBER = datetime(2026, 10, 5, 12, 0, tzinfo=UTC)


def test_the_month_is_summed_and_compared_with_the_same_days_of_the_last(spend: Spend, as_viewer: Client) -> None:
    for _ in range(5):
        spend()  # 5 x 0.18 = 0.90 cents
    spend(started_at=AFTERNOON)  # of today, which is not over
    for day in (OCTOBER, OCTOBER, datetime(2026, 10, 23, 23, 59, tzinfo=UTC)):
        spend(started_at=day)  # 3 x 0.18 = 0.54 cents
    spend(started_at=datetime(2026, 10, 24, 0, 1, tzinfo=UTC))  # after the same 23 days

    html = text_of(as_viewer, "dashboard")

    assert "Total spend this month 1.08¢" in html
    assert "▲ 0.3600¢ (67 %) through 23 Nov on 1 to 23 Oct" in html
    assert "Up 67 % through 23 Nov on the same 23 days of October" in html
    assert "Change through 23 Nov on 1 to 23 Oct" in html
    assert "Acme 1.08¢ 100 % ▲ 0.3600¢ (67 %) 6" in html
    assert "Cost per run 0.1800¢ median, n 6 ; 6 runs this month" in html


def test_on_the_first_of_a_month_there_is_nothing_to_compare(
    spend: Spend, as_viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend(started_at=OCTOBER)
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 11, 1, 15, 0, tzinfo=UTC))
    spend(started_at=datetime(2026, 11, 1, 14, 0, tzinfo=UTC))

    for page in ("/", reverse("workspace", args=["acme"]), reverse("agent", args=[Agent.objects.get().pk])):
        html = text_of(as_viewer, page)
        assert "Total spend this month 0.1800¢ nothing to compare yet" in html, page
        assert "The first day of the month: nothing to compare yet" in html, page
    assert "Share Change Runs" in text_of(as_viewer, "dashboard")
    assert "Acme 0.1800¢ 100 % – 1" in text_of(as_viewer, "dashboard")


def test_a_month_is_not_compared_with_one_whose_cost_is_not_known(spend: Spend, as_viewer: Client) -> None:
    spend()
    spend(started_at=OCTOBER, **UNPRICED)

    html = text_of(as_viewer, "dashboard")

    assert "nothing to compare with: no price on 1 to 23 Oct" in html
    assert "Not to be compared with the same 23 days of October: cost not known" in html
    assert "Acme 0.1800¢ 100 % – 1" in html


def test_a_change_says_which_calls_its_amounts_leave_out(spend: Spend, as_viewer: Client) -> None:
    for _ in range(2):
        spend()
        spend(started_at=OCTOBER, **UNPRICED)
    spend(started_at=OCTOBER)

    html = text_of(as_viewer, "dashboard")

    assert "▲ 0.1800¢ (100 %) through 23 Nov on 1 to 23 Oct, + 2 unpriced calls then" in html
    assert "Up 100 % through 23 Nov on the same 23 days of October, + 2 unpriced calls then" in html


def test_what_began_today_is_new_and_not_unchanged(spend: Spend, as_viewer: Client) -> None:
    spend(started_at=AFTERNOON)

    html = text_of(as_viewer, reverse("agent", args=[Agent.objects.get().pk]))

    assert "Total spend this month 0.1800¢ new: nothing before 24 Nov" in html
    assert "New: nothing spent before 24 Nov" in html
    assert "no change" not in html


def test_unknown_cost_is_counted_beside_the_sum_and_never_as_nothing(spend: Spend, as_viewer: Client) -> None:
    spend()
    spend(**UNPRICED)
    spend(agent="blind", **UNPRICED)

    dashboard = text_of(as_viewer, "dashboard")
    blind = text_of(as_viewer, "agent", Agent.objects.get(slug="blind").pk)

    assert "Total spend this month 0.1800¢ + 2 unpriced calls" in dashboard
    assert "2 calls unpriced this month: acme-unheard-of-9" in dashboard
    assert "priced 33.3 %" in dashboard
    assert "Total spend this month 1 unpriced call " in blind
    assert "$0.00" not in blind


def test_usage_that_was_not_reported_is_counted_with_or_without_a_price(spend: Spend, as_viewer: Client) -> None:
    spend()
    spend(usage_basis="estimated")
    spend(usage_basis="estimated", **UNPRICED)
    spend(**UNPRICED)

    html = text_of(as_viewer, "dashboard")

    assert "priced 50.0 % usage reported 50.0 % unpriced calls 2 estimated 2" in html


def test_an_agent_whose_cost_is_not_known_is_not_said_to_have_spent_nothing(spend: Spend, as_viewer: Client) -> None:
    spend(cache_read_tokens=100, **UNPRICED)

    html = text_of(as_viewer, "agent", Agent.objects.get().pk)

    assert "Cost not known: 1 unpriced call" in html
    assert "Total spend this month 1 unpriced call no price yet" in html
    assert "Cache saved unpriced" in html
    for nothing in ("Nothing spent", "0¢", "$0", "no change"):
        assert nothing not in html


def test_a_day_whose_cost_is_not_known_says_so(spend: Spend, as_viewer: Client) -> None:
    spend(started_at=datetime(2026, 11, 3, 9, 0, tzinfo=UTC), **UNPRICED)
    spend(started_at=datetime(2026, 11, 4, 9, 0, tzinfo=UTC), **UNPRICED)
    spend(started_at=datetime(2026, 11, 4, 9, 0, tzinfo=UTC))

    response = as_viewer.get(reverse("dashboard"))

    tips = [bar.tip for bar in response.context["chart"].bars]
    assert tips[2:4] == [("Tue 3 Nov: 1 unpriced call",), ("Wed 4 Nov: 0.1800¢ + 1 unpriced call",)]
    rows = response.context["chart"].rows
    assert rows[1:4] == (
        ("Mon 2 Nov", "0¢", "0¢"),
        ("Tue 3 Nov", "unpriced", "unpriced"),
        ("Wed 4 Nov", "0.1800¢", "0.1800¢ + 1 unpriced call"),
    )
    assert "0.1800¢ + 2 unpriced calls in all" in response.content.decode()


def test_workspaces_add_up_to_the_whole(cast: Cast, spend: Spend, client: Client) -> None:
    for _ in range(3):
        spend()
    spend(cast.elsewhere)
    client.force_login(cast.superuser)

    html = text_of(client, "dashboard")

    assert "Acme 0.5400¢ 75 % new 3" in html
    assert "Elsewhere 0.1800¢ 25 % new 1" in html
    assert "Total 0.7200¢" in html


def test_pages_and_cost_tracker_say_the_same(cast: Cast, spend: Spend, client: Client) -> None:
    spend()
    spend(**UNPRICED)
    spend(cast.elsewhere, cache_read_tokens=100, status="error")
    for person in (cast.viewer, cast.superuser):
        client.force_login(person)

        month = client.get(reverse("dashboard")).context["month"]

        tracked = CostTracker().site().this_month().visible_to(person).total()
        for figure in ("calls", "estimated_calls", "unpriced_calls", "cost_microcents"):  # of all it shows no tokens
            assert getattr(tracked, figure) == getattr(month, figure), figure
        of_acme = CostTracker().workspace(cast.acme).this_month().visible_to(person).total()
        assert of_acme == client.get(reverse("workspace", args=["acme"])).context["month"]
    assert month.cost_microcents == 2 * 180_000


def test_a_late_call_counts_in_its_own_day(spend: Spend, as_viewer: Client) -> None:
    spend(started_at=datetime(2026, 11, 3, 9, 0, tzinfo=UTC))

    html = text_of(as_viewer, "dashboard")

    assert "Tue 3 Nov 0.1800¢ 0.1800¢" in html
    assert "Wed 4 Nov 0¢ 0¢" in html


def test_today_is_drawn_as_unfinished(spend: Spend, as_viewer: Client) -> None:
    spend(started_at=AFTERNOON - timedelta(hours=1))

    html = as_viewer.get(reverse("dashboard")).content.decode()

    assert "Tue 24 Nov so far: 0.1800¢" in html
    assert html.count('fill="url(#spend-per-day-hatch)"') == 1


def test_who_is_archived_or_inactive_is_marked_among_those_that_spent(
    cast: Cast, spend: Spend, as_viewer: Client
) -> None:
    for agent in ("at-rest", "gone", "well"):
        spend(agent=agent)
    Agent.objects.filter(slug="at-rest").update(active=False)
    Agent.objects.filter(slug="gone").update(archived_at=AFTERNOON)

    html = text_of(as_viewer, "workspace", "acme")

    assert re.search(r"at-rest Inactive 0\.1800¢ .* gone Archived 0\.1800¢ .* well 0\.1800¢", html)
    cast.acme.archived_at = AFTERNOON
    cast.acme.save()
    assert "Acme Archived 0.5400¢" in text_of(as_viewer, "dashboard")


def test_one_sum_is_written_in_one_way_on_a_page(spend: Spend, as_viewer: Client) -> None:
    spend(agent="dear", input_tokens=0, output_tokens=1_000_000)  # 200 cents
    spend(agent="cheap", input_tokens=0, output_tokens=112_300)  # 22.46 cents

    page = as_viewer.get(reverse("workspace", args=["acme"]))
    chart = page.context["chart"]

    assert [(entry.name, entry.value) for entry in chart.legend] == [("dear", "$2.00"), ("cheap", "$0.22")]
    assert "22.46¢" not in page.context["chart"].bars[19].tip_text
    assert ("Fri 20 Nov", "$2.00", "$0.22", "$2.22") in chart.rows


def test_more_series_than_colours_are_summed_as_other(spend: Spend, as_viewer: Client) -> None:
    for number in range(9):
        for _ in range(9 - number):
            spend(agent=f"agent-{number}")

    chart = as_viewer.get(reverse("workspace", args=["acme"])).context["chart"]

    # 9 + 8 + ... + 3 calls are the seven named; 2 + 1 calls the rest: 3 x 0.18 = 0.54 cents
    assert [entry.name for entry in chart.legend] == [f"agent-{number}" for number in range(7)] + ["Other"]
    assert chart.legend[-1].value == "0.54¢"  # in the unit of all 45 calls: 8.10 cents
    assert len({entry.slot for entry in chart.legend}) == 8


def test_the_range_governs_the_chart_and_not_the_month(spend: Spend, as_viewer: Client) -> None:
    spend(started_at=OCTOBER)
    spend(started_at=OCTOBER)
    spend()

    html = text_of(as_viewer, "/?range=last-month")

    assert "Total spend this month 0.1800¢" in html
    assert "1 to 31 Oct. 0.3600¢ in all" in html
    # What does not follow the range says which days it is of.
    assert "Movers, last 7 days" in html
    assert "Workspaces this month" in html


def test_the_efforts_beside_the_months_tokens_are_of_the_month(spend: Spend, as_viewer: Client) -> None:
    spend(started_at=OCTOBER, effort="high")
    spend(effort="low")

    html = text_of(as_viewer, reverse("agent", args=[Agent.objects.get().pk]) + "?range=last-month")

    assert "Token usage This month, input and output on one scale" in html
    assert "at effort low 0.1800¢, 1 call" in html
    assert "at effort high" not in html


def test_lost_and_rejected_events_need_attention(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    spend()
    facts = {"workspace": cast.acme, "spool_events": 3, "last_seen_at": AFTERNOON - timedelta(seconds=8)}
    ReportingClient.objects.create(
        client_id=uuid4(), dropped={"disk_full": 4, "too_old": 0}, rejected_events=2, **facts
    )
    ReportingClient.objects.create(client_id=uuid4(), dropped={"disk_full": 1}, **facts)
    ReportingClient.objects.create(
        **facts | {"client_id": uuid4(), "dropped": {"disk_full": 50}, "last_seen_at": AFTERNOON - timedelta(days=8)}
    )

    html = text_of(as_viewer, "dashboard")

    assert "5 events lost by reporting processes in 7 days: disk_full 5" in html
    assert "2 rejections of events in 7 days" in html
    assert "last event 8 s ago" in html
    assert "waiting 6" in html
    assert "dropped 5" in html


@pytest.mark.parametrize(("failed", "made", "named"), [(5, 50, True), (4, 10, False), (5, 51, False)])
def test_an_agent_that_fails_a_tenth_of_its_calls_needs_attention(
    spend: Spend, as_viewer: Client, failed: int, made: int, named: bool
) -> None:
    for number in range(made):
        spend(status="error" if number < failed else "ok")

    html = as_viewer.get(reverse("dashboard")).content.decode()
    assert (f"support-bot</bdi></a>: {failed} of {made} calls failed in 7 days" in html) is named


def test_analytics_lists_every_agent_dearest_first(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    spend(agent="cheap")
    for _ in range(3):
        spend(agent="dear")
    Agent.objects.create(workspace=cast.acme, slug="idle")

    html = text_of(as_viewer, "analytics")

    assert re.search(
        r"dear Acme 0\.5400¢ no budget 3 .*cheap Acme 0\.1800¢ no budget 1 .*idle Acme 0¢ no budget 0 never", html
    )


@pytest.mark.parametrize(
    ("search", "found"),
    [("supp", {"support-bot"}), ("TRI", {"triage"}), ("acme", {"support-bot", "triage"}), ("nobody", set())],
)
def test_search_finds_agents_by_a_part_of_their_name_or_workspace(
    spend: Spend, as_viewer: Client, search: str, found: set[str]
) -> None:
    spend()
    spend(agent="triage")

    rows = as_viewer.get(reverse("analytics"), {"q": search}).context["rows"]

    assert {row.agent.name for row, *_ in rows} == found


def test_a_long_list_of_agents_is_paged_without_gap_or_repeat(cast: Cast, as_viewer: Client) -> None:
    Agent.objects.bulk_create(Agent(workspace=cast.acme, slug=f"agent-{number:03}") for number in range(120))

    slugs, page = [], "?sort=name"
    while page:
        context = as_viewer.get(reverse("analytics") + page).context
        slugs += [row.agent.slug for row, *_ in context["rows"]]
        page = f"?sort=name&from={context['next']}" if context["next"] else ""

    assert slugs == [f"agent-{number:03}" for number in range(120)]


def test_an_agents_tokens_are_shown_by_kind(spend: Spend, as_viewer: Client) -> None:
    spend(
        input_tokens=10_000,
        cache_read_tokens=6_000,
        cache_write_5m_tokens=1_000,
        output_tokens=2_000,
        reasoning_tokens=500,
    )

    html = text_of(as_viewer, "agent", Agent.objects.get().pk)

    assert "Input 10.0k" in html
    assert "Input, fresh 3,000 30 %" in html
    assert "Input, cache read 6,000 60 %" in html
    assert "Input, cache written 1,000 10 %" in html
    assert "Output, visible 1,500 75 %" in html
    assert "Output, reasoning 500 25 %" in html


def test_an_agents_runs_have_a_median_and_outliers(spend: Spend, as_viewer: Client) -> None:
    for _ in range(29):
        spend()
    spend(input_tokens=12_000, output_tokens=3_000)  # ten times as much: 1.80 cents

    html = text_of(as_viewer, "agent", Agent.objects.get().pk)

    assert "Median 0.1800¢ per run; 1 over 4 × that, the dearest 1.80¢" in html
    assert "n 30" in html
    assert "1.80¢ 10 ×" in html


def test_an_agents_cost_is_split_by_model_and_by_step(spend: Spend, as_viewer: Client) -> None:
    run_id = uuid4()
    spend(run_id=run_id, step="plan")
    spend(run_id=run_id, step="act")
    spend(run_id=run_id, step="act")
    spend(run_id=run_id, step="act", **UNPRICED)

    html = text_of(as_viewer, "agent", Agent.objects.get().pk)

    assert "acme-1 acme-ai 0.5400¢ 100 % 3" in html
    assert "acme-unheard-of-9 acme-ai 1 unpriced call" in html
    assert re.search(r"act 0\.3600¢ \+ 1 unpriced 67 % 3", html)
    assert "plan 0.1800¢ 33 % 1" in html


def test_runs_of_an_agent_are_paged_older_and_newer(spend: Spend, as_viewer: Client) -> None:
    for minute in range(45):
        spend(started_at=datetime(2026, 11, 20, 12, minute, tzinfo=UTC))
    address = reverse("agent", args=[Agent.objects.get().pk])

    is_paged_older_and_newer(as_viewer, f"{address}?")


def test_a_day_that_only_the_range_before_has_leads_to_no_runs(spend: Spend, as_viewer: Client) -> None:
    spend(started_at=AFTERNOON - timedelta(hours=1))
    spend(started_at=AFTERNOON - timedelta(days=9))

    page = as_viewer.get("/?range=7-days&compare=1").content.decode()

    links = re.findall(r'<a class="column" href="([^"]+)"', page)
    assert len(links) == 1
    assert "2026-11-24" in links[0]
    assert len(re.findall(r'<g class="column" data-tip role="img"><title>[^<]*before: ', page)) == 1


def test_tags_of_an_agent_are_parts_of_what_that_agent_spent(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    spend(tags=["mail"], started_at=AFTERNOON - timedelta(hours=1))
    spend(agent="researcher", started_at=AFTERNOON - timedelta(hours=1))
    agent = Agent.objects.get(slug="support-bot")

    page = as_viewer.get(f"/workspaces/acme/?agent={agent.pk}&range=7-days").content.decode()

    by_tag = page[page.index('id="by-tag"') :]
    link, share = re.findall(r'href="([^"]+)"><bdi>mail</bdi>.*?([\d.]+ %)', by_tag, re.DOTALL)[0]
    assert share == "100 %"
    assert f"agent={agent.pk}" in link
    assert "from=2026-11-18" in link
