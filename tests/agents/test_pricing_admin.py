"""Prices in the admin: who sees and enters which, and what saving one sets off."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from agents import ledger, tasks
from agents.models import LLMCall, ModelPrice, Workspace
from tests.factories import MembershipFactory, UserFactory, WorkspaceFactory, llm_call

LIST = reverse("admin:agents_modelprice_changelist")
ADD = reverse("admin:agents_modelprice_add")


def form(**fields: Any) -> dict[str, Any]:
    return {
        "workspace": "",
        "provider": "ollama",
        "model": "llama3.1:8b",
        "kind": "priced",
        "input_per_million": "2",
        "output_per_million": "10",
        "effective_from_0": "2020-01-01",
        "effective_from_1": "00:00:00",
    } | fields


def logged_in(user: Any) -> Client:
    browser = Client()
    browser.force_login(user)
    return browser


@pytest.fixture
def root(db: None) -> Client:
    return logged_in(UserFactory(is_staff=True, is_superuser=True))


@pytest.fixture
def owner(workspace: Workspace) -> Client:
    return logged_in(MembershipFactory(workspace=workspace, role="owner", user=UserFactory(is_staff=True)).user)


@pytest.fixture
def viewer(workspace: Workspace) -> Client:
    return logged_in(MembershipFactory(workspace=workspace, user=UserFactory(is_staff=True)).user)


def price(**facts: Any) -> ModelPrice:
    return ModelPrice.objects.create(
        **{"model": "llama3", "kind": "free", "effective_from": datetime(2020, 1, 1, tzinfo=UTC)} | facts
    )


def call_now(workspace: Workspace, **facts: Any) -> None:
    now = timezone.now()
    facts = {"provider": "ollama", "request_model": "llama3.1:8b", "started_at": now, "ended_at": now} | facts
    ledger.record(workspace, [(0, llm_call(**facts))], client=None, received_at=now)


@pytest.mark.django_db(databases="__all__")
def test_a_saved_price_reprices_the_months_unpriced_calls_in_the_background(
    root: Client, workspace: Workspace, django_capture_on_commit_callbacks: Any
) -> None:
    call_now(workspace)

    with django_capture_on_commit_callbacks(execute=True):
        answer = root.post(ADD, form(), follow=True)

    row = ModelPrice.objects.get()
    assert "It is for 1 unpriced call of this month." in answer.content.decode()
    assert row.created_by is not None
    (queued,) = OrmQ.objects.all()
    assert (queued.task["func"], queued.task["args"]) == ("agents.tasks.reprice_unpriced", (row.pk,))

    assert tasks.reprice_unpriced(row.pk) == "1 calls repriced"
    assert tasks.reprice_unpriced(row.pk) == "0 calls repriced"
    # 1,200 x 2 + 300 x 10 = 5,400 / 1M USD = 540,000 microcents
    assert LLMCall.objects.get().cost_microcents == 540_000
    assert tasks.reprice_unpriced(row.pk + 1) == "the price is gone"


def test_the_list_names_the_models_that_wait_for_a_price(root: Client, workspace: Workspace) -> None:
    call_now(workspace)
    call_now(workspace, provider="openai", request_model="gpt-4o")

    page = root.get(LIST).content.decode()

    assert "llama3.1:8b on ollama: 1 call" in page
    assert f"{ADD}?provider=ollama&amp;model=llama3.1%3A8b" in page
    assert "All of ollama costs nothing" in page
    assert "gpt-4o" not in page


def test_the_list_says_what_each_price_is_and_how_many_calls_wait_for_it(root: Client, workspace: Workspace) -> None:
    call_now(workspace)
    price(model="llama3*")
    price(model="house", kind="same_as", same_as_provider="openai", same_as_model="gpt-4o")
    price(model="other", kind="priced", input_per_million=Decimal("2.50000000"), output_per_million=10)

    page = root.get(LIST).content.decode()

    for words in ("costs nothing", "as openai/gpt-4o", "$2.5 in, $10 out"):
        assert words in page
    assert '<td class="field-unpriced_calls">1</td>' in page
    assert page.count('<td class="field-unpriced_calls">0</td>') == 2


def test_a_link_from_the_list_fills_the_form_from_the_start_of_the_month(root: Client) -> None:
    page = root.get(f"{ADD}?provider=ollama&model=*&kind=free").content.decode()

    assert 'value="ollama"' in page
    assert '<option value="free" selected>It costs nothing</option>' in page
    assert f'value="{timezone.localdate().replace(day=1)}"' in page


def test_an_error_stands_beside_its_field_with_the_mend(root: Client) -> None:
    page = root.post(ADD, form(output_per_million="")).content.decode()
    assert "Enter a price, or choose" in page
    assert not ModelPrice.objects.exists()


def test_a_mistake_in_a_price_that_is_changed_is_told_too(root: Client) -> None:
    address = reverse("admin:agents_modelprice_change", args=[price().pk])

    page = root.post(address, form(input_per_million="", output_per_million=""))

    assert page.status_code == 200
    assert "Enter a price, or choose" in page.content.decode()


def test_an_owner_enters_prices_for_their_own_workspace_alone(owner: Client, workspace: Workspace) -> None:
    other = WorkspaceFactory()

    assert "This field is required" in owner.post(ADD, form()).content.decode()
    assert "Select a valid choice" in owner.post(ADD, form(workspace=other.pk)).content.decode()
    assert owner.post(ADD, form(workspace=workspace.pk)).status_code == 302
    assert ModelPrice.objects.get().workspace == workspace
