"""What an owner sets at the site reaches a process that is running."""

from __future__ import annotations

from pathlib import Path

import pytest
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI

from langchain_plugin import CostCallbackHandler, effort_middleware
from tests.end_to_end.live_site import LiveSite
from tests.langchain_plugin.provider_server import ProviderServer
from tests.langchain_plugin.ways import look_up, state


@pytest.mark.newer_langchain
def test_the_effort_set_for_an_agent_is_that_of_its_next_run(live_site: LiveSite, tmp_path: Path) -> None:
    costs = CostCallbackHandler(agent="thinker", api_key=live_site.key, url=live_site.url, state_dir=tmp_path)
    with ProviderServer() as provider:
        model = ChatOpenAI(model="gpt-5-mini", base_url=provider.openai_url, api_key="any", max_retries=0)
        agent = create_agent(model, tools=[look_up], middleware=[effort_middleware(costs=costs)])
        heard = []
        for effort in ("", "low", "high"):
            if effort:
                change = f"Agent.objects.filter(slug='thinker').update(effort='{effort}')"
                live_site.manage("shell", "-v0", "-c", f"from agents.models import Agent; {change}")
            for _ in range(2):
                agent.invoke(state(), {"callbacks": [costs]})
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
