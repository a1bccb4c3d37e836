"""The field "Monthly budget (in cents)" of agents and workspaces, and the column beside it."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents.models import Agent, Workspace
from budgets.models import BudgetChange, BudgetPolicy
from budgets.policies import policy_of, set_budget
from tests.budgets.conftest import TESTER, queries_of, spend
from tests.factories import AgentFactory

FIELD = "monthly_budget_cents"
pytestmark = pytest.mark.django_db


def page_of(row: Agent | Workspace) -> str:
    return reverse(f"admin:agents_{row._meta.model_name}_change", args=[row.pk])


def form_of(row: Agent | Workspace, budget: str, shown: str = "") -> dict[str, str]:
    """What a browser sends: the field, and the hidden copy of what it showed."""
    if isinstance(row, Agent):
        form = {"name": row.name, "active": "on"}
    else:
        form = {
            "name": row.name, "slug": row.slug, "memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0",
            "default_budget-TOTAL_FORMS": "0", "default_budget-INITIAL_FORMS": "0",
        }  # fmt: skip
    return form | {FIELD: budget, f"initial-{FIELD}": shown}


def help_of(html: str) -> str:
    (found,) = re.findall(rf'id="id_{FIELD}_helptext">\s*<div>(.*?)</div>', html, re.DOTALL)
    return re.sub(r"\s+", " ", str(found))


def limit_of(row: Agent | Workspace) -> int | None:
    policy = policy_of(row)
    return None if policy is None else policy.limit_cents


@pytest.mark.parametrize("kind", ["agent", "workspace"])
def test_an_owner_sets_changes_and_ends_a_budget_and_each_is_noted_under_their_name(
    kind: str, support_bot: Agent, workspace: Workspace, owner: User, client: Client
) -> None:
    row: Agent | Workspace = support_bot if kind == "agent" else workspace
    client.force_login(owner)

    for budget, shown in (("5000", ""), ("0", "5000"), ("", "0")):
        assert client.post(page_of(row), form_of(row, budget, shown)).status_code == 302
        assert limit_of(row) == (int(budget) if budget else None)

    changes = BudgetChange.objects.order_by("pk").values_list("what", "by_user", "before__limit_cents")
    assert list(changes) == [("made", owner.pk, None), ("changed", owner.pk, 5_000), ("archived", owner.pk, 0)]


def test_a_new_agent_can_be_given_its_budget_at_once(workspace: Workspace, owner: User, client: Client) -> None:
    client.force_login(owner)
    form = {"workspace": workspace.pk, "slug": "new-bot", "active": "on", FIELD: "700", f"initial-{FIELD}": ""}
    assert client.post(reverse("admin:agents_agent_add"), form).status_code == 302
    assert limit_of(Agent.objects.get(slug="new-bot")) == 700


def test_a_form_that_does_not_have_the_field_leaves_the_budget_alone(
    support_bot: Agent, owner: User, client: Client
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=50)
    client.force_login(owner)
    assert client.post(page_of(support_bot), {"name": "Renamed", "active": "on"}).status_code == 302
    support_bot.refresh_from_db()
    assert (support_bot.name, limit_of(support_bot)) == ("Renamed", 50)


def test_what_somebody_else_set_while_the_form_was_open_is_not_set_back(
    support_bot: Agent, owner: User, client: Client
) -> None:
    set_budget(support_bot, by=TESTER, limit_cents=50)
    client.force_login(owner)
    set_budget(support_bot, by=TESTER, limit_cents=9_000)
    client.post(page_of(support_bot), form_of(support_bot, "50", shown="50"))
    assert limit_of(support_bot) == 9_000


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("-1", "A budget is 0 cents or more; leave it empty to have none."),
        ("100000000001", "At most 100,000,000,000 cents"),
        ("50.5", "Write whole cents in digits alone, such as 5000 for $50.00."),
        ("5,000", "Write whole cents in digits alone"),
        ("nothing", "Write whole cents in digits alone"),
        ("9" * 400, "At most 100,000,000,000 cents"),
    ],
)
def test_what_is_no_budget_is_said_with_the_mend(
    support_bot: Agent, owner: User, client: Client, budget: str, said: str
) -> None:
    client.force_login(owner)
    response = client.post(page_of(support_bot), form_of(support_bot, budget))
    assert response.status_code == 200
    assert said in response.content.decode()
    assert not BudgetPolicy.objects.exists()


@pytest.mark.parametrize("person", ["viewer", "stranger"])
def test_who_does_not_own_the_workspace_sets_nothing(
    person: str, support_bot: Agent, elsewhere: Workspace, viewer: User, owner: User, client: Client
) -> None:
    row = support_bot if person == "viewer" else AgentFactory(workspace=elsewhere)
    client.force_login(viewer if person == "viewer" else owner)
    response = client.post(page_of(row), form_of(row, "1"))
    assert response.status_code == (403 if person == "viewer" else 302)
    assert not BudgetPolicy.objects.exists()


def test_a_viewer_reads_the_budget_in_both_units(support_bot: Agent, viewer: User, client: Client) -> None:
    client.force_login(viewer)
    assert "no budget" in client.get(page_of(support_bot)).content.decode()
    set_budget(support_bot, by=TESTER, limit_cents=5_000)
    html = client.get(page_of(support_bot)).content.decode()
    assert "5,000 cents ($50.00)" in html
    assert f'name="{FIELD}"' not in html


def test_the_help_counts_calls_without_a_price(support_bot: Agent, owner: User, client: Client) -> None:
    client.force_login(owner)
    for said in ("and 1 call without a price.", "and 2 calls without a price."):
        spend(support_bot, 1, provider="acme-ai")
        assert said in help_of(client.get(page_of(support_bot)).content.decode())


def test_the_help_says_what_is_spent_and_which_other_budgets_cover_it(
    support_bot: Agent, workspace: Workspace, owner: User, superuser: User, client: Client
) -> None:
    spend(support_bot, 45)
    set_budget(workspace, by=TESTER, limit_cents=50)
    set_budget(None, by=TESTER, limit_cents=1_000)

    client.force_login(owner)
    told = help_of(client.get(page_of(support_bot)).content.decode())
    assert "Spent this month: 45 cents ($0.45)." in told
    assert (
        "The budget of workspace Acme covers it too: 45 cents ($0.45) of 50 cents ($0.50) spent, near budget." in told
    )
    # What the whole site spends is other people's: an owner learns that the budget is there, and how it stands.
    assert "The budget of the whole site covers it too: on track." in told

    client.force_login(superuser)
    told = help_of(client.get(page_of(support_bot)).content.decode())
    assert "The budget of the whole site covers it too: 45 cents ($0.45) of 1,000 cents ($10.00) spent" in told
    assert "The budget of the whole site" in help_of(client.get(page_of(workspace)).content.decode())


@pytest.mark.parametrize("person", ["owner", "superuser"])
def test_a_form_asks_at_most_twelve_queries(
    support_bot: Agent, workspace: Workspace, person: str, client: Client, request: pytest.FixtureRequest
) -> None:
    spend(support_bot, 45)
    for row in (support_bot, workspace, None):
        set_budget(row, by=TESTER, limit_cents=1_000)
    reader = request.getfixturevalue(person)
    Agent.objects.filter(pk=support_bot.pk).update(owner=reader)
    client.force_login(reader)
    ContentType.objects.get_for_model(Agent)  # read once a process

    with CaptureQueriesContext(connection) as queries:
        html = client.get(page_of(support_bot)).content.decode()

    written = [query["sql"] for query in queries]
    assert len(written) <= 12, "\n".join(written)
    assert 'value="1000"' in html
    assert help_of(html).count("covers it too") == 2


def test_the_help_links_to_what_else_a_budget_has(
    support_bot: Agent, workspace: Workspace, owner: User, client: Client
) -> None:
    client.force_login(owner)
    for row, more in (
        (support_bot, "Thresholds, mode, model near the end, and grants"),
        (workspace, "Thresholds, mode, and grants"),
    ):
        set_budget(row, by=TESTER, limit_cents=5_000)
        policy = policy_of(row)
        assert policy is not None
        address = reverse("admin:budgets_budgetpolicy_change", args=[policy.pk])
        assert f'<a href="{address}">{more}</a>' in help_of(client.get(page_of(row)).content.decode())


def test_a_name_is_text_on_the_page_and_nothing_else(support_bot: Agent, owner: User, client: Client) -> None:
    workspace = support_bot.workspace
    workspace.name = "<script>alert(1)</script>"
    workspace.save()
    set_budget(workspace, by=TESTER, limit_cents=50)
    client.force_login(owner)
    for address in (page_of(support_bot), reverse("admin:agents_agent_changelist")):
        html = client.get(address).content.decode()
        assert "<script>alert" not in html
        assert "&lt;script&gt;alert" in html


# ── the lists ────────────────────────────────────────────────────────────────────────────────────────────────────────


def column(html: str) -> list[str]:
    """The column *budget*, without its tags."""
    return [re.sub(r"<[^>]+>", "", cell) for cell in re.findall(r'<td class="field-budget[^"]*">(.*?)</td>', html)]


def test_the_list_of_agents_says_how_each_stands_and_by_whose_budget(
    support_bot: Agent, workspace: Workspace, elsewhere: Workspace, superuser: User, client: Client
) -> None:
    AgentFactory(workspace=elsewhere, slug="a-free-bot")
    AgentFactory(workspace=workspace, slug="b-covered-bot")
    set_budget(support_bot, by=TESTER, limit_cents=0)
    set_budget(workspace, by=TESTER, limit_cents=500)
    client.force_login(superuser)

    free, covered, blocked = column(client.get(reverse("admin:agents_agent_changelist")).content.decode())

    assert (free, covered) == ("no budget", "on track (workspace Acme)")
    assert blocked.startswith("blocked until 1 ")
    in_workspaces = column(client.get(reverse("admin:agents_workspace_changelist")).content.decode())
    assert in_workspaces == ["on track", "no budget"]


def test_a_longer_list_of_agents_takes_no_more_queries(support_bot: Agent, superuser: User, client: Client) -> None:
    client.force_login(superuser)

    set_budget(support_bot, by=TESTER, limit_cents=50)
    queries_of(client, reverse("admin:agents_agent_changelist"))
    with_one = queries_of(client, reverse("admin:agents_agent_changelist"))
    for _ in range(20):
        set_budget(AgentFactory(workspace=support_bot.workspace), by=TESTER, limit_cents=50)
    assert queries_of(client, reverse("admin:agents_agent_changelist")) == with_one
