"""The pages of budgets in the admin: who sees them, and what a form does."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents.models import Agent, Workspace
from budgets.enforcement import BudgetEnforcementService
from budgets.models import BudgetChange, BudgetPolicy, Refusal, SpendLease
from budgets.policies import archive, grant, policy_of, set_budget
from tests.budgets.conftest import TESTER, queries_of, spend, text
from tests.factories import AgentFactory

pytestmark = pytest.mark.django_db

LIST = "admin:budgets_budgetpolicy_changelist"
ADD = "admin:budgets_budgetpolicy_add"


@pytest.fixture
def stranger(elsewhere: Workspace) -> Agent:
    return AgentFactory(workspace=elsewhere, slug="stranger")


@pytest.fixture
def policies(support_bot: Agent, workspace: Workspace, stranger: Agent) -> dict[str, BudgetPolicy]:
    """One of each scope in Acme, one elsewhere, and the site's."""
    of = {"agent": support_bot, "workspace": workspace, "elsewhere": stranger, "site": None}
    made = {name: set_budget(subject, by=TESTER, limit_cents=100) for name, subject in of.items()}
    return {name: policy for name, policy in made.items() if policy is not None}


def page_of(policy: BudgetPolicy) -> str:
    return reverse("admin:budgets_budgetpolicy_change", args=[policy.pk])


def changed(policy: BudgetPolicy, **fields: str) -> dict[str, str]:
    """What a browser sends from a budget's page after some fields were changed."""
    shown = {
        "limit_cents": str(policy.limit_cents),
        "thresholds": ", ".join(map(str, policy.thresholds)),
        "mode": policy.mode,
    }
    return {**shown, **{f"initial-{name}": value for name, value in shown.items()}, "reason": "", **inlines(), **fields}


def inlines() -> dict[str, str]:
    sets = ("grants", "changes", "crossings")
    return {f"{name}-{count}_FORMS": "0" for name in sets for count in ("TOTAL", "INITIAL")}


def new(**fields: Any) -> dict[str, Any]:
    return {"limit_cents": "50", "thresholds": "50, 80, 100", "mode": "hard", "reason": "", **fields}


# ── who ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("person", "seen"),
    [
        ("superuser", {"agent", "workspace", "elsewhere", "site"}),
        ("owner", {"agent", "workspace"}),
        ("viewer", {"agent", "workspace"}),
    ],
)
def test_each_sees_the_budgets_of_their_workspaces_and_only_superusers_the_sites(
    person: str, seen: set[str], policies: dict[str, BudgetPolicy], request: pytest.FixtureRequest, client: Client
) -> None:
    client.force_login(request.getfixturevalue(person))
    listed = set(client.get(reverse(LIST)).context["cl"].result_list)
    assert listed == {policies[name] for name in seen}
    for name, policy in policies.items():
        assert (client.get(page_of(policy)).status_code == 200) is (name in seen)


@pytest.mark.parametrize(
    ("person", "changes"),
    [("superuser", {"agent", "workspace", "elsewhere", "site"}), ("owner", {"agent", "workspace"}), ("viewer", set())],
)
def test_a_crafted_form_changes_the_limit_only_of_budgets_one_may_change(
    person: str, changes: set[str], policies: dict[str, BudgetPolicy], request: pytest.FixtureRequest, client: Client
) -> None:
    client.force_login(request.getfixturevalue(person))
    for policy in policies.values():
        client.post(page_of(policy), changed(policy, limit_cents="999"))
    raised = {name for name, policy in policies.items() if BudgetPolicy.objects.get(pk=policy.pk).limit_cents == 999}
    assert raised == changes


@pytest.mark.parametrize(("person", "archived"), [("superuser", 4), ("owner", 2), ("viewer", 0)])
def test_the_archive_action_ends_only_budgets_one_may_change(
    person: str, archived: int, policies: dict[str, BudgetPolicy], request: pytest.FixtureRequest, client: Client
) -> None:
    client.force_login(request.getfixturevalue(person))
    chosen = [policy.pk for policy in policies.values()]
    client.post(reverse(LIST), {"action": "archive", "_selected_action": chosen, "index": 0})
    assert BudgetPolicy.objects.exclude(archived_at=None).count() == archived
    assert BudgetChange.objects.filter(what="archived").count() == archived


def test_an_archived_budget_is_read_and_not_changed(
    policies: dict[str, BudgetPolicy], superuser: User, client: Client
) -> None:
    client.force_login(superuser)
    policy = policies["agent"]
    archive(policy, by=TESTER)
    assert "archived" in text(client.get(page_of(policy)).content.decode())
    assert client.post(page_of(policy), changed(policy, limit_cents="999")).status_code == 403


@pytest.mark.parametrize(
    "lookup",
    ["workspace__hash_key__startswith", "agent__workspace__hash_key", "workspace__memberships__user__password"],
)
def test_a_secret_cannot_be_spelt_out_through_the_address_of_the_list(
    lookup: str, policies: dict[str, BudgetPolicy], owner: User, client: Client
) -> None:
    client.force_login(owner)
    for table in ("budgetpolicy", "budgetchange", "refusal", "spendlease"):
        assert client.get(reverse(f"admin:budgets_{table}_changelist"), {lookup: "4"}).status_code == 400


# ── making ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_budget_of_each_scope_is_made_and_noted(
    support_bot: Agent, workspace: Workspace, superuser: User, client: Client
) -> None:
    client.force_login(superuser)
    for fields in (
        {"scope": "agent", "agent": support_bot.pk},
        {"scope": "workspace", "workspace": workspace.pk},
        {"scope": "site"},
    ):
        form = new(**fields, thresholds="25 90%", mode="dispatch", reason="trial")
        assert client.post(reverse(ADD), form).status_code == 302
    for of in (support_bot, workspace, None):
        policy = policy_of(of)
        assert policy is not None
        assert (policy.limit_cents, policy.thresholds, policy.mode) == (50, [25, 90], "dispatch")
    noted = BudgetChange.objects.values_list("what", "by_user", "reason")
    assert list(noted) == [("made", superuser.pk, "trial")] * 3


@pytest.mark.parametrize("scope", ["agent", "workspace", "site"])
def test_an_owner_makes_no_budget_outside_their_workspaces(
    scope: str, stranger: Agent, owner: User, client: Client
) -> None:
    client.force_login(owner)
    of = {"agent": {"agent": stranger.pk}, "workspace": {"workspace": stranger.workspace_id}, "site": {}}[scope]
    assert client.post(reverse(ADD), new(scope=scope, **of)).status_code == 200
    assert not BudgetPolicy.objects.exists()


def test_a_viewer_makes_none(support_bot: Agent, viewer: User, client: Client) -> None:
    client.force_login(viewer)
    assert client.post(reverse(ADD), new(scope="agent", agent=support_bot.pk)).status_code == 403
    assert not BudgetPolicy.objects.exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"limit_cents": "-1"}, "A budget is 0 cents or more; to have none, archive it instead."),
        ({"limit_cents": ""}, "Write a limit in cents"),
        ({"limit_cents": "100000000001"}, "a billion dollars; check the number of digits"),
        ({"thresholds": "80, 50"}, "The thresholds are out of order or repeat themselves"),
        ({"thresholds": "50, 50"}, "The thresholds are out of order or repeat themselves"),
        ({"thresholds": "50, 120"}, "A threshold lies outside 1 to 100"),
        ({"thresholds": "0, 50"}, "A threshold lies outside 1 to 100"),
        ({"thresholds": "half"}, "A threshold is not a whole number: write percents"),
        ({"thresholds": ""}, "There is no threshold: write percents"),
        ({"thresholds": "1 2 3 4 5 6 7 8 9 10 11"}, "There are 11 thresholds; give at most 10."),
        ({"mode": "soft"}, "Select a valid choice"),
        ({"scope": "everything"}, "Select a valid choice"),
        ({"agent": ""}, "Choose the agent that the budget is for."),
        ({"scope": "workspace"}, "Choose the workspace that the budget is for."),
        ({"scope": "site"}, "A global budget is of no one"),
    ],
)
def test_a_form_that_makes_no_sense_is_said_with_the_mend(
    support_bot: Agent, superuser: User, client: Client, fields: dict[str, str], said: str
) -> None:
    client.force_login(superuser)
    response = client.post(reverse(ADD), new(scope="agent", agent=support_bot.pk) | fields)
    assert response.status_code == 200
    assert said in text(response.content.decode())
    assert not BudgetPolicy.objects.exists()


def test_an_agent_of_another_workspace_than_the_one_chosen_is_named(
    support_bot: Agent, elsewhere: Workspace, superuser: User, client: Client
) -> None:
    client.force_login(superuser)
    response = client.post(reverse(ADD), new(scope="agent", agent=support_bot.pk, workspace=elsewhere.pk))
    assert "support-bot runs in Acme" in text(response.content.decode())


@pytest.mark.parametrize("scope", ["agent", "workspace", "site"])
def test_a_second_budget_of_one_thing_is_refused_and_the_first_linked(
    scope: str, policies: dict[str, BudgetPolicy], superuser: User, client: Client
) -> None:
    client.force_login(superuser)
    first = policies[scope]
    of = {"agent": {"agent": first.agent_id}, "workspace": {"workspace": first.workspace_id}, "site": {}}[scope]
    html = client.post(reverse(ADD), new(scope=scope, **of)).content.decode()
    assert f"There is a budget of {first.subject} already" in text(html)
    assert f'href="{page_of(first)}"' in html
    assert "Constraint" not in html
    assert BudgetPolicy.objects.count() == 4


def test_after_the_first_was_archived_another_can_be_made(
    policies: dict[str, BudgetPolicy], superuser: User, client: Client
) -> None:
    client.force_login(superuser)
    archive(policies["site"], by=TESTER)
    assert client.post(reverse(ADD), new(scope="site")).status_code == 302
    assert BudgetPolicy.objects.live().filter(scope="site").count() == 1


# ── changing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_what_was_changed_is_set_and_noted_with_the_reason(
    policies: dict[str, BudgetPolicy], owner: User, client: Client
) -> None:
    client.force_login(owner)
    policy = policies["agent"]
    form = changed(policy, mode="monitor", reason="tell us only")
    set_budget(policy.agent, by=TESTER, limit_cents=9_000)  # by somebody else, while the form was open

    assert client.post(page_of(policy), form).status_code == 302

    policy.refresh_from_db()
    assert (policy.limit_cents, policy.mode) == (9_000, "monitor")
    change = policy.changes.first()
    assert change is not None
    assert (change.before, change.after, change.reason, change.by_user) == (
        {"mode": "hard"}, {"mode": "monitor"}, "tell us only", owner,
    )  # fmt: skip


def test_whose_budget_it_is_does_not_change(
    policies: dict[str, BudgetPolicy], stranger: Agent, superuser: User, client: Client
) -> None:
    client.force_login(superuser)
    policy = policies["agent"]
    client.post(page_of(policy), changed(policy, scope="site", agent=str(stranger.pk), limit_cents="7"))
    policy.refresh_from_db()
    assert (policy.scope, policy.agent and policy.agent.slug, policy.limit_cents) == ("agent", "support-bot", 7)


# ── what the pages say ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_list_says_how_each_budget_stands(
    policies: dict[str, BudgetPolicy], support_bot: Agent, superuser: User, client: Client
) -> None:
    spend(support_bot, 90)
    grant(policies["workspace"], 50, ends_at=datetime.now(UTC) + timedelta(days=1), reason="launch", by=TESTER)
    archive(policies["elsewhere"], by=TESTER)
    client.force_login(superuser)

    html = client.get(reverse(LIST)).content.decode()

    rows = [text(row) for row in re.findall(r"<tr><td class=\"action-checkbox\">(.*?)</tr>", html, re.DOTALL)]
    assert [re.sub(r" \d+ \w+ \d{4} \d\d:\d\d", " …", row).strip() for row in rows] == [
        "the whole site near budget Global 100 90 0 10 …",
        "Acme on track Per-workspace 100 + 50 90 0 60 …",
        "Acme / support-bot near budget Per-agent 100 90 0 10 …",
        "Elsewhere / stranger archived … Per-agent 100 0 0 100 …",
    ]


def test_the_page_of_a_budget_has_its_month_its_changes_its_grants_and_its_crossings(
    policies: dict[str, BudgetPolicy], support_bot: Agent, viewer: User, client: Client
) -> None:
    spend(support_bot, 60)
    grant(policies["agent"], 50, ends_at=datetime.now(UTC) + timedelta(days=1), reason="launch week", by=TESTER)
    client.force_login(viewer)
    said = text(client.get(page_of(policies["agent"])).content.decode())
    for part in (
        "150 cents ($1.50), 50 cents ($0.50) of it granted", "60 cents ($0.60)", "90 cents ($0.90)",
        "limit (cents): 100; thresholds: 50, 80, 100; mode: hard", "launch week", "50 %, 80 %, 100 %",
        "100 cents ($1.00)", "on track",
    ):  # fmt: skip
        assert part in said, part
    assert "Grant more " not in said
    assert "Revoke " not in said


def test_a_budget_that_was_changed_often_shows_the_newest_changes(
    policies: dict[str, BudgetPolicy], superuser: User, client: Client
) -> None:
    policy = policies["agent"]
    for limit in range(101, 171):
        set_budget(policy.agent, by=TESTER, limit_cents=limit)
    client.force_login(superuser)
    said = text(client.get(page_of(policy)).content.decode())
    assert said.count("limit (cents): 1") == 50
    assert "limit (cents): 169 → 170" in said
    assert "limit (cents): 119 → 120" not in said


@pytest.mark.parametrize(("mode", "held"), [("hard", "50"), ("dispatch", "–"), ("monitor", "–")])
def test_only_a_hard_budget_says_what_leases_hold_of_it(
    mode: str, held: str, support_bot: Agent, workspace: Workspace, superuser: User, client: Client
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=100)
    BudgetEnforcementService().lease(support_bot, UUID(int=1))
    policy = set_budget(support_bot, by=TESTER, mode=mode)
    assert policy is not None
    client.force_login(superuser)
    html = client.get(reverse(LIST)).content.decode()
    assert re.findall(r'<td class="field-held_in_cents[^"]*">(.*?)</td>', html) == [held]
    assert ("50 cents ($0.50)" in client.get(page_of(policy)).content.decode()) is (mode == "hard")


def test_a_longer_list_takes_no_more_queries(workspace: Workspace, superuser: User, client: Client) -> None:
    client.force_login(superuser)

    set_budget(workspace, by=TESTER, limit_cents=50)
    queries_of(client, reverse(LIST))
    with_one = queries_of(client, reverse(LIST))
    for _ in range(20):
        set_budget(AgentFactory(workspace=workspace), by=TESTER, limit_cents=50)
    assert queries_of(client, reverse(LIST)) == with_one


def test_the_pages_hold_under_the_content_policy(
    policies: dict[str, BudgetPolicy], superuser: User, client: Client
) -> None:
    policy = policies["agent"]
    given = grant(policy, 5, ends_at=datetime.now(UTC) + timedelta(days=1), reason="launch", by=TESTER)
    client.force_login(superuser)
    pages = [
        reverse(f"admin:budgets_{table}_changelist")
        for table in ("budgetpolicy", "budgetchange", "refusal", "spendlease")
    ]
    pages += [
        reverse(ADD),
        page_of(policy),
        reverse("admin:budgets_budgetpolicy_grant", args=[policy.pk]),
        reverse("admin:budgets_budgetpolicy_revoke", args=[given.pk]),
    ]
    for page in pages:
        response = client.get(page)
        html = response.content.decode()
        assert response.status_code == 200, page
        assert "style-src 'self'" in response.headers["Content-Security-Policy"]
        assert not re.search(r"<style|\sstyle=|\son(click|change|load|submit)=", html), page
        assert "css/tokens.css" in html


# ── what is read only ────────────────────────────────────────────────────────────────────────────────────────────────


def test_members_see_the_changes_and_refusals_of_their_own_budgets(
    policies: dict[str, BudgetPolicy], support_bot: Agent, stranger: Agent, owner: User, superuser: User, client: Client
) -> None:
    at = datetime.now(UTC).replace(second=0, microsecond=0)
    for agent, policy in ((support_bot, policies["site"]), (stranger, policies["elsewhere"])):
        Refusal.objects.create(
            policy=policy, workspace=agent.workspace, agent=agent, kind="exhausted", minute=at, count=3
        )
    for person, changes, refusals in ((owner, 2, 1), (superuser, 4, 2)):
        client.force_login(person)
        for table, count in (("budgetchange", changes), ("refusal", refusals)):
            listed = client.get(reverse(f"admin:budgets_{table}_changelist")).context["cl"].result_list
            assert len(listed) == count


def test_there_is_no_lease_to_see_where_none_holds_anything(owner: User, client: Client) -> None:
    client.force_login(owner)
    assert SpendLease.objects.count() == 0
    assert client.get(reverse("admin:budgets_spendlease_changelist")).status_code == 200


def test_no_change_of_many_budgets_at_once_gets_past_what_keeps_changes() -> None:
    assert not hasattr(BudgetPolicy.objects.all(), "archive")
    assert not hasattr(BudgetPolicy.objects.all(), "restore")
