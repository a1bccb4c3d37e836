"""Granting more and taking it back in the admin."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents.models import Agent, LedgerState, Workspace
from budgets.enforcement import BudgetEnforcementService
from budgets.models import BudgetChange, BudgetGrant, BudgetPolicy
from budgets.policies import archive, grant, revoke_grant, set_budget
from tests.budgets.conftest import CENT, TESTER, spend, text
from tests.factories import AgentFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def policy(support_bot: Agent) -> BudgetPolicy:
    """50 cents, all of them spent."""
    spend(support_bot, 50)
    made = set_budget(support_bot, by=TESTER, limit_cents=50)
    assert made is not None
    return made


def grant_page(policy: BudgetPolicy) -> str:
    return reverse("admin:budgets_budgetpolicy_grant", args=[policy.pk])


def revoke_page(given: BudgetGrant) -> str:
    return reverse("admin:budgets_budgetpolicy_revoke", args=[given.pk])


def form(**fields: str) -> dict[str, str]:
    return {"cents": "25", "last_day": str(LedgerState.current().today()), "reason": "launch week", **fields}


def confirmation(html: str) -> dict[str, str]:
    """The form of the confirmation page, as a browser sends it."""
    names = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', html))
    return {name: value for name, value in names.items() if name != "csrfmiddlewaretoken"}


def test_a_grant_is_shown_before_it_is_given_and_then_lets_the_agent_go_on(
    policy: BudgetPolicy, support_bot: Agent, owner: User, client: Client
) -> None:
    client.force_login(owner)
    assert client.get(grant_page(policy)).status_code == 200

    page = client.post(grant_page(policy), form()).content.decode()
    said = text(page)
    assert "Limit 50 cents ($0.50) 75 cents ($0.75)" in said
    assert "Left 0 cents ($0.00) 25 cents ($0.25)" in said
    assert re.search(r"State blocked until 1 \w+ 00:00 UTC on track", said)
    assert 'value="Grant 25 cents"' in page
    assert not BudgetGrant.objects.exists()
    assert BudgetEnforcementService().may_dispatch(support_bot) is not None

    assert client.post(grant_page(policy), confirmation(page)).status_code == 302

    given = BudgetGrant.objects.get()
    today = LedgerState.current().today()
    assert (given.policy, given.cents, given.reason, given.granted_by) == (policy, 25, "launch week", owner)
    assert given.ends_at == LedgerState.current().days().start(today + timedelta(days=1))
    assert BudgetChange.objects.filter(what="granted", by_user=owner).count() == 1
    assert BudgetEnforcementService().may_dispatch(support_bot) is None


def test_a_grant_sent_twice_is_given_once_and_shown_again(policy: BudgetPolicy, owner: User, client: Client) -> None:
    client.force_login(owner)
    agreed = confirmation(client.post(grant_page(policy), form()).content.decode())
    client.post(grant_page(policy), agreed)

    again = client.post(grant_page(policy), agreed).content.decode()

    assert BudgetGrant.objects.count() == 1
    assert "The limit has changed since this was shown" in again
    assert "Limit 75 cents ($0.75) 100 cents ($1.00)" in text(again)


def test_opening_a_page_changes_nothing(policy: BudgetPolicy, owner: User, client: Client) -> None:
    given = grant(policy, 25, ends_at=datetime.now(UTC) + timedelta(days=1), reason="launch", by=TESTER)
    client.force_login(owner)
    everything = form() | {"limit_before": str(75 * CENT)}
    assert client.get(grant_page(policy), everything).status_code == 200
    assert "Limit 75 cents ($0.75) 50 cents ($0.50)" in text(client.get(revoke_page(given)).content.decode())
    assert list(BudgetGrant.objects.values_list("revoked_at")) == [(None,)]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"cents": "0"}, "Grant 1 cent or more."),
        ({"cents": "-5"}, "Grant 1 cent or more."),
        ({"cents": "100000000001"}, "a billion dollars; check the number of digits"),
        ({"cents": "1.5"}, "Write whole cents in digits alone"),
        ({"last_day": "2020-01-01"}, "2020-01-01 is over; choose today"),
        ({"last_day": "9999-12-31"}, "9999-12-31 is over a year ahead; raise the budget itself instead."),
        ({"last_day": "soon"}, "Write a day, such as 2026-11-30."),
        ({"reason": "  "}, "This field is required."),
        ({"reason": "x" * 501}, "at most 500 characters"),
    ],
)
def test_a_grant_that_makes_no_sense_is_said_with_the_mend_also_when_it_was_confirmed(
    policy: BudgetPolicy, owner: User, client: Client, fields: dict[str, str], said: str
) -> None:
    client.force_login(owner)
    for confirmed in ({}, {"limit_before": str(50 * CENT)}):
        response = client.post(grant_page(policy), form(**fields) | confirmed)
        assert response.status_code == 200
        assert said in text(response.content.decode())
    assert not BudgetGrant.objects.exists()


def test_a_grant_is_taken_back_with_its_reason(
    policy: BudgetPolicy, support_bot: Agent, owner: User, client: Client
) -> None:
    given = grant(policy, 25, ends_at=datetime.now(UTC) + timedelta(days=1), reason="launch", by=TESTER)
    client.force_login(owner)
    assert (
        revoke_page(given)
        in client.get(reverse("admin:budgets_budgetpolicy_change", args=[policy.pk])).content.decode()
    )

    for _ in range(2):
        assert client.post(revoke_page(given), {"reason": "launch is over"}).status_code == 302

    (change,) = BudgetChange.objects.filter(what="grant_revoked")
    assert (change.by_user, change.reason) == (owner, "launch is over")
    assert BudgetEnforcementService().may_dispatch(support_bot) is not None


@pytest.mark.parametrize(
    ("person", "of", "status"),
    [
        ("viewer", "agent", 403),
        ("viewer", "site", 404),
        ("owner", "site", 404),
        ("owner", "elsewhere", 404),
        ("owner", "archived", 403),
    ],
)
def test_who_may_not_change_a_budget_grants_and_revokes_nothing(
    person: str, of: str, status: int, policy: BudgetPolicy, elsewhere: Workspace, request: pytest.FixtureRequest,
    client: Client,
) -> None:  # fmt: skip
    target: BudgetPolicy | None = policy
    if of == "site":
        target = set_budget(None, by=TESTER, limit_cents=50)
    elif of == "elsewhere":
        target = set_budget(AgentFactory(workspace=elsewhere), by=TESTER, limit_cents=50)
    assert target is not None
    given = grant(target, 5, ends_at=datetime.now(UTC) + timedelta(days=1), reason="launch", by=TESTER)
    if of == "archived":
        archive(target, by=TESTER)
    client.force_login(request.getfixturevalue(person))

    confirmed = form() | {"limit_before": str(55 * CENT)}
    for method in (client.get, client.post):
        assert method(grant_page(target), confirmed).status_code == status
        assert method(revoke_page(given), {"reason": "mine now"}).status_code == status

    assert list(BudgetGrant.objects.values_list("cents", "revoked_at")) == [(5, None)]


def test_people_who_are_not_staff_are_sent_to_sign_in(policy: BudgetPolicy, client: Client) -> None:
    confirmed = form() | {"limit_before": str(50 * CENT)}
    assert client.post(grant_page(policy), confirmed).status_code == 302
    assert not BudgetGrant.objects.exists()


def test_a_form_from_another_site_grants_nothing(policy: BudgetPolicy, owner: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    assert browser.post(grant_page(policy), form() | {"limit_before": str(50 * CENT)}).status_code == 403
    assert not BudgetGrant.objects.exists()


def test_the_page_says_what_became_of_each_grant(policy: BudgetPolicy, owner: User, client: Client) -> None:
    now = datetime.now(UTC)
    grants = [
        grant(policy, cents, ends_at=now + timedelta(days=1), reason="launch", by=TESTER) for cents in (11, 12, 13)
    ]
    revoke_grant(grants[0], by=TESTER)
    BudgetGrant.objects.filter(pk=grants[1].pk).update(ends_at=now - timedelta(seconds=1))
    client.force_login(owner)
    said = text(client.get(reverse("admin:budgets_budgetpolicy_change", args=[policy.pk])).content.decode())
    became = [
        re.search(rf" {cents} launch .{{,80}}? (in force · Revoke|over|revoked) ", said) for cents in (13, 12, 11)
    ]
    assert [found and found[1] for found in became] == ["in force · Revoke", "over", "revoked"]
