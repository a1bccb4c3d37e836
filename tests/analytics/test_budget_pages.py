"""Budgets on pages: every figure is what the calls, leases and refusals say, and only who may acts on them."""

from __future__ import annotations

import csv
import re
from datetime import datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents.models import Agent, LLMCall
from budgets.models import BudgetChange, BudgetGrant, BudgetPolicy, Refusal, SpendLease, ThresholdCrossing
from budgets.policies import By, archive, grant, set_budget, set_model_move
from budgets.statements import monthly_rollover
from tests.analytics.facts import AFTERNOON, UNPRICED, Cast, Spend, file_of, text_of
from tests.factories import AgentFactory

TESTER = By(command="test")
CENT = 1_000_000
HOSTILE = "<script>alert('x')</script>\u202e&\"" + "W" * 140 + "🤖"


@pytest.fixture
def support_bot(cast: Cast, spend: Spend) -> Agent:
    """Spent five calls of 0.18 cents: 0.9 cents."""
    for _ in range(5):
        spend()
    return Agent.objects.get(slug="support-bot")


def budget_of(of: Any, cents: int, **fields: Any) -> BudgetPolicy:
    made = set_budget(of, by=TESTER, limit_cents=cents, **fields)
    assert made is not None
    return made


def table(client: Client, address: str) -> list[dict[str, str]]:
    response = client.get(address)
    assert response.headers["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(StringIO(response.getvalue().decode())))


def spent_by_calls(**of: Any) -> Decimal:
    """Cents, from the calls of November themselves."""
    calls = LLMCall.objects.filter(started_at__gte=datetime(2026, 11, 1, tzinfo=AFTERNOON.tzinfo), **of)
    return Decimal(sum(call.cost_microcents or 0 for call in calls)) / CENT


# ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_budget_says_what_the_calls_leases_grants_and_refusals_come_to(
    cast: Cast, support_bot: Agent, spend: Spend, client: Client
) -> None:
    spend(agent="triage")
    spend(cast.elsewhere, agent="stranger")
    spend(started_at=AFTERNOON - timedelta(days=40))  # another month
    own, workspace, site = budget_of(support_bot, 2), budget_of(cast.acme, 900), budget_of(None, 5_000)
    grant(own, 3, ends_at=AFTERNOON + timedelta(days=2), reason="launch week", by=TESTER)
    for agent, granted, used in ((support_bot, 7, 2), (Agent.objects.get(slug="triage"), 4, 0)):
        SpendLease.objects.create(
            workspace=cast.acme, agent=agent, client_id=uuid4(), month="2026-11", granted_microcents=granted * 10**5,
            used_microcents=used * 10**5, expires_at=AFTERNOON + timedelta(minutes=2),
            frees_at=AFTERNOON + timedelta(minutes=2),
        )  # fmt: skip
    for kind, minutes, count in (("exhausted", 5, 3), ("too_large", 60 * 24 * 3, 4), ("held", 60 * 24 * 30, 9)):
        Refusal.objects.create(
            policy=own, workspace=cast.acme, agent=support_bot, kind=kind, count=count,
            minute=AFTERNOON - timedelta(minutes=minutes),
        )  # fmt: skip
    client.force_login(cast.superuser)

    rows = {row["Scope"]: row for row in table(client, reverse("budgets-csv"))}

    expected = {
        # limit, granted, spent by calls, held by leases, refused since 1 November
        "Per-agent": (5, 3, spent_by_calls(agent=support_bot), Decimal("0.5"), 7),
        "Per-workspace": (900, 0, spent_by_calls(workspace=cast.acme), Decimal("0.9"), 0),
        "Global": (5_000, 0, spent_by_calls(), Decimal("0.9"), 0),
    }
    assert spent_by_calls(agent=support_bot) == Decimal("0.9")
    for scope, (limit, granted, spent, held, refused) in expected.items():
        row = rows[scope]
        assert Decimal(row["Limit (cents)"]) == limit, scope
        assert Decimal(row["Of it granted (cents)"]) == granted, scope
        assert Decimal(row["Spent (cents)"]) == spent, scope
        assert Decimal(row["Held (cents)"]) == held, scope
        assert Decimal(row["Left (cents)"]) == limit - spent, scope
        assert int(row["Refused requests this month"]) == refused, scope
    said = text_of(client, "budget", own.pk)
    assert "Spent in November 0.9000¢ 18 % of 5 cents ($0.05)" in said.replace("  ", " ")
    assert "Left 4.10¢" in said
    assert "Held 0.5000¢" in said
    assert "Refused 7" in said
    assert "The budget is spent 3" in said
    assert "The call may cost more than is left 4" in said
    assert "Total 7" in said
    assert "launch week 3" in said
    assert {workspace.pk, site.pk} == {
        row.pk for row in BudgetPolicy.objects.all() if text_of(client, "budget", row.pk).count("Nothing was granted")
    }


def test_the_fullest_budget_is_first(cast: Cast, support_bot: Agent, spend: Spend, as_viewer: Client) -> None:
    spend(agent="triage")
    budget_of(cast.acme, 1)  # 1.08 cents of 1
    budget_of(support_bot, 90)  # 0.9 of 90
    budget_of(Agent.objects.get(slug="triage"), 0)

    html = as_viewer.get(reverse("budgets")).content.decode()

    assert re.findall(r'class="clip" href="/budgets/\d+/"><bdi>\s*(\S+)', html) == ["triage", "Acme", "support-bot"]


def test_crossings_changes_and_months_are_told_with_their_files(
    cast: Cast, support_bot: Agent, spend: Spend, as_viewer: Client
) -> None:
    own = budget_of(support_bot, 2)
    for _ in range(5):
        spend()  # 1.8 of 2 cents: 50 and 80 % are passed
    set_budget(support_bot, by=TESTER, limit_cents=4, reason="November is long")

    page = reverse("budget", args=[own.pk])
    crossed = table(as_viewer, f"{page}?csv=crossings")

    kept = ThresholdCrossing.objects.filter(policy=own)
    assert {(row["Threshold (%)"], row["Limit (cents)"]) for row in crossed} == {
        (str(line.threshold), str(line.limit_microcents // CENT)) for line in kept
    }
    assert {("50", "2"), ("80", "2")} <= {(row["Threshold (%)"], row["Limit (cents)"]) for row in crossed}
    changes = table(as_viewer, f"{page}?csv=changes")
    assert [(row["What"], row["Before → after"], row["Reason"]) for row in changes] == [
        ("Changed", "limit (cents): 2 → 4", "November is long"),
        ("Made", "limit (cents): 2; thresholds: 50, 80, 100; mode: hard", ""),
    ]
    for name in ("grants", "refusals", "months"):
        assert table(as_viewer, f"{page}?csv={name}") == []
    assert "November is long" in text_of(as_viewer, page)


def test_months_that_are_over_are_told_from_their_statements(
    cast: Cast, support_bot: Agent, spend: Spend, client: Client
) -> None:
    for day in (3, 17):
        spend(started_at=datetime(2026, 10, day, 12, tzinfo=AFTERNOON.tzinfo))
    spend(started_at=datetime(2026, 10, 20, 12, tzinfo=AFTERNOON.tzinfo), **UNPRICED)
    spend(cast.elsewhere, started_at=datetime(2026, 10, 20, 12, tzinfo=AFTERNOON.tzinfo))
    own, site = budget_of(support_bot, 2), budget_of(None, 900)
    monthly_rollover(AFTERNOON)
    client.force_login(cast.superuser)

    (row,) = table(client, f"{reverse('budget', args=[own.pk])}?csv=months")

    october = LLMCall.objects.filter(agent=support_bot, started_at__month=10)
    assert (int(row["Calls"]), int(row["Unpriced calls"])) == (
        len(october), sum(call.cost_microcents is None for call in october),
    )  # fmt: skip
    assert Decimal(row["Spent (cents)"]) * CENT == sum(call.cost_microcents or 0 for call in october)
    assert (row["Month"], row["Budget (cents)"]) == ("2026-10", "")  # the budget was made in November
    assert "2026-10 3 0.3600¢ + 1 unpriced no budget" in text_of(client, "budget", own.pk)
    assert table(client, f"{reverse('budget', args=[site.pk])}?csv=months") == []  # it counts from November on


def test_without_a_budget_the_page_says_what_that_means(as_viewer: Client) -> None:
    assert "No monthly budget. Spending is recorded, never stopped." in text_of(as_viewer, "budgets")


def test_an_archived_budget_moves_nobody(cast: Cast, support_bot: Agent, client: Client) -> None:
    own = budget_of(support_bot, 1)
    set_model_move(own, "openai/gpt-5-mini", 80, by=TESTER)
    client.force_login(cast.owner)
    assert "is moved to openai/gpt-5-mini : it is there now." in text_of(client, "budget", own.pk)

    archive(own, by=TESTER)

    assert "is moved to" not in text_of(client, "budget", own.pk)


def test_an_archived_budget_is_found_among_the_archived_and_takes_no_grant(
    cast: Cast, support_bot: Agent, client: Client
) -> None:
    own = budget_of(support_bot, 2)
    archive(own, by=TESTER)
    client.force_login(cast.owner)

    assert "support-bot" not in text_of(client, "budgets")
    assert "support-bot" in text_of(client, f"{reverse('budgets')}?show=archived")
    assert "Grant more" not in text_of(client, "budget", own.pk)
    assert client.get(reverse("grant-more", args=[own.pk])).status_code == 403


def test_budgets_are_searched_by_agent_and_workspace(cast: Cast, support_bot: Agent, as_viewer: Client) -> None:
    budget_of(support_bot, 2)
    budget_of(cast.acme, 2)

    assert text_of(as_viewer, f"{reverse('budgets')}?q=SUPPORT").count("Per-agent") == 1
    assert "Per-workspace" not in text_of(as_viewer, f"{reverse('budgets')}?q=support")
    assert "Per-workspace" in text_of(as_viewer, f"{reverse('budgets')}?q=acme")
    assert "No budget of" in text_of(as_viewer, f"{reverse('budgets')}?q=nobody")
    html = as_viewer.get(f"{reverse('budgets')}?q=support").content.decode()
    (file,) = re.findall(r'href="(/budgets/export.csv[^"]*)"', html)
    assert [row["Scope"] for row in table(as_viewer, file)] == ["Per-agent"]


def test_more_budgets_than_a_page_holds_are_on_the_next(cast: Cast, as_viewer: Client) -> None:
    for number in range(53):
        budget_of(AgentFactory(workspace=cast.acme, slug=f"agent-{number:02}"), 10)

    first = as_viewer.get(reverse("budgets")).content.decode()
    second = as_viewer.get(f"{reverse('budgets')}?from=50").content.decode()

    assert [len(re.findall(r'href="/budgets/\d+/"', html)) for html in (first, second)] == [50, 3]
    assert "?from=50" in first
    assert len(table(as_viewer, reverse("budgets-csv"))) == 53


def test_names_and_reasons_are_shown_as_text_whatever_they_are(cast: Cast, client: Client) -> None:
    agent = AgentFactory(workspace=cast.acme, slug="hostile", name=HOSTILE[:200])
    own = budget_of(agent, 2)
    given = grant(own, 3, ends_at=AFTERNOON + timedelta(days=2), reason=HOSTILE, by=TESTER)
    client.force_login(cast.owner)

    for page in (
        reverse("budgets"), reverse("budget", args=[own.pk]), reverse("grant-more", args=[own.pk]),
        reverse("revoke-grant", args=[given.pk]),
    ):  # fmt: skip
        html = client.get(page).content.decode()
        assert "<script>alert" not in html, page
        assert "alert(" in html, page


# ── who ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_member_reads_their_workspaces_budgets_and_of_the_sites_the_state_alone(
    cast: Cast, support_bot: Agent, spend: Spend, as_viewer: Client
) -> None:
    spend(cast.elsewhere, agent="stranger")
    own = budget_of(support_bot, 2)
    hidden = [budget_of(None, 777), budget_of(cast.elsewhere, 888), budget_of(Agent.objects.get(slug="stranger"), 999)]

    said = text_of(as_viewer, "budgets")

    assert "The whole site has a budget that covers your workspaces too: on track" in said
    for secret in ("777", "7.77", "888", "8.88", "9.99", "Elsewhere", "stranger"):
        assert secret not in said, secret
    assert [row["Scope"] for row in table(as_viewer, reverse("budgets-csv"))] == ["Per-agent"]
    assert as_viewer.get(reverse("budget", args=[own.pk])).status_code == 200
    for policy in hidden:
        given = grant(policy, 1, ends_at=AFTERNOON + timedelta(days=1), reason="launch", by=TESTER)
        for address in (
            reverse("budget", args=[policy.pk]), f"{reverse('budget', args=[policy.pk])}?csv=changes",
            reverse("grant-more", args=[policy.pk]), reverse("revoke-grant", args=[given.pk]),
        ):  # fmt: skip
            assert as_viewer.get(address).status_code == 404, address
            assert as_viewer.post(address, {"reason": "mine"}).status_code in (404, 405), address
    assert BudgetGrant.objects.exclude(revoked_at=None).count() == 0


def agreed(client: Client, policy: BudgetPolicy, **fields: str) -> tuple[str, dict[str, str]]:
    """What the page says before the act, and its form as a browser sends it."""
    asked = {"cents": "25", "last_day": "2026-11-30", "reason": "launch week"} | fields
    html = client.post(reverse("grant-more", args=[policy.pk]), asked).content.decode()
    hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', html))
    hidden.pop("csrfmiddlewaretoken", None)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)), hidden


def test_an_owner_grants_more_after_having_seen_before_and_after(
    cast: Cast, support_bot: Agent, client: Client
) -> None:
    own = budget_of(support_bot, 0)
    client.force_login(cast.owner)
    assert "Grant more" in text_of(client, "budget", own.pk)

    said, form = agreed(client, own)

    assert "Limit 0 cents ($0.00) 25 cents ($0.25)" in said
    assert "Left −0.9000 cents (−$0.01) 24.10 cents ($0.24)" in said
    assert "State blocked until 1 Dec 00:00 UTC on track" in said
    assert "Grant 25 cents" in said
    assert not BudgetGrant.objects.exists()
    answer = client.post(reverse("grant-more", args=[own.pk]), form, follow=True)
    assert "Granted: 25 cents." in answer.content.decode()
    given = BudgetGrant.objects.get()
    assert (given.cents, given.reason, given.granted_by, given.ends_at.isoformat()) == (
        25, "launch week", cast.owner, "2026-12-01T00:00:00+00:00",
    )  # fmt: skip
    change = BudgetChange.objects.get(what="granted")
    assert (change.by_user, change.by_name, change.reason) == (cast.owner, "olive", "launch week")
    # Sent again, it is shown anew: the limit is another one.
    again = client.post(reverse("grant-more", args=[own.pk]), form).content.decode()
    assert "The limit has changed since this was shown" in again
    assert BudgetGrant.objects.count() == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"cents": "0"}, "Grant 1 cent or more."), ({"last_day": "2020-01-01"}, "is over"), ({"reason": " "}, "required")],
)
def test_a_grant_that_makes_no_sense_is_said_beside_the_field(
    cast: Cast, support_bot: Agent, client: Client, fields: dict[str, str], said: str
) -> None:
    own = budget_of(support_bot, 2)
    client.force_login(cast.owner)

    assert said in agreed(client, own, **fields)[0]
    assert said in agreed(client, own, limit_before=str(2 * CENT), **fields)[0]
    assert not BudgetGrant.objects.exists()


def test_a_grant_is_taken_back_after_having_seen_before_and_after(
    cast: Cast, support_bot: Agent, client: Client
) -> None:
    own = budget_of(support_bot, 2)
    given = grant(own, 3, ends_at=AFTERNOON + timedelta(days=2), reason="launch week", by=TESTER)
    client.force_login(cast.owner)
    assert reverse("revoke-grant", args=[given.pk]) in client.get(reverse("budget", args=[own.pk])).content.decode()

    assert "Limit 5 cents ($0.05) 2 cents ($0.02)" in text_of(client, "revoke-grant", given.pk)
    assert BudgetGrant.objects.get().revoked_at is None
    client.post(reverse("revoke-grant", args=[given.pk]), {"reason": "over\x00early"})
    again = client.post(reverse("revoke-grant", args=[given.pk]), {"reason": "twice"}, follow=True)

    assert BudgetGrant.objects.get().revoked_at == AFTERNOON
    assert "nothing was changed" in again.content.decode()
    assert [(change.by_user, change.reason) for change in BudgetChange.objects.filter(what="grant_revoked")] == [
        (cast.owner, "overearly")
    ]


def test_a_viewer_sees_the_budget_and_changes_nothing(cast: Cast, support_bot: Agent, as_viewer: Client) -> None:
    own = budget_of(support_bot, 2)
    given = grant(own, 3, ends_at=AFTERNOON + timedelta(days=2), reason="launch week", by=TESTER)

    html = as_viewer.get(reverse("budget", args=[own.pk])).content.decode()
    assert "Grant more" not in html
    assert reverse("revoke-grant", args=[given.pk]) not in html
    fields = {"cents": "25", "last_day": "2026-11-30", "reason": "mine", "limit_before": str(5 * CENT)}
    for address in (reverse("grant-more", args=[own.pk]), reverse("revoke-grant", args=[given.pk])):
        refused = as_viewer.get(address)
        assert refused.status_code == 403
        assert "An owner of the workspace can change it" in refused.content.decode()
        assert as_viewer.post(address, fields).status_code == 403
    assert list(BudgetGrant.objects.values_list("cents", "revoked_at")) == [(3, None)]


def test_the_way_to_set_a_budget_is_shown_to_staff_who_may(cast: Cast, support_bot: Agent, client: Client) -> None:
    own = budget_of(support_bot, 2)
    User.objects.filter(pk__in=[cast.owner.pk, cast.viewer.pk]).update(is_staff=True)
    for person, shown in ((cast.owner, True), (cast.viewer, False), (cast.superuser, True)):
        client.force_login(person)
        assert ("Set monthly budget" in text_of(client, "budget", own.pk)) is shown, person


def test_a_budget_says_whether_it_will_hold(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    # Ten days at 0.18 cents, of a budget of 2 cents: 1.8 are spent by the 24th, and the rest goes in two days.
    for back in range(10):
        spend(started_at=AFTERNOON - timedelta(days=back, hours=1))
    budget = set_budget(Agent.objects.get(), by=By(command="test"), limit_cents=2)
    assert budget is not None

    html = text_of(as_viewer, "budget", budget.pk)
    assert "Will it hold" in html
    rows = file_of(as_viewer, reverse("budget", args=[budget.pk]), "will-it-hold")
    assert {row["Day"]: row["cost_cents"] for row in rows}["2026-11-24"] == "1.8"
    assert [row["median_cents"] for row in rows if row["Day"] == "2026-11-26"] == ["2.16"]
