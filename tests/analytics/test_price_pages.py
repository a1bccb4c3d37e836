"""Prices on pages: what each model costs and since when, and entering a price after having seen what it changes."""

from __future__ import annotations

import csv
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from agents.models import LLMCall, ModelPrice, UsageDay
from agents.repricing import reprice_unpriced
from tests.analytics.facts import AFTERNOON, PRICED_MICROCENTS, UNPRICED, Cast, Spend, text_of

HOSTILE = "<script>alert('x')</script>&\"" + "W" * 140 + "🤖"
CENT = 1_000_000
MODEL = str(UNPRICED["request_model"])


@pytest.fixture
def as_owner(cast: Cast, client: Client) -> Client:
    client.force_login(cast.owner)
    return client


def table(client: Client) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(client.get(reverse("prices-csv")).getvalue().decode())))


def shown(client: Client, kind: str, **fields: Any) -> tuple[str, dict[str, str]]:
    """What a price would change, as the page says it, and the form that does it."""
    form = {"provider": "acme-ai", "model": MODEL, "first_day": "2026-11-01"} | fields
    html = client.post(f"{reverse('enter-price')}?kind={kind}", form).content.decode()
    hidden = {
        name: value
        for name, value in re.findall(r'<input type="hidden" name="(\w+)"(?: value="([^"]*)")?', html)
        if name != "csrfmiddlewaretoken"
    }
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)), hidden


def entered(client: Client, kind: str, form: dict[str, str], django_capture_on_commit_callbacks: Any) -> ModelPrice:
    """The price, after the background work that its saving queued."""
    with django_capture_on_commit_callbacks() as queued:
        answer = client.post(f"{reverse('enter-price')}?kind={kind}", form)
    price = ModelPrice.objects.order_by("-pk")[0]
    assert answer.headers["Location"] == reverse("price", args=[price.pk])
    assert len(queued) == 1
    return price


# ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_model_has_its_calls_cost_and_price(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    for _ in range(3):
        spend()
    spend(provider="openai", request_model="gpt-4o")
    for _ in range(2):
        spend(**UNPRICED)
    spend(started_at=AFTERNOON - timedelta(days=25))  # of October: seen, and in no figure of November
    spend(cast.elsewhere, request_model="hidden-1")

    rows = {row["Model"]: row for row in table(as_viewer)}

    november = datetime(2026, 11, 1, tzinfo=UTC)
    for model, row in rows.items():
        calls = LLMCall.objects.filter(workspace=cast.acme, request_model=model, started_at__gte=november)
        assert int(row["Calls this month"]) == len(calls), model
        assert int(row["Unpriced calls this month"]) == sum(call.cost_microcents is None for call in calls), model
        known = [call.cost_microcents for call in calls if call.cost_microcents is not None]
        assert row["Estimated cost this month (cents)"] == (
            f"{Decimal(sum(known)) / CENT:f}".rstrip("0").rstrip(".") if known else ""
        ), model
    assert [row["Model"] for row in table(as_viewer)] == [MODEL, "gpt-4o", "acme-1"]
    assert rows["acme-1"]["Estimated cost this month (cents)"] == str(Decimal(3 * PRICED_MICROCENTS) / CENT)
    price = ModelPrice.objects.get()
    assert (rows["acme-1"]["Input (USD per million)"], rows["acme-1"]["Output (USD per million)"]) == ("1.00", "2.00")
    assert (rows["acme-1"]["From"], rows["acme-1"]["Since"]) == (f"price #{price.pk}", "2025-01-01T00:00:00+00:00")
    assert (rows["gpt-4o"]["Input (USD per million)"], rows["gpt-4o"]["Output (USD per million)"]) == ("2.50", "10.00")
    assert rows["gpt-4o"]["From"].startswith("genai-prices ")
    assert (rows[MODEL]["From"], rows[MODEL]["Input (USD per million)"]) == ("unpriced", "")
    said = text_of(as_viewer, "prices")
    assert "2 calls without a price this month" in said
    assert "An owner of the workspace can enter a price." in said
    assert "It costs nothing" not in said


def test_workspaces_that_pay_differently_have_a_row_each(cast: Cast, spend: Spend, client: Client) -> None:
    spend()
    ModelPrice.objects.create(
        workspace=cast.elsewhere, provider="acme-ai", model="acme-1", input_per_million=7, output_per_million=9,
        effective_from=AFTERNOON - timedelta(days=60),
    )  # fmt: skip
    spend(cast.elsewhere)
    client.force_login(cast.superuser)

    rows = {row["Workspaces"]: row["Input (USD per million)"] for row in table(client)}

    assert rows == {"Acme": "1.00", "Elsewhere": "7.00"}


def test_a_price_began_where_it_last_changed(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    changed = AFTERNOON - timedelta(days=3)
    ModelPrice.objects.filter(model="acme-1").update(effective_to=changed)
    ModelPrice.objects.create(
        provider="acme-ai", model="acme-1", input_per_million=3, output_per_million=4, effective_from=changed
    )
    spend()

    (row,) = table(as_viewer)

    assert (row["Input (USD per million)"], row["Since"]) == ("3.00", changed.isoformat())


def test_a_name_is_tried_and_said_why(cast: Cast, as_viewer: Client) -> None:
    price = ModelPrice.objects.get()
    known = as_viewer.get(f"{reverse('prices')}?model=acme-1&provider=acme-ai").content.decode()
    listed = text_of(as_viewer, f"{reverse('prices')}?model=openai/gpt-4o&provider=openai")
    local = text_of(as_viewer, f"{reverse('prices')}?model=gpt-4o&provider=ollama")

    assert f'<a href="{reverse("price", args=[price.pk])}">price #{price.pk}</a>' in known
    assert re.search(r"openai/gpt-4o is priced by genai-prices [\d.]+ Input \$2.50 Output \$10.00", listed)
    assert "gpt-4o would be unpriced : no entered price covers it, and the price library does not know it" in local


def test_a_price_of_another_workspace_is_not_told(cast: Cast, as_viewer: Client) -> None:
    theirs = ModelPrice.objects.create(
        workspace=cast.elsewhere, provider="acme-ai", model="secret-1", input_per_million=77, output_per_million=99
    )
    tried = f"{reverse('prices')}?model=secret-1&provider=acme-ai&workspace={cast.elsewhere.pk}"

    assert "would be unpriced" in text_of(as_viewer, tried)
    for name in ("price", "price-progress"):
        assert as_viewer.get(reverse(name, args=[theirs.pk])).status_code == 404


# ── entering ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "fields", "cost", "written"),
    [
        ("free", {}, 0, "0 cents ($0.00)"),
        # 1,200 in at 3 USD and 300 out at 10 USD a million: 0.36 + 0.3 cents, twice.
        ("priced", {"input_per_million": "3", "output_per_million": "10"}, 2 * 660_000, "1.32 cents ($0.01)"),
        ("same_as", {"same_as_model": "acme-1", "same_as_provider": "acme-ai"}, 2 * PRICED_MICROCENTS, "0.3600 cents"),
    ],
)
def test_a_price_is_entered_after_having_seen_what_it_changes_and_changes_exactly_that(
    cast: Cast, spend: Spend, as_owner: Client, kind: str, fields: dict[str, str], cost: int, written: str,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    for _ in range(2):
        spend(**UNPRICED)
    assert f"{MODEL} acme-ai 2 unpriced calls It costs nothing Same price as… Enter a price" in text_of(
        as_owner, "prices"
    )

    said, form = shown(as_owner, kind, workspace=cast.acme.pk, **fields)

    assert f"2 calls of this month would cost {written}" in said
    assert "Price 2 calls" in said
    assert LLMCall.objects.filter(cost_microcents=None).count() == 2
    price = entered(as_owner, kind, form, django_capture_on_commit_callbacks)
    assert (price.kind, price.workspace, price.created_by) == (kind, cast.acme, cast.owner)
    assert price.effective_from == datetime(2026, 11, 1, tzinfo=UTC)

    assert entered(as_owner, kind, form, django_capture_on_commit_callbacks) == price  # sent twice, entered once
    assert ModelPrice.objects.count() == 2

    waiting = as_owner.get(reverse("price", args=[price.pk])).content.decode()
    assert "0 of 2 calls priced; 2 calls of this month wait for a cost." in waiting
    assert f'data-live="{reverse("price-progress", args=[price.pk])}"' in waiting
    reprice_unpriced(price.pk)
    done = as_owner.get(reverse("price-progress", args=[price.pk])).content.decode()
    assert "<b>2 calls priced</b>" in done
    assert "data-live" not in done
    assert [call.cost_microcents for call in LLMCall.objects.all()] == [cost // 2, cost // 2]
    assert "without a price this month" not in text_of(as_owner, "prices")


def test_a_price_that_begins_too_late_says_that_it_changes_nothing(cast: Cast, spend: Spend, as_owner: Client) -> None:
    spend(**UNPRICED)

    said, _ = shown(as_owner, "free", workspace=cast.acme.pk, first_day="2026-11-24")

    assert "None of the 1 unpriced call of this month would get a cost: they began before it holds." in said
    assert "Save the price" in said


def test_a_price_the_same_as_an_unknown_models_says_so_and_offers_to_change_it(
    cast: Cast, spend: Spend, as_owner: Client
) -> None:
    spend(**UNPRICED)

    said, form = shown(
        as_owner, "same_as", workspace=cast.acme.pk, same_as_model="acme-one", same_as_provider="acme-ai"
    )

    assert "No price is known for acme-ai/acme-one : 1 call of this month would stay unpriced." in said
    assert "Change it" in said
    assert "Save the price" not in said
    again = as_owner.post(f"{reverse('enter-price')}?kind=same_as", form | {"change": "yes"}).content.decode()
    assert 'value="acme-one"' in again
    assert "Show what it would change" in again
    assert not ModelPrice.objects.filter(kind="same_as").exists()


@pytest.mark.parametrize(
    ("kind", "fields", "said"),
    [
        ("priced", {}, "Enter a price, or choose"),
        ("priced", {"input_per_million": "-1", "output_per_million": "1"}, "greater than or equal to 0"),
        ("priced", {"input_per_million": "1", "output_per_million": "9999999"}, "enter the price of a million tokens"),
        ("same_as", {}, "Name the model whose price it has."),
        ("same_as", {"same_as_model": MODEL, "same_as_provider": "acme-ai"}, "leads back to this one"),
        ("free", {"model": "*", "provider": ""}, "name the provider it is for"),
        ("free", {"model": ""}, "This field is required."),
        ("free", {"first_day": "soon"}, "Write a day, such as 2026-11-01."),
        ("free", {"first_day": "0001-01-01"}, "Write a day of this century."),
        ("free", {"workspace": ""}, "This field is required."),
    ],
)
def test_a_price_that_makes_no_sense_is_said_with_the_mend_also_when_it_was_confirmed(
    cast: Cast, as_owner: Client, kind: str, fields: dict[str, str], said: str
) -> None:
    for confirmed in ({}, {"confirmed": "yes"}):
        assert said in shown(as_owner, kind, **{"workspace": cast.acme.pk} | fields | confirmed)[0]
    assert ModelPrice.objects.count() == 1


# ── who ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_owner_enters_prices_of_their_workspaces_alone_and_who_runs_the_site_for_all(
    cast: Cast, spend: Spend, client: Client
) -> None:
    spend(**UNPRICED)
    spend(cast.elsewhere, **UNPRICED)
    client.force_login(cast.owner)
    assert "Every workspace" not in text_of(client, "enter-price")
    assert "Select a valid choice" in shown(client, "free", workspace=cast.elsewhere.pk, confirmed="yes")[0]
    assert "1 call of this month would cost" in shown(client, "free", workspace=cast.acme.pk)[0]
    client.force_login(cast.superuser)
    assert "2 calls of this month would cost" in shown(client, "free", workspace="")[0]
    assert ModelPrice.objects.count() == 1


def test_a_viewer_enters_no_price(cast: Cast, spend: Spend, as_viewer: Client) -> None:
    spend(**UNPRICED)
    form = {
        "provider": "acme-ai", "model": MODEL, "first_day": "2026-11-01", "workspace": cast.acme.pk, "confirmed": "yes",
    }  # fmt: skip

    for address in (reverse("enter-price"), f"{reverse('enter-price')}?kind=free"):
        assert as_viewer.get(address).status_code == 403
        assert as_viewer.post(address, form).status_code == 403
    assert ModelPrice.objects.count() == 1
    assert reverse("enter-price") not in as_viewer.get(reverse("prices")).content.decode()


def test_progress_tells_a_member_of_their_own_workspaces_calls_alone(
    cast: Cast, spend: Spend, as_viewer: Client
) -> None:
    spend(**UNPRICED)
    for _ in range(4):
        spend(cast.elsewhere, **UNPRICED)
    price = ModelPrice.objects.create(
        provider="acme-ai", model=MODEL, kind="free", effective_from=AFTERNOON - timedelta(days=20),
        created_at=AFTERNOON - timedelta(days=1),
    )  # fmt: skip
    assert "0 of 1 calls priced" in text_of(as_viewer, "price", price.pk)

    reprice_unpriced(price.pk)

    assert UsageDay.objects.filter(unpriced_calls__gt=0).count() == 0
    assert "1 call priced" in text_of(as_viewer, "price", price.pk)


def test_before_the_first_call_the_page_says_what_comes(as_viewer: Client) -> None:
    assert "No model was called yet." in text_of(as_viewer, "prices")


def test_names_are_shown_as_text(cast: Cast, spend: Spend, as_owner: Client) -> None:
    spend(provider=HOSTILE[:200], request_model=HOSTILE[:200])

    for address in (reverse("prices"), f"{reverse('prices')}?model=%3Cscript%3Ealert(1)"):
        html = as_owner.get(address).content.decode()
        assert "<script>alert" not in html, address
        assert "alert(" in html, address
    link = re.findall(r'href="(/prices/enter/\?kind=free[^"]*)"', as_owner.get(reverse("prices")).content.decode())[0]
    form = as_owner.get(link.replace("&amp;", "&")).content.decode()
    assert "<script>alert" not in form
    assert "WWWW🤖" in form
