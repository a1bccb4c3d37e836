"""What needs a person: budgets, agents that fail or say nothing, names that are nearly another's."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from itertools import product

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents.models import Agent
from budgets.models import BudgetPolicy, Refusal
from budgets.policies import By, set_budget
from costsite.analytics.near_names import are_near, letters_apart
from costsite.analytics.queries.merges import names_to_choose
from costsite.analytics.views import attention
from tests.analytics.facts import AFTERNOON, PRICED, UNPRICED, Cast, Spend, text_of

BY = By(command="test")


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("support-bot", "suport-bot", True),
        ("support-bot", "Support_Bot", True),
        ("support-bot", "support-bots2", True),
        ("support-bot", "support-agent", False),
        ("support-bot", "support-bot-eu1", False),
        ("triage", "trage", True),
        ("triage", "trade", False),
        ("bot", "bat", False),
        ("abot", "sbot", False),
        ("agent", "agents", True),
        ("s-bot", "SBot", True),
        ("a", "b", False),
        ("ремонт-бот", "ремонт-бод", True),
        ("worker-1", "worker-2", False),
        ("worker-10", "worker-1", False),
        ("worker-2", "woker-2", True),
        ("support-bot", "support-bot-2", True),
    ],
)
def test_names_two_letters_apart_are_near_and_short_ones_must_be_nearer(one: str, other: str, near: bool) -> None:
    assert are_near(one, other) is near
    assert are_near(other, one) is near


def test_nearness_is_levenshteins_distance() -> None:
    def distance(one: str, other: str) -> int:
        row = list(range(len(other) + 1))
        for index, letter in enumerate(one, 1):
            before, row = row, [index]
            for place, with_letter in enumerate(other, 1):
                row.append(min(before[place] + 1, row[place - 1] + 1, before[place - 1] + (letter != with_letter)))
        return row[-1]

    names = ["".join(letters) for letters in product("ab", repeat=8)][::5]
    names += [name[:3] + name[4:] for name in names] + [f"b{name}a" for name in names]
    for one, other in product(names, names):
        assert are_near(one, other) is (distance(one, other) <= min(2, min(len(one), len(other)) // 4))
        assert letters_apart(one, other) == (distance(one, other) if are_near(one, other) else None)


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ("c" * 186 + "a" + "0123456789ab", "c" * 186 + "z" + "ba9876543210"),
        ("x" + "ba" * 99, "ab" * 99 + "x"),
        ("z" + "c" * 195 + "qqq", "x" + "c" * 196 + "yz"),
    ],
)
def test_names_made_to_be_slow_are_compared_in_few_steps(new: str, old: str) -> None:
    steps = 0

    def count(_frame: object, event: str, _of: object) -> None:
        nonlocal steps
        steps += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        letters_apart(new, old)
    finally:
        sys.setprofile(None)
    assert 0 < steps < 100


def test_a_page_compares_no_more_names_than_it_has_time_for(
    spend: Spend, as_viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    spend()
    spend(agent="suport-bot")
    seen("support-bot", 30)
    seen("suport-bot", 2)
    assert "named almost like support-bot" in text_of(as_viewer, "dashboard")

    monkeypatch.setattr(attention, "COMPARISONS", 0)

    html = text_of(as_viewer, "dashboard")
    assert "suport-bot is new: it was first seen in the last 7 days." in html


def seen(slug: str, days_ago: int) -> None:
    Agent.objects.filter(slug=slug).update(created_at=AFTERNOON - timedelta(days=days_ago))


def test_a_new_agent_named_almost_like_an_older_one_is_told_of(spend: Spend, as_viewer: Client) -> None:
    spend()
    spend(agent="suport-bot")
    spend(agent="triage")
    seen("support-bot", 30)
    seen("suport-bot", 2)
    seen("triage", 3)

    html = text_of(as_viewer, "dashboard")

    assert "suport-bot is new, and named almost like support-bot." in html
    assert "triage is new: it was first seen in the last 7 days." in html
    assert html.index("suport-bot is new") < html.index("triage is new")


def test_the_nearest_name_is_proposed_and_of_equally_near_ones_the_oldest(
    cast: Cast, spend: Spend, client: Client
) -> None:
    for days_ago, slug in enumerate(["suport-bot", "aa-triage", "Support Bot!", "triage-ab", "support-bot"]):
        spend(agent=slug)
        seen(slug, days_ago)
    seen("triage-ab", 20)
    seen("support-bot", 30)
    spend(agent="triage-a")
    seen("triage-a", 1)
    spend(agent="triage-aXY")
    seen("triage-aXY", 10)
    client.force_login(cast.owner)

    html = text_of(client, "dashboard")

    assert "suport-bot is new, and named almost like support-bot." in html
    assert "Support Bot! is new, and named almost like support-bot." in html
    assert "triage-a is new, and named almost like triage-ab." in html, "one letter, though triage-aXY is first by name"
    source = Agent.objects.get(slug="suport-bot")
    assert names_to_choose(source)[0] == ["support-bot", "Support Bot!"]


def test_of_a_kind_with_more_notices_than_are_shown_the_count_is_said(spend: Spend, as_viewer: Client) -> None:
    for name in ("ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen"):
        spend(agent=name)
        seen(name, 2)
    for number in range(30):
        spend(**UNPRICED | {"request_model": f"parrot-{number}", "response_model": f"parrot-{number}"}, agent="ant")

    html = text_of(as_viewer, "dashboard")

    assert "And 3 more new agents ." in html
    assert "And at least 20 more unpriced models ." in html
    assert "Needs attention (33)" in html, "8 agents, 25 models"


def test_an_agent_with_calls_of_the_week_before_is_not_new(spend: Spend, as_viewer: Client) -> None:
    spend(started_at=AFTERNOON - timedelta(days=9))
    spend()
    seen("support-bot", 1)

    assert "is new" not in text_of(as_viewer, "dashboard")


def test_names_of_another_workspace_are_nobodys_twins(cast: Cast, spend: Spend, client: Client) -> None:
    spend(cast.elsewhere, agent="support-bot")
    spend(agent="suport-bot")
    seen("support-bot", 30)
    seen("suport-bot", 2)
    client.force_login(cast.superuser)

    assert "almost like" not in text_of(client, "dashboard")


def test_an_agent_of_which_no_usage_was_reported_is_told_of(spend: Spend, as_viewer: Client) -> None:
    for _ in range(3):
        spend(agent="mute", usage_basis="estimated")
    spend(agent="half", usage_basis="estimated")
    spend(agent="half")

    html = text_of(as_viewer, "dashboard")

    assert "mute ran, and its provider reported no usage: 3 calls in 7 days, all estimated." in html
    assert "half ran" not in html


def budget(cast: Cast, cents: int, slug: str = "support-bot") -> BudgetPolicy:
    policy = set_budget(Agent.objects.get(workspace=cast.acme, slug=slug), by=BY, limit_cents=cents)
    assert policy is not None
    return policy


DEAR = PRICED | {"input_tokens": 0, "output_tokens": 200_000}
"""200,000 x 200 = 40,000,000 microcents: 40 cents."""


def test_a_spent_budget_is_told_of_first_with_the_way_to_grant_more(cast: Cast, spend: Spend, client: Client) -> None:
    spend(agent="mute", usage_basis="estimated")
    spend(**DEAR)
    policy = budget(cast, 40)
    Refusal.objects.create(
        policy=policy, workspace=cast.acme, agent=policy.agent, kind="exhausted", minute=AFTERNOON, count=14
    )
    User.objects.filter(pk=cast.owner.pk).update(is_staff=True)
    client.force_login(cast.owner)

    html = text_of(client, "dashboard")

    assert "support-bot is blocked until 1 Dec 00:00 UTC: 40.00¢ of 40.00¢. 14 refusals in 7 days. Grant more" in html
    assert html.index("is blocked") < html.index("mute ran")
    client.force_login(cast.viewer)
    assert "Grant more" not in text_of(client, "dashboard")


@pytest.mark.parametrize(("limit", "said"), [(200, "on track"), (49, "near budget"), (40, "blocked until 1 Dec")])
def test_how_an_agent_stands_is_said_wherever_it_is_named(
    cast: Cast, spend: Spend, as_viewer: Client, limit: int, said: str
) -> None:
    spend(**DEAR)
    budget(cast, limit)

    for page in ("/analytics/", "/workspaces/acme/", reverse("agent", args=[Agent.objects.get().pk])):
        assert said in text_of(as_viewer, page), page
    context = as_viewer.get(reverse("agent", args=[Agent.objects.get().pk])).context
    assert context["own_bar"].words.startswith("40.00¢ of ")
    assert context["own_bar"].used == {200: "20 %", 49: "82 %", 40: "100 %"}[limit]


def test_without_a_budget_the_agents_page_says_so_and_offers_one_to_its_owner(
    cast: Cast, spend: Spend, client: Client
) -> None:
    spend()
    User.objects.filter(pk__in=[cast.owner.pk, cast.viewer.pk]).update(is_staff=True)
    page = reverse("agent", args=[Agent.objects.get().pk])
    for person, offered in ((cast.owner, True), (cast.viewer, False)):
        client.force_login(person)
        html = text_of(client, page)

        assert "No monthly budget. Spending is recorded, never stopped." in html
        assert ("Set monthly budget" in html) is offered, person


def test_of_the_sites_budget_members_learn_the_state_and_no_figure(cast: Cast, spend: Spend, client: Client) -> None:
    spend(**DEAR)
    spend(cast.elsewhere, **DEAR)
    set_budget(None, by=BY, limit_cents=81)  # 80 of 81 cents
    page = reverse("agent", args=[Agent.objects.get(workspace=cast.acme).pk])

    client.force_login(cast.viewer)
    for address in (page, "/", "/analytics/", "/workspaces/acme/"):
        html = text_of(client, address)
        assert "81" not in html.replace("81 %", ""), address
        assert "80.00¢" not in html, address
    assert "near budget" in text_of(client, page)
    client.force_login(cast.superuser)
    assert re.search(r"Budget used 99 % .* the whole site : near budget, 1\.00¢ left", text_of(client, "dashboard"))


def test_the_dashboard_speaks_of_the_fullest_budget_one_may_read(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    spend(**DEAR)
    set_budget(cast.acme, by=BY, limit_cents=400)
    used = r"{} {} % .* {} : {}, {} left"
    of_acme = used.format("Budget used", 10, "Acme", "on track", r"\$3\.60")
    assert re.search(of_acme, text_of(as_viewer, "dashboard"))
    budget(cast, 41)

    of_bot = used.format("Fullest budget", 98, "support-bot", "near budget", r"1\.00¢")
    assert re.search(of_bot, text_of(as_viewer, "dashboard"))


def test_after_a_grant_refusals_of_the_week_are_told_and_no_more_money_is_offered(
    cast: Cast, spend: Spend, client: Client
) -> None:
    spend(**DEAR)
    policy = budget(cast, 120)
    Refusal.objects.create(
        policy=policy, workspace=cast.acme, agent=policy.agent, kind="exhausted", minute=AFTERNOON, count=1
    )
    client.force_login(cast.owner)

    html = text_of(client, "dashboard")

    assert "support-bot has room: 40.00¢ of $1.20 spent. 1 refusal in 7 days." in html
    assert "Grant more" not in html


def test_one_unpriced_call_is_told_of_in_the_singular(spend: Spend, as_viewer: Client) -> None:
    spend(**UNPRICED)

    assert "Its cost is in no sum." in text_of(as_viewer, "dashboard")


def test_a_forecast_stands_beside_the_month_or_says_what_it_needs(spend: Spend, as_viewer: Client) -> None:
    for number in range(1, 7):
        spend(started_at=AFTERNOON - timedelta(days=number))
    assert "A forecast needs 7 days with spending; there are 6." in text_of(as_viewer, "dashboard")
    for number in range(7, 29):
        spend(started_at=AFTERNOON - timedelta(days=number))

    # 23 whole days and 7 to come, today among them, at 0.18 cents: 5.40 cents.
    html = text_of(as_viewer, "dashboard")
    assert (
        "Forecast, 30 Nov 5.40¢ p10 to p90, median 5.40¢. Back-tested on the last 3 weeks: half of them were within 0 %"
        in html
    )


def test_members_are_listed_owners_first(cast: Cast, spend: Spend, client: Client) -> None:
    spend()
    for person in (cast.viewer, cast.superuser):
        client.force_login(person)

        members = client.get("/workspaces/acme/").context["members"]

        assert [(member.username, member.role) for member in members] == [("olive", "Owner"), ("vera", "Viewer")]
