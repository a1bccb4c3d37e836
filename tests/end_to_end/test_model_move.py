"""An owner has an agent's budget move it to another model, and the running agent follows: a real site and browser."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from playwright.sync_api import Browser

from langchain_plugin import CostCallbackHandler
from langchain_plugin.middleware import BudgetMiddleware
from tests.end_to_end.browsing import CHROMIUM, log_in
from tests.end_to_end.live_site import LiveSite
from tests.end_to_end.test_budget_scene import PROMPT, Gpt4o
from tests.langchain_plugin.ways import look_up

pytestmark = [
    pytest.mark.browser,
    pytest.mark.newer_langchain,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH"),
]

LIMIT_CENTS = 20
SET_UP = """
from agents.models import Agent, Workspace
from budgets.policies import By, set_budget
agent = Agent.objects.create(workspace=Workspace.objects.get(slug="acme"), slug="mover")
set_budget(agent, by=By(command="test"), limit_cents={limit})
"""
MODELS = """
from agents.models import LLMCall
print(*LLMCall.objects.filter(agent__slug="mover").order_by("pk").values_list("model", flat=True))
"""


def test_a_running_agent_moves_to_the_model_its_owner_chose_near_the_end_of_its_budget(
    live_site: LiveSite, browser: Browser, tmp_path: Path
) -> None:
    live_site.manage("shell", "-v0", "-c", SET_UP.format(limit=LIMIT_CENTS))
    live_site.add_owner()
    costs = CostCallbackHandler(
        agent="mover", api_key=live_site.key, url=live_site.url, state_dir=tmp_path, held_wait_seconds=30
    )
    own, cheap = Gpt4o(), Gpt4o(model_name="gpt-4o-mini")  # 2 cents a call, and 0.12
    middleware = BudgetMiddleware(costs, models={"openai/gpt-4o-mini": cheap})
    agent = create_agent(own, tools=[look_up], middleware=[middleware])

    thread = ThreadPoolExecutor(1)

    def run(until: Callable[[], Any], most: int) -> int:
        """Runs one after the other, each reported before the next; how many it took."""
        for number in range(most):
            if until():
                return number
            # In a thread of its own: the browser keeps an event loop in this one, where no call waits for money.
            asked = thread.submit(agent.invoke, {"messages": PROMPT}, {"callbacks": [costs]})
            answer = asked.result()["messages"][-1]
            assert "costsite_refusal" not in answer.response_metadata, answer.content
            assert costs.flush(60)
        assert until()
        return most

    run(lambda: own.calls == 3, 3)
    live_site.manage("review_runs", "--today")
    page = browser.new_page()
    complaints = log_in(page, live_site.url)
    page.get_by_role("link", name="Cost optimization").click()
    page.get_by_label("Agent", exact=True).select_option("mover")
    page.get_by_label("Model", exact=True).fill("openai/gpt-4o-mini")
    page.get_by_role("button", name="Price it").click()
    page.get_by_text("Now: it stays with its own model.").wait_for()
    assert page.get_by_role("spinbutton", name="From percent of the budget on").input_value() == "80"
    page.get_by_role("button", name="Move to openai/gpt-4o-mini").click()
    page.get_by_text("mover moves to openai/gpt-4o-mini from 80 % of its budget on.").wait_for()
    assert page.get_by_text("From 80 % on the agent is moved to openai/gpt-4o-mini.").is_visible()
    assert page.get_by_text("moves to: none → openai/gpt-4o-mini; at percent: none → 80").is_visible()

    # 80 % of 20 cents are 8 calls of 2: the ninth is the other model's.
    run(lambda: cheap.calls == 2, 20)
    assert own.calls == 8
    page.reload()
    assert page.get_by_text("is moved to openai/gpt-4o-mini: it is there now.").is_visible()

    # More is granted, and it is not near the end any more.
    live_site.manage("grant_budget", "acme", "--agent", "mover", "--cents", "10", "--reason", "launch")
    run(lambda: own.calls == 9, 20)
    # One run brings the news home, unless a lease that was renewed meanwhile did.
    assert cheap.calls in (2, 3)
    page.reload()
    assert page.get_by_text("From 80 % on the agent is moved to openai/gpt-4o-mini.").is_visible()
    models = live_site.manage("shell", "-v0", "-c", MODELS).split()
    assert models == ["gpt-4o"] * 8 + ["gpt-4o-mini"] * cheap.calls + ["gpt-4o"]
    assert complaints == []
