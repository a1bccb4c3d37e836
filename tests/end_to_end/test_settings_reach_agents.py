"""What an owner sets at the site reaches a process that is running."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
from playwright.sync_api import Browser

from langchain_plugin import CostCallbackHandler, effort_middleware
from tests.end_to_end.browsing import CHROMIUM, log_in
from tests.end_to_end.live_site import LiveSite
from tests.langchain_plugin.provider_server import ProviderServer
from tests.langchain_plugin.ways import look_up, state


@pytest.mark.browser
@pytest.mark.newer_langchain
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH")
def test_the_effort_set_in_the_admin_is_that_of_the_next_run_once_the_process_has_reported(
    live_site: LiveSite, browser: Browser, tmp_path: Path
) -> None:
    live_site.add_owner()
    page = browser.new_page()
    log_in(page, live_site.url)
    costs = CostCallbackHandler(agent="thinker", api_key=live_site.key, url=live_site.url, state_dir=tmp_path)
    with ProviderServer() as provider, ThreadPoolExecutor(1) as thread:
        model = ChatOpenAI(model="gpt-5-mini", base_url=provider.openai_url, api_key="any", max_retries=0)
        agent = create_agent(model, tools=[look_up], middleware=[effort_middleware(costs=costs)])
        heard = []
        for effort in ("", "Low", "High"):
            if effort:
                page.goto(f"{live_site.url}/admin/agents/agent/?q=thinker")
                page.get_by_role("link", name="thinker", exact=True).click()
                page.get_by_label("Effort:").select_option(effort)
                page.get_by_role("button", name="Save", exact=True).click()
                page.get_by_text("was changed successfully").wait_for()
            for _ in range(2):
                # In a thread of its own: the browser keeps an event loop in this one.
                thread.submit(agent.invoke, state(), {"callbacks": [costs]}).result()
                assert costs.flush(60)
            heard.append(costs.effort)
        asked = [request.body.get("reasoning_effort", "") for request in provider.requests]
    # The first run after a change brings the news home; every run after it is asked for accordingly.
    assert heard == ["", "low", "high"]
    assert asked == ["", "", "", "low", "low", "high"]
    efforts = live_site.manage(
        "shell", "-v0", "-c",
        "from agents.models import LLMCall; calls = LLMCall.objects.filter(agent__slug='thinker').order_by('pk'); "
        "print(*calls.values_list('effort', flat=True), sep=',')",
    )  # fmt: skip
    assert efforts.strip() == ",,,low,low,high"
