"""A budget that is set while an agent runs, below what its workspace's budget gave the process leave for."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from langchain_plugin import BudgetExceeded, CostCallbackHandler
from tests.end_to_end.live_site import LiveSite
from tests.end_to_end.test_budget_scene import PROMPT, Gpt4o

CENTS_A_CALL = 2
PATIENCE_SECONDS = 45.0
"""Well under a minute, after which it would have asked anyway."""


def calls_until_refused(costs: CostCallbackHandler, model: Gpt4o, seconds: float) -> BudgetExceeded:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            model.invoke(PROMPT, config={"callbacks": [costs]})
        except BudgetExceeded as refusal:
            return refusal
        time.sleep(0.5)
    raise AssertionError(f"{model.calls} calls, and none was refused.")


def test_a_process_with_leave_for_more_stops_soon_and_stays_stopped(live_site: LiveSite, tmp_path: Path) -> None:
    live_site.manage("set_budget", "acme", "--limit-cents", "20000")
    costs = CostCallbackHandler(agent="looper", api_key=live_site.key, url=live_site.url, state_dir=tmp_path)
    model = Gpt4o()
    for _ in range(3):
        model.invoke(PROMPT, config={"callbacks": [costs]})
    assert costs.flush(60)
    live_site.manage("set_budget", "acme", "--agent", "looper", "--limit-cents", f"{2 * CENTS_A_CALL}")

    refusal = calls_until_refused(costs, model, PATIENCE_SECONDS)

    assert (refusal.kind, refusal.scope, refusal.subject) == ("exhausted", "agent", "looper")
    made = model.calls
    for _ in range(8):  # past the time for which a refusal is believed without asking
        time.sleep(0.5)
        with pytest.raises(BudgetExceeded, match=r"of the 4\.00¢ budget of looper is spent"):
            model.invoke(PROMPT, config={"callbacks": [costs]})
    assert model.calls == made
    live_site.manage("grant_budget", "acme", "--agent", "looper", "--cents", "1000", "--reason", "goes on")
    time.sleep(2.5)
    model.invoke(PROMPT, config={"callbacks": [costs]})
    assert costs.flush(60)
