"""A real agent under a real site: it spends past its lines, is refused, runs again after a grant; and nothing is over
when servers and clients are killed on the way.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langchain_core.messages import HumanMessage

from langchain_plugin import BudgetExceeded, CostCallbackHandler
from tests.end_to_end.agents import agent_environment
from tests.end_to_end.live_site import LiveSite
from tests.langchain_plugin.models import ScriptedModel

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120.0
"""For what happens in one or two where nothing else runs."""
LIMIT_CENTS = 50
SET_UP = """
from django.contrib.auth import get_user_model
from agents.models import Agent, Workspace
from budgets.policies import By, set_budget
acme, by = Workspace.objects.get(slug="acme"), By(command="test")
agent = Agent.objects.create(workspace=acme, slug="support-bot")
for scope in {scopes}:
    of = {{"agent": agent, "workspace": acme, "site": None}}[scope]
    set_budget(of, by=by, limit_cents={limit} + 10 * (scope != {scopes}[0]))
get_user_model().objects.create_superuser("root", password="a long one 42")
"""
CROSSINGS = """
from budgets.models import ThresholdCrossing
print([list(row) for row in ThresholdCrossing.objects.filter(policy__scope="{scope}").order_by("pk")
       .values_list("threshold", "late")])
"""


class Gpt4o(ScriptedModel):
    """7,960 tokens in at 2.50 USD a million and 10 out at 10 USD: 1.99 + 0.01 cents a call. Its prompt of 4,000
    characters holds a little over one cent.
    """

    model_name: str = "gpt-4o"
    usage: dict[str, Any] | None = {"input_tokens": 7_960, "output_tokens": 10, "total_tokens": 7_970}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {
            "ls_provider": "openai", "ls_model_name": self.model_name, "ls_model_type": "chat", "ls_max_tokens": 10,
        }  # fmt: skip


PROMPT = [HumanMessage("x" * 4_000)]


def until(holds: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (found := holds()):
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.1)
    return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[LiveSite]:
    """Of its own: a budget of the whole site would be in the way of every other test."""
    site = LiveSite(tmp_path / "site").prepare()
    try:
        yield site
    finally:
        site.stop()


def agent_of(site: LiveSite, folder: Path) -> CostCallbackHandler:
    costs = CostCallbackHandler(
        agent="support-bot", api_key=site.key, url=site.url, state_dir=folder, held_wait_seconds=5
    )
    assert costs.reporter.leases is not None
    allowance = costs.reporter.leases.of("support-bot")
    with allowance.lock:
        assert allowance.lock.wait_for(lambda: allowance.answers > 0, SECONDS)
    return costs


def refusal_of(costs: CostCallbackHandler, model: ScriptedModel) -> BudgetExceeded | None:
    try:
        model.invoke(PROMPT, {"callbacks": [costs]})
    except BudgetExceeded as refusal:
        return refusal
    return None


@pytest.mark.parametrize("scopes", [["agent"], ["workspace"], ["site"], ["agent", "workspace", "site"]], ids=" ".join)
def test_an_agent_spends_past_its_lines_is_refused_and_runs_again_after_a_grant(
    scopes: list[str], site: LiveSite, tmp_path: Path
) -> None:
    site.manage("shell", "-v0", "-c", SET_UP.format(scopes=scopes, limit=LIMIT_CENTS))
    site.start()
    writer = site.manage("create_api_key", "acme", "--scope", "read", "--scope", "budgets:write").strip()
    api = httpx.Client(base_url=f"{site.url}/api/v1", headers={"Authorization": f"Bearer {writer}"}, timeout=60)

    def budget() -> dict[str, Any]:
        listed = api.get("/budgets", params={"agent": "support-bot"}).json()["budgets"]
        return next(row for row in listed if row["scope"] == scopes[0])

    costs, model = agent_of(site, tmp_path / "agent"), Gpt4o()
    for _ in range(LIMIT_CENTS // 2):  # 2 cents each
        until(lambda: refusal_of(costs, model) is None, "a call that fits")
        if model.calls in (13, 21):  # 26 and 42 cents: over half, and over 80 %
            assert costs.flush(SECONDS)
    assert costs.flush(SECONDS)
    assert (model.calls, budget()["spent_cents"]) == (25, "50")

    # Three lines, and nothing more goes; the page, the admin and the API say the same.
    assert site.manage("shell", "-v0", "-c", CROSSINGS.format(scope=scopes[0])).strip() == (
        "[[50, False], [80, False], [100, False]]"
    )
    refusal = until(lambda: (found := refusal_of(costs, model)) and found.kind == "exhausted" and found, "a refusal")
    assert (refusal.scope, model.calls) == (scopes[0], 25)
    assert (costs.last_run and costs.last_run.status) == "refused"
    assert budget()["state"] == "blocked"
    words = budget()["state_text"]
    assert re.fullmatch(r"blocked until 1 \w{3} 00:00 UTC", words)
    assert words in signed_in(site).get("/admin/budgets/budgetpolicy/").text

    # A grant in the middle; the process that runs hears of it by itself.
    if scopes[0] == "site":
        site.manage("grant_budget", "--site", "--cents", "4", "--reason", "launch")
    else:
        granted = api.post(
            f"/budgets/{budget()['id']}/grants",
            json={"cents": 4, "ends_at": f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}", "reason": "x"},
        )
        assert granted.status_code == 201, granted.text
    until(lambda: refusal_of(costs, model) is None, "a call after the grant")
    assert model.calls == 26

    # A call of last month arrives late: it is counted there, and stops nothing here.
    report_late(site)
    until(lambda: refusal_of(costs, model) is None, "a call after a late event")
    assert costs.flush(SECONDS)
    assert (model.calls, budget()["spent_cents"], budget()["state"]) == (27, "54", "blocked")
    site.manage("rebuild_budget_periods", "--check")


@pytest.mark.newer_langchain
def test_the_budgeted_example_does_at_a_new_site_what_its_first_lines_say(site: LiveSite, tmp_path: Path) -> None:
    site.start()
    example = (ROOT / "examples" / "budgeted_agent.py").read_text()
    said, told = "", agent_environment("", url=site.url, key=site.key, state_dir=tmp_path / "agent")
    del told["COSTSITE_AGENT"]
    told["PYTHONPATH"] = str(ROOT)
    commands = re.findall(r"^    python ((?:examples|manage)\S+\.?py.*)$", example, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        script, *arguments = command.replace("WORKSPACE", "acme").split()
        if script == "manage.py":
            site.manage(*arguments)
            continue
        ran = subprocess.run(
            [sys.executable, script, *arguments], cwd=ROOT, env=told, capture_output=True, text=True, timeout=SECONDS
        )
        assert ran.returncode == 0, ran.stderr
        said += ran.stdout

    assert "thrifty-bot answered 1 letter.\n" in said
    # One of more than a hundred, of 0.03 cents each, was answered before.
    assert re.search(r"thrifty-bot answered \d{3} letters\. Blocked: \S+¢ of 5\.00¢ is left", said), said


def signed_in(site: LiveSite) -> httpx.Client:
    browser = httpx.Client(base_url=site.url, timeout=60, headers={"Origin": site.url}, follow_redirects=True)
    (token,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get("/login/").text)
    form = {"username": "root", "password": "a long one 42", "csrfmiddlewaretoken": token}
    assert browser.post("/login/", data=form).status_code == 200
    return browser


def report_late(site: LiveSite) -> None:
    at = (datetime.now(UTC).replace(day=1) - timedelta(days=2)).isoformat()
    call = {
        "type": "llm_call", "call_id": str(uuid4()), "run_id": str(uuid4()), "agent": "support-bot",
        "provider": "openai", "request_model": "gpt-4o", "started_at": at, "ended_at": at,
        "input_tokens": 400_000, "output_tokens": 0,
    }  # fmt: skip
    batch = {
        "batch_id": str(uuid4()), "client_id": str(uuid4()), "sent_at": datetime.now(UTC).isoformat(), "events": [call],
    }  # fmt: skip
    answer = httpx.post(
        f"{site.url}/api/v1/events", json=batch, headers={"Authorization": f"Bearer {site.key}"}, timeout=60
    )
    assert answer.json()["accepted"] == [0], answer.text


@pytest.mark.sqlite("the benchmark that it runs reads the file; test_faults.py kills on both")
@pytest.mark.parametrize(
    "kill", [["--kill", "server"], ["--kill", "clients"], ["--kill", "server", "--on-unreachable", "allow"]],
    ids=["the server", "clients", "the server, and clients go on"],
)  # fmt: skip
def test_whoever_is_killed_nothing_is_over_but_what_was_said_and_the_counters_are_right(kill: list[str]) -> None:
    """The benchmark, small: 3 processes of 4 threads on a budget of 40 calls' worst case."""
    ran = subprocess.run(
        [
            sys.executable, "benchmarks/budget_holds.py", "--processes", "3", "--threads", "4", "--budgets", "40",
            "--impatient", *kill,
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "counters right" in ran.stdout
    assert ran.stdout.rstrip().endswith(": holds"), ran.stdout
    if "clients" in kill:
        (most,) = re.findall(r"at most ([\d.]+)¢", ran.stdout)
        assert float(most) > 0, "nobody was killed while it held anything"
