"""What people do on the pages, in a real Chromium: grant, price, make a key, merge agents, read what they were told."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page

from agents import ledger
from agents.models import Agent, AgentMerge, ApiKey, LLMCall, Membership, ModelPrice, Workspace
from agents.tasks import move_merged, reprice_unpriced
from budgets.enforcement import BudgetEnforcementService
from budgets.models import BudgetChange, BudgetGrant, BudgetPolicy
from budgets.policies import By, set_budget
from tests.end_to_end.browsing import CHROMIUM, log_in
from tests.factories import MembershipFactory, UserFactory, WorkspaceFactory, llm_call

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH"),
]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60_000
"""Milliseconds: a busy machine takes its time."""


@pytest.fixture
def acme() -> Workspace:
    """Olive owns it, and is not staff."""
    workspace = WorkspaceFactory(slug="acme", name="Acme")
    MembershipFactory(user=UserFactory(username="olive"), workspace=workspace, role=Membership.Role.OWNER)
    return workspace


def spend(workspace: Workspace, calls: int, **facts: Any) -> None:
    now = timezone.now()
    events = [llm_call(**{"request_model": "gpt-4o", "started_at": now, "ended_at": now} | facts) for _ in range(calls)]
    answer = ledger.record(workspace, list(enumerate(events)), client=None, received_at=now)
    assert answer.accepted == list(range(calls))


@pytest.fixture
def blocked(acme: Workspace) -> BudgetPolicy:
    """A budget of 2 cents, of which 2.4 are spent: 2,400 x 2.50 + 600 x 10 USD a million, twice."""
    spend(acme, 2, input_tokens=2_400, output_tokens=600)
    policy = set_budget(Agent.objects.get(), by=By(command="test"), limit_cents=2)
    assert policy is not None
    return policy


def without_scripts(browser: Browser) -> Page:
    return browser.new_context(java_script_enabled=False).new_page()


def test_an_owner_grants_more_and_the_bar_falls_back_behind_its_line(
    blocked: BudgetPolicy, live_server: Any, browser: Browser
) -> None:
    page = without_scripts(browser)
    log_in(page, live_server.url)
    agent = Agent.objects.get()

    def reaches() -> tuple[float, float]:
        """Where the spent part of the bar ends, and where the limit is, in pixels."""
        spent, limit = (
            page.locator(".budgetbar .spent").bounding_box(),
            page.locator(".budgetbar .limit").bounding_box(),
        )
        assert spent is not None
        assert limit is not None
        return spent["x"] + spent["width"], limit["x"] + limit["width"] / 2

    page.get_by_role("link", name="Budgets", exact=True).click()
    assert page.get_by_role("row", name="support-bot").get_by_text("blocked until").is_visible()
    page.get_by_role("link", name="support-bot").click()
    end, line = reaches()
    assert end > line + 5
    page.get_by_role("link", name="Grant more").click()
    page.get_by_label("Cents").fill("6")
    page.get_by_label("Reason").fill("launch week")
    page.get_by_role("button", name="Show before and after").click()
    assert page.get_by_role("row", name="Limit").inner_text().split("\t") == [
        "Limit", "2 cents ($0.02)", "8 cents ($0.08)",
    ]  # fmt: skip
    assert BudgetEnforcementService().may_dispatch(agent) is not None
    page.get_by_role("button", name="Grant 6 cents").click()

    page.get_by_text("Granted: 6 cents.").wait_for()
    end, line = reaches()
    assert end < line - 5
    assert page.get_by_text("on track").is_visible()
    assert BudgetEnforcementService().may_dispatch(agent) is None
    assert BudgetGrant.objects.get().cents == 6
    assert BudgetChange.objects.filter(what="granted", by_name="olive").count() == 1


def test_an_unpriced_model_is_priced_and_its_count_falls_by_itself(
    acme: Workspace, live_server: Any, browser: Browser
) -> None:
    spend(acme, 3, provider="vllm", request_model="house-70b", input_tokens=10_000, output_tokens=1_000)
    page = browser.new_page()
    complaints = log_in(page, live_server.url)

    page.get_by_role("link", name="Prices", exact=True).click()
    page.get_by_role("heading", name="3 calls without a price this month").wait_for()
    unpriced = page.get_by_role("listitem").filter(has_text="house-70b")
    unpriced.get_by_role("link", name="Enter a price").click()
    page.get_by_label("Input, USD per million tokens").fill("1")
    page.get_by_label("Output, USD per million tokens").fill("5")
    page.get_by_role("button", name="Show what it would change").click()
    # 10,000 x 1 + 1,000 x 5 USD a million are 1.5 cents a call.
    assert "3 calls of this month would cost 4.50 cents ($0.04)" in page.locator(".would").inner_text()
    page.get_by_role("button", name="Price 3 calls").click()
    page.get_by_text("0 of 3 calls priced; 3 calls of this month wait for a cost.").wait_for()

    reprice_unpriced(ModelPrice.objects.get().pk)  # the queued task, as the background service runs it

    page.get_by_text("3 calls priced, 4.50 cents ($0.04) in all.").wait_for(timeout=PATIENCE)
    page.get_by_role("link", name="Prices", exact=True).first.click()
    page.get_by_role("heading", name="Models").wait_for()
    assert page.get_by_text("without a price").count() == 0
    assert sum(call.cost_microcents or 0 for call in LLMCall.objects.all()) == Decimal("4.5") * 1_000_000
    assert complaints == []


def test_a_key_is_made_and_the_first_event_is_seen_to_arrive(
    acme: Workspace, live_server: Any, browser: Browser, tmp_path: Path
) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    complaints = log_in(page, live_server.url)

    page.get_by_role("link", name="Make an API key").click()
    page.get_by_label("Name", exact=True).fill("laptop")
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("button", name="Copy the commands").click()
    page.get_by_role("button", name="Copied").wait_for()
    assert page.get_by_text("Waiting for the first event").is_visible()
    install, *variables = page.evaluate("navigator.clipboard.readText()").splitlines()
    # Not run here: it would install over what the tests themselves run from.
    assert f"\n{install} " in (ROOT / "README.md").read_text()
    assert variables[0] == f"export COSTSITE_URL={live_server.url}"
    pasted = "\n".join([*variables, shlex.join([sys.executable, str(ROOT / "examples" / "support_agent.py")])])
    ran = subprocess.run(
        ["sh", "-e", "-c", pasted],
        env=os.environ | {"COSTSITE_STATE_DIR": str(tmp_path)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr

    page.get_by_text("First event received").wait_for(timeout=PATIENCE)
    page.get_by_role("link", name="Open support-bot").click()
    page.get_by_text("Total spend this month").wait_for()
    page.locator("summary", has_text="olive").click()
    page.get_by_role("link", name="API keys").click()
    page.get_by_text("Revoke…").click()
    page.get_by_role("button", name="Revoke cs_").click()
    page.get_by_text("Revoked: cs_").wait_for()
    assert ApiKey.objects.get().archived_at is not None
    assert complaints == []


def test_without_scripts_the_first_event_is_seen_by_refreshing(
    acme: Workspace, live_server: Any, browser: Browser
) -> None:
    page = without_scripts(browser)
    log_in(page, live_server.url)
    page.goto(f"{live_server.url}/keys/")
    page.get_by_role("button", name="Make the key").click()

    spend(acme, 1, started_at=timezone.now() - timedelta(seconds=1))
    ApiKey.objects.update(last_used_at=timezone.now())
    page.get_by_role("link", name="Refresh").click()

    page.get_by_text("First event received").wait_for()


def test_two_agents_are_merged_and_their_money_is_one_figure(
    acme: Workspace, live_server: Any, browser: Browser
) -> None:
    # 4,000 tokens in at 2.50 USD a million are a cent: 3 of support-bot, 2 of suport-bot.
    spend(acme, 3, input_tokens=4_000, output_tokens=0)
    spend(acme, 2, agent="suport-bot", input_tokens=4_000, output_tokens=0)
    set_budget(Agent.objects.get(slug="support-bot"), by=By(command="test"), limit_cents=20)
    page = browser.new_page()
    complaints = log_in(page, live_server.url)

    notice = page.get_by_role("listitem").filter(has_text="named almost like support-bot")
    notice.get_by_role("link", name="Merge into…").click()
    assert page.get_by_text("2 runs and 2 calls of suport-bot move to support-bot, 2.00¢ in all.").is_visible()
    assert page.get_by_role("row", name="Spent").inner_text().split("\t") == [
        "Spent", "3 cents ($0.03)", "5 cents ($0.05)",
    ]  # fmt: skip
    assert AgentMerge.objects.count() == 0
    page.get_by_role("button", name="Merge suport-bot into support-bot").click()

    page.get_by_role("heading", name="Analytics / support-bot").wait_for()
    page.get_by_text("Merged: suport-bot into support-bot.").wait_for()
    page.get_by_text("0 of 2 calls of suport-bot moved here").wait_for()
    spend(acme, 1, agent="suport-bot", input_tokens=4_000, output_tokens=0)  # by a process that runs still

    move_merged(AgentMerge.objects.get().pk)  # the queued task, as the background service runs it

    page.get_by_text("moved here").wait_for(state="detached", timeout=PATIENCE)
    page.reload()
    page.get_by_text("Total spend this month").wait_for()
    assert page.locator(".kpis dd.figure").first.inner_text() == "6.00¢"
    assert page.get_by_role("row", name="suport-bot").inner_text().split("\t")[:4] == ["suport-bot", "2.00¢", "2", "2"]
    page.get_by_role("link", name="Dashboard", exact=True).click()
    page.get_by_role("heading", name="Dashboard").wait_for()
    assert page.get_by_text("suport-bot").count() == 0
    page.goto(f"{live_server.url}/analytics/{Agent.objects.get(slug='suport-bot').pk}/")
    page.get_by_role("heading", name="Analytics / support-bot").wait_for()
    assert set(LLMCall.objects.values_list("agent__slug", flat=True)) == {"support-bot"}
    assert complaints == []


def test_without_scripts_an_agent_is_merged_by_its_name(acme: Workspace, live_server: Any, browser: Browser) -> None:
    spend(acme, 1, input_tokens=4_000, output_tokens=0)
    spend(acme, 1, agent="helper", input_tokens=4_000, output_tokens=0)
    page = without_scripts(browser)
    log_in(page, live_server.url)
    page.get_by_role("link", name="Analytics", exact=True).click()
    page.get_by_role("link", name="helper").click()
    page.get_by_role("link", name="Merge into…").click()

    page.get_by_label("Into").fill("support")
    page.get_by_role("button", name="Show what would move").click()
    page.get_by_text("Acme has no agent named 'support'; write one it has.").wait_for()
    page.get_by_label("Into").fill("support-bot")
    page.get_by_role("button", name="Show what would move").click()
    page.get_by_role("button", name="Merge helper into support-bot").click()
    page.get_by_text("0 of 1 call of helper moved here").wait_for()
    move_merged(AgentMerge.objects.get().pk)
    page.get_by_role("link", name="Refresh").click()

    page.get_by_text("Names that stand for support-bot").wait_for()
    assert page.locator(".kpis dd.figure").first.inner_text() == "2.00¢"


def test_what_one_was_told_is_read_and_the_bell_falls_silent(
    acme: Workspace, live_server: Any, browser: Browser
) -> None:
    set_budget(acme, by=By(command="test"), limit_cents=4)
    spend(acme, 2, input_tokens=4_000, output_tokens=0)  # 2 of 4 cents
    page = without_scripts(browser)
    log_in(page, live_server.url)

    page.get_by_role("link", name="Inbox, 1 unread").click()
    page.get_by_role("link", name="Workspace Acme: 50 % of the").wait_for()
    page.get_by_role("button", name="Mark all as read").click()

    page.get_by_role("link", name="Inbox", exact=True).wait_for()
    assert page.get_by_text("0 unread").is_visible()
    page.get_by_role("link", name="Workspace Acme: 50 % of the").click()
    page.get_by_role("heading", name="Budgets / Acme").wait_for()
