"""The page of a run that was refused: which budget did, why, and what to do."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from agents import ledger
from agents.models import Agent, AgentRunLog, Workspace
from budgets.models import BudgetPolicy
from budgets.policies import By, set_budget
from langchain_plugin import wire
from tests.analytics.facts import AFTERNOON, Cast, Spend, text_of

BY = By(command="test")


def budget(of: Agent | Workspace | None, cents: int) -> BudgetPolicy:
    policy = set_budget(of, by=BY, limit_cents=cents)
    assert policy is not None
    return policy


def refused(
    cast: Cast, policy_id: int | None, kind: wire.RefusalKind = "exhausted", count: int = 1, at: datetime = AFTERNOON
) -> AgentRunLog:
    event = wire.Refused(
        type="refused", run_id=uuid4(), agent="support-bot", refusal_id=uuid4(), kind=kind, refused_at=at,
        count=count, policy_id=policy_id,
    )  # fmt: skip
    assert ledger.record(cast.acme, [(0, event)], client=None, received_at=AFTERNOON).accepted == [0]
    return AgentRunLog.objects.get(run_id=event.run_id)


def test_the_budget_that_refused_is_named_with_the_way_to_grant_more(cast: Cast, spend: Spend, client: Client) -> None:
    spend()
    policy = budget(Agent.objects.get(), 40)
    run = refused(cast, policy.pk, count=3)
    for person, may_grant in ((cast.owner, True), (cast.superuser, True), (cast.viewer, False)):
        client.force_login(person)

        html = text_of(client, "run", run.pk)

        assert "Refused before they were made: 3 calls" in html
        assert "3 calls by the budget of support-bot : its limit was reached. Calls go again when" in html
        assert ("granted. Grant more" in html) is may_grant, person
        assert reverse("budget", args=[policy.pk]) in client.get(reverse("run", args=[run.pk])).content.decode()


@pytest.mark.parametrize(
    ("kind", "said", "grants_help"),
    [
        ("held", "other calls held what was left. A call some seconds later may go.", False),
        ("too_large", "the call might have cost more than was left. It goes with a smaller maximum", True),
    ],
)
def test_each_reason_has_its_mend(
    cast: Cast, spend: Spend, client: Client, kind: wire.RefusalKind, said: str, grants_help: bool
) -> None:
    spend()
    run = refused(cast, budget(cast.acme, 40).pk, kind)
    client.force_login(cast.owner)

    html = text_of(client, "run", run.pk)

    assert f"1 call by the budget of Acme : {said}" in html
    assert ("Grant more" in html) is grants_help


def test_of_a_month_that_is_over_nothing_is_granted(cast: Cast, spend: Spend, client: Client) -> None:
    spend()
    run = refused(cast, budget(cast.acme, 40).pk, at=AFTERNOON - timedelta(days=31))
    client.force_login(cast.owner)

    html = text_of(client, "run", run.pk)

    assert "by the budget of Acme : its limit was reached." in html
    assert "Grant more" not in html


def test_members_learn_that_the_sites_budget_refused_and_get_no_way_into_it(
    cast: Cast, spend: Spend, client: Client
) -> None:
    spend()
    policy = budget(None, 40)
    run = refused(cast, policy.pk)
    for person, opens in ((cast.owner, False), (cast.superuser, True)):
        client.force_login(person)

        page = client.get(reverse("run", args=[run.pk])).content.decode()

        assert "by the budget of the whole site : its limit was reached." in text_of(client, "run", run.pk)
        assert (reverse("budget", args=[policy.pk]) in page) is opens
        assert ("Grant more" in page) is opens


def test_a_budget_of_another_workspace_is_not_taken_at_the_clients_word(
    cast: Cast, spend: Spend, as_viewer: Client
) -> None:
    spend()
    for policy_id in (budget(cast.elsewhere, 40).pk, 10**9, None):
        run = refused(cast, policy_id)

        assert "1 call by a budget: its limit was reached." in text_of(as_viewer, "run", run.pk)
