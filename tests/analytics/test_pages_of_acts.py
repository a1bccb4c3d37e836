"""What holds on every page that an owner acts on: its queries, and that opening it changes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents.keys import create_key
from agents.models import Agent
from budgets.policies import By, grant, set_budget
from tests.analytics.facts import AFTERNOON, UNPRICED, Cast, Spend
from tests.analytics.test_every_page import MOST_QUERIES
from tests.factories import MembershipFactory, WorkspaceFactory


@pytest.fixture
def pages(cast: Cast, spend: Spend) -> list[str]:
    spend()
    spend(**UNPRICED)
    support_bot = Agent.objects.get()
    spend(agent="suport-bot")
    misspelt = Agent.objects.get(slug="suport-bot")
    for _ in range(3):
        MembershipFactory(user=cast.owner, workspace=WorkspaceFactory(), role="owner")
    budget = set_budget(support_bot, by=By(command="test"), limit_cents=1)
    assert budget is not None
    given = grant(budget, 2, ends_at=AFTERNOON + timedelta(days=2), reason="launch", by=By(command="test"))
    key, _ = create_key(cast.acme)
    return [
        reverse("merge-agent", args=[misspelt.pk]),
        f"{reverse('merge-agent', args=[misspelt.pk])}?into=support-bot",
        f"{reverse('merge-agent', args=[misspelt.pk])}?into=suport-bot",
        reverse("merged", args=[support_bot.pk]),
        reverse("budget", args=[budget.pk]),
        reverse("grant-more", args=[budget.pk]),
        reverse("revoke-grant", args=[given.pk]),
        reverse("prices"),
        *(f"{reverse('enter-price')}?kind={kind}" for kind in ("free", "priced", "same_as", "nonsense")),
        reverse("keys"),
        reverse("first-event", args=[key.pk]),
        f"{reverse('first-event', args=[key.pk])}?part",
    ]


def everything() -> dict[str, list[Any]]:
    """Every row of the ledger and of budgets."""
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values())
        for label in ("agents", "budgets")
        for model in apps.get_app_config(label).get_models()
    }


def test_opening_a_page_of_an_act_changes_nothing_and_asks_little(pages: list[str], cast: Cast, client: Client) -> None:
    before = everything()
    for person in (cast.owner, cast.superuser):
        client.force_login(person)
        for page in pages:
            with CaptureQueriesContext(connection) as queries:
                response = client.get(page)

            assert response.status_code == 200, page
            assert len(queries) <= MOST_QUERIES, (page, len(queries), [query["sql"] for query in queries])
    assert everything() == before
