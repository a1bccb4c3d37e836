"""The pages in a real Chromium, against a live server: what is recorded is what a person reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page

from agents import ledger
from agents.models import Agent, AgentRunLog, LLMCall, Membership, ModelPrice, Workspace
from budgets.policies import By, set_budget
from tests.end_to_end.browsing import CHROMIUM, log_in
from tests.factories import MembershipFactory, UserFactory, WorkspaceFactory, llm_call

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH"),
]

CALLS_OF_RUNS = (1, 2, 4)
DOLLARS_IN, DOLLARS_OUT = 3, 15
"""Per million tokens."""


@pytest.fixture
def recorded() -> list[int]:
    """Seven calls in three runs, today: the tokens in of each, out always a tenth of it. Returns them in order."""
    workspace = WorkspaceFactory(slug="acme", name="Acme")
    MembershipFactory(
        user=UserFactory(username="olive", is_staff=True), workspace=workspace, role=Membership.Role.OWNER
    )
    ModelPrice.objects.create(
        provider="acme-ai",
        model="acme-1",
        input_per_million=Decimal(DOLLARS_IN),
        output_per_million=Decimal(DOLLARS_OUT),
        effective_from=datetime(2020, 1, 1, tzinfo=UTC),
    )
    now = timezone.now()
    sizes: list[int] = []
    events: list[Any] = []
    for run, calls in enumerate(CALLS_OF_RUNS):
        run_id = uuid4()
        for call in range(calls):
            sizes.append(10_000 * (run + 1) + 1_000 * call)
            at = now + timedelta(milliseconds=10 * run + call)  # never before midnight of the day it is sent
            events.append(
                llm_call(
                    run_id=run_id,
                    provider="acme-ai",
                    request_model="acme-1",
                    step="agent",
                    call_index=call,
                    started_at=at,
                    ended_at=at,
                    input_tokens=sizes[-1],
                    output_tokens=sizes[-1] // 10,
                )
            )
    answer = ledger.record(workspace, list(enumerate(events)), client=None, received_at=now)
    assert answer.accepted == list(range(len(events)))
    return sizes


def cents_of(sizes: list[int]) -> Decimal:
    """By the price list, not by the code under test: dollars a million tokens are 0.0001 cents a token."""
    return sum((Decimal(size) * DOLLARS_IN + Decimal(size // 10) * DOLLARS_OUT for size in sizes), Decimal()) / 10_000


def kpi(page: Page, name: str) -> str:
    return page.locator(".kpis > div", has=page.get_by_text(name, exact=True)).locator(".figure").inner_text()


def test_one_drills_from_the_dashboard_to_a_call_and_the_figures_agree(
    recorded: list[int], live_server: Any, browser: Browser
) -> None:
    page = browser.new_page()
    complaints = log_in(page, live_server.url)
    month = f"{cents_of(recorded):.2f}¢"
    newest = cents_of(recorded[-CALLS_OF_RUNS[-1] :])

    assert kpi(page, "Total spend this month") == month
    assert page.get_by_text("3 runs this month").is_visible()
    page.get_by_role("cell", name="Acme").or_(page.get_by_role("rowheader", name="Acme")).get_by_role("link").click()
    assert kpi(page, "Total spend this month") == month
    page.get_by_role("table").get_by_role("link", name="support-bot").first.click()
    assert kpi(page, "Total spend this month") == month
    page.locator("#history table").last.get_by_role("link").first.click()
    assert kpi(page, "Estimated cost") == f"{newest:.2f}¢"
    assert page.locator("[aria-labelledby=calls] tbody tr").count() == CALLS_OF_RUNS[-1]
    total = page.locator("[aria-labelledby=calls] tfoot").inner_text().split()
    assert total[:4] == ["Total", f"{sum(recorded[-4:]):,}", f"{sum(recorded[-4:]) // 10:,}", f"{newest:.2f}¢"]
    stored = sum(call.cost_microcents or 0 for call in LLMCall.objects.all())
    assert stored == cents_of(recorded) * 1_000_000 == sum(run.cost_microcents for run in AgentRunLog.objects.all())
    assert complaints == []


def test_one_filters_the_dashboard_and_drills_from_a_column_to_its_runs(
    recorded: list[int], live_server: Any, browser: Browser
) -> None:
    page = browser.new_page()
    complaints = log_in(page, live_server.url)

    page.get_by_role("link", name="7 days", exact=True).click()
    page.get_by_role("link", name="model", exact=True).click()
    page.get_by_role("link", name="Compare", exact=True).click()
    assert {"range=7-days", "by=model", "compare=1"} <= set(page.url.partition("?")[2].split("&"))
    page.get_by_text("Dates and filters").click()
    page.get_by_placeholder("Any model").fill("acme-1")
    page.get_by_label("Status of calls").select_option("OK")
    page.get_by_role("button", name="Show").click()
    assert {"model=acme-1", "status=ok", "by=model", "compare=1"} <= set(page.url.partition("?")[2].split("&"))
    assert f"{cents_of(recorded):.2f}¢ in all" in page.locator("#spend-per-day .measure").inner_text()
    with page.expect_download() as download:
        page.locator("#spend-per-day").get_by_role("link", name="CSV").click()
    rows = download.value.path().read_text().splitlines()
    assert Decimal(rows[-1].split(",")[1]) == cents_of(recorded)
    page.get_by_placeholder("Any model").fill("no-such-model")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("Nothing to draw in this range.").wait_for()
    page.get_by_role("link", name="Clear filters").click()
    assert "?" not in page.url
    page.locator("#spend-per-day a[data-tip]").last.click()
    page.get_by_role("heading", name="Run logs").wait_for()
    assert page.get_by_role("region", name="Runs").locator("tbody tr").count() == len(CALLS_OF_RUNS)
    page.get_by_text("More filters").click()
    page.get_by_label("Tokens over").fill(str(sum(recorded[-4:])))
    page.get_by_role("button", name="Show").click()
    assert page.get_by_role("region", name="Runs").locator("tbody tr").count() == 1
    page.get_by_role("region", name="Runs").locator("tbody tr").get_by_role("link").first.click()
    assert kpi(page, "Estimated cost") == f"{cents_of(recorded[-4:]):.2f}¢"
    assert "more than the agent's median run" in page.get_by_role("region", name="median run").inner_text()
    assert complaints == []


def test_the_owners_guide_leads_through_the_site_by_what_it_says(
    recorded: list[int], live_server: Any, browser: Browser
) -> None:
    """By visible words alone: view costs per agent, then set a monthly budget, and the bar moves."""
    page = browser.new_page()
    log_in(page, live_server.url)
    month = f"{cents_of(recorded):.2f}¢"

    page.get_by_text("Analytics", exact=True).click()
    page.get_by_text("support-bot", exact=True).click()
    for words in ("Total spend this month", "Token usage", "Input", "Output", "Cost trend", "Per-run cost history"):
        assert page.get_by_text(words, exact=True).first.is_visible(), words
    assert page.get_by_text(month, exact=True).first.is_visible()
    assert page.get_by_text("No monthly budget. Spending is recorded, never stopped.").is_visible()

    page.get_by_text("Agents", exact=True).click()
    page.get_by_text("support-bot", exact=True).first.click()
    page.get_by_label("Monthly budget (in cents)").fill("400")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("was changed successfully").wait_for()

    page.goto(live_server.url)
    page.get_by_text("Analytics", exact=True).click()
    assert page.get_by_text("on track", exact=True).is_visible()
    page.get_by_text("support-bot", exact=True).click()
    used = cents_of(recorded) / 400 * 100
    bar = page.get_by_role("img", name="used:").first
    width = bar.locator(".spent").first.get_attribute("width") or ""
    assert float(width.rstrip("%")) == pytest.approx(float(used) * 0.85, abs=0.02)
    assert page.get_by_text(f"{month} of $4.00").filter(visible=True).count() == 1
    assert page.get_by_text("budget $4.00", exact=True).is_visible()

    page.get_by_text("Agents", exact=True).click()
    page.get_by_text("support-bot", exact=True).first.click()
    page.get_by_label("Monthly budget (in cents)").fill("800")
    page.get_by_role("button", name="Save", exact=True).click()
    page.goto(live_server.url)
    page.get_by_text("Analytics", exact=True).click()
    page.get_by_text("support-bot", exact=True).click()
    assert page.get_by_text(f"{month} of $8.00").filter(visible=True).count() == 1
    halved = page.get_by_role("img", name="used:").first.locator(".spent").first.get_attribute("width") or ""
    assert float(halved.rstrip("%")) == pytest.approx(float(width.rstrip("%")) / 2, abs=0.02)


def test_the_pages_work_without_scripts(recorded: list[int], live_server: Any, browser: Browser) -> None:
    page = browser.new_context(java_script_enabled=False).new_page()
    log_in(page, live_server.url)

    assert kpi(page, "Total spend this month") == f"{cents_of(recorded):.2f}¢"
    page.get_by_role("link", name="Analytics").click()
    page.get_by_label("Search agents").fill("support")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="support-bot").click()
    page.get_by_role("link", name="90 days").click()
    page.locator("summary", has_text="olive").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="Log in to Costsite").wait_for()


def test_a_chart_is_walked_and_read_by_keyboard(recorded: list[int], live_server: Any, browser: Browser) -> None:
    page = browser.new_page()
    log_in(page, live_server.url)

    page.locator("#spend-per-day a[data-tip]").last.focus()
    tip = page.locator(".tip")
    assert f"{cents_of(recorded):.2f}¢" in tip.inner_text()
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Run logs").wait_for()
    assert page.get_by_role("region", name="Runs").locator("tbody tr").count() == 3


@pytest.mark.parametrize(("scheme", "ground"), [("light", "rgb(246, 247, 249)"), ("dark", "rgb(17, 21, 28)")])
def test_light_and_dark_follow_the_readers_preference(
    recorded: list[int], live_server: Any, browser: Browser, scheme: Any, ground: str
) -> None:
    page = browser.new_context(color_scheme=scheme).new_page()
    log_in(page, live_server.url)

    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground


@pytest.mark.parametrize("width", [1200, 360])
def test_the_words_of_an_empty_site_keep_off_the_border(live_server: Any, browser: Browser, width: int) -> None:
    MembershipFactory(user=UserFactory(username="olive"))
    page = browser.new_context(viewport={"width": width, "height": 740}).new_page()
    log_in(page, live_server.url)
    for path in ("/", "/analytics/", "/runs/"):
        page.goto(live_server.url + path)

        panel, words = page.locator(".panel.empty").bounding_box(), page.locator(".panel.empty h2").bounding_box()
        assert panel is not None, path
        assert words is not None, path
        assert words["x"] - panel["x"] >= 16, path


def test_no_page_is_wider_than_a_phone(recorded: list[int], live_server: Any, browser: Browser) -> None:
    page = browser.new_context(viewport={"width": 360, "height": 740}).new_page()
    log_in(page, live_server.url)
    run = AgentRunLog.objects.first()
    assert run is not None
    budget = set_budget(run.agent, by=By(command="test"), limit_cents=5)
    assert budget is not None
    misspelt = Agent.objects.create(workspace=run.agent.workspace, slug="a-name-so-long-that-no-line-of-a-phone-has-it")
    for path in (
        "/",
        "/analytics/",
        f"/analytics/{run.agent_id}/",
        f"/analytics/{run.agent_id}/merge/",
        f"/analytics/{run.agent_id}/merge/?into={misspelt.slug}",
        "/workspaces/",
        "/workspaces/acme/",
        "/runs/",
        f"/runs/{run.pk}/",
        "/budgets/",
        f"/budgets/{budget.pk}/",
        f"/budgets/{budget.pk}/grant/",
        "/inbox/",
        "/prices/",
        "/prices/enter/?kind=priced",
        "/keys/",
    ):
        page.goto(live_server.url + path)

        beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert beyond == 0, path


def test_on_a_phone_a_row_is_name_cost_and_state_and_the_rest_unfolds(
    recorded: list[int], live_server: Any, browser: Browser
) -> None:
    Workspace.objects.update(name="Northwind Engineering")
    Agent.objects.update(name="Code completer")
    context = browser.new_context(viewport={"width": 375, "height": 740}, java_script_enabled=False)
    page = context.new_page()
    log_in(page, live_server.url)
    page.goto(f"{live_server.url}/runs/")
    row = page.get_by_role("region", name="Runs").locator("tbody tr").first
    lines = "element => element.getClientRects().length"

    for name in ("Code completer", "Northwind Engineering"):
        assert row.get_by_text(name, exact=True).evaluate(lines) == 1, name
    assert row.get_by_text("Running", exact=True).is_visible()
    assert row.get_by_role("cell", name=f"{sum(recorded[-4:]):,}").is_hidden()
    row.locator("summary").click()
    assert row.get_by_text(f"{sum(recorded[-4:]):,}", exact=True).is_visible()
    for path in ("/", "/analytics/", "/workspaces/acme/", row.get_by_role("link").first.get_attribute("href")):
        page.goto(f"{live_server.url}{path}")
        first = page.locator(".folds tbody tr").first
        hidden = first.locator(".more").last
        assert hidden.is_hidden(), path
        first.locator("summary").click()
        assert hidden.is_visible(), path
        beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert beyond == 0, path


def test_the_admin_runs_its_scripts_under_the_content_policy(
    recorded: list[int], live_server: Any, browser: Browser
) -> None:
    page = browser.new_page()
    complaints = log_in(page, live_server.url)

    page.get_by_role("link", name="Agents", exact=True).click()
    page.get_by_role("link", name="support-bot").click()
    page.locator("#id_name").fill("Support")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("was changed successfully").wait_for()
    page.goto(f"{live_server.url}/admin/agents/apikey/add/")
    page.locator("#id_workspace").select_option(label="Acme")
    page.get_by_role("button", name="Save", exact=True).click()
    key = page.locator("#key").inner_text()
    assert key.startswith("cs_")
    assert page.locator("#setting-up").inner_text().splitlines() == [
        "pip install ./", f"export COSTSITE_URL={live_server.url}", f"export COSTSITE_API_KEY={key}",
    ]  # fmt: skip
    assert complaints == []


def test_a_copy_button_answers_in_place(live_server: Any, browser: Browser) -> None:
    UserFactory(username="olive", is_superuser=True)
    WorkspaceFactory()
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    log_in(page, live_server.url)

    page.get_by_role("button", name="Copy the three lines").click()

    page.get_by_role("button", name="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()").startswith(
        "from langchain_plugin import CostCallbackHandler"
    )
