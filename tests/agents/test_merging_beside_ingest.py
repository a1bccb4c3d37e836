"""Merging agents in one process while others record or review, on a database of their own: nothing lost, nothing
counted twice.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agents.own_ledger import own_ledger, python, result, said

START = """
import os, select, sys, time
from datetime import timedelta
os.environ["DJANGO_SETTINGS_MODULE"] = "costsite.settings"
import django
django.setup()
from django.core.management import call_command
from django.utils import timezone
from agents import ledger, merging, moving
from agents.models import Agent, AgentMerge, AgentRunLog, LLMCall, TagMonth, UsageDay, UsageMonth, Workspace
from budgets.policies import By, set_budget
from tests.factories import llm_call
workspace, _ = Workspace.objects.get_or_create(slug="acme", defaults={"name": "Acme"})
moving.RUNS_AT_ONCE = moving.CALLS_AT_ONCE = 20
merging.async_task = lambda *task: None
"""

PREPARE = """
now = timezone.now()
for day in range(4):
    calls = [
        llm_call(agent=agent, started_at=now - timedelta(days=day), ended_at=now, tags=["prod"])
        for agent in ("suport-bot", "support-bot") for _ in range(200)
    ]
    ledger.record(workspace, list(enumerate(calls)), client=None, received_at=now)
for slug in ("suport-bot", "support-bot"):
    set_budget(Agent.objects.get(slug=slug), by=By(command="test"), limit_cents=1_000_000)
set_budget(workspace, by=By(command="test"), limit_cents=1_000_000)
print(LLMCall.objects.count())
"""

RECORD = """
recorded, guessed, runs = 0, [], []
while not select.select([sys.stdin], [], [], 0)[0]:  # until the test is done with it
    now = timezone.now()
    # New runs and runs that go on, some of them misnamed; measured reports replace what was guessed before.
    calls = [
        llm_call(agent="suport-bot" if number % 2 else "support-bot", started_at=now, ended_at=now,
                 usage_basis="estimated" if number % 4 == 1 else "measured",
                 **({"run_id": runs[number]} if number < len(runs) else {}))
        for number in range(20)
    ]
    measured = [call.model_copy(update={"usage_basis": "measured", "output_tokens": 777}) for call in guessed]
    guessed = [call for call in calls if call.usage_basis == "estimated"]
    runs = [call.run_id for call in calls[:8]]
    ledger.record(workspace, list(enumerate(calls + measured + measured[:3])), client=None, received_at=now)
    recorded += len(calls)
    time.sleep(0.02)
print(recorded)
"""

MERGE = """
source, target = (Agent.objects.select_related("merged_into").get(slug=slug) for slug in ("suport-bot", "support-bot"))
if source.merged_into is None:
    merging.merge(source, target, by_name="test")
steps = 0
for _ in moving.move(AgentMerge.objects.get()):
    steps += 1
    if steps == KILLED_AFTER:
        # In the midst of the next step: all of it is written, and none of it committed.
        count = moving._count
        def die(*arguments):
            count(*arguments)
            os.kill(os.getpid(), 9)
        moving._count = die
print(steps)
"""

CHECK = """
call_command("rebuild_rollups", "--check", stdout=sys.stderr)  # fails where a sum differs from the calls
call_command("rebuild_budget_periods", "--check", stdout=sys.stderr)
for table in (AgentRunLog, LLMCall, UsageDay, UsageMonth, TagMonth):
    assert {slug for (slug,) in table.objects.values_list("agent__slug").distinct()} == {"support-bot"}, table
merge = AgentMerge.objects.get()
assert merge.finished_at is not None
assert merge.calls >= 800, merge.calls
print(LLMCall.objects.count())
"""

REVIEW = """
from agents.write_lock import only_job
from costsite.advice.nightly import JOB
with only_job(JOB):
    print("at work", flush=True)
    sys.stdin.read()
"""

COMMAND = """
for name in ("suport-bot", "support-bot"):
    ledger.record(workspace, [(0, llm_call(agent=name))], client=None, received_at=timezone.now())
call_command("merge_agents", "acme", "suport-bot", "support-bot", "--apply")
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return own_ledger(tmp_path)


def test_a_merge_that_is_killed_again_and_again_beside_recording_ends_with_every_sum_right(
    environment: dict[str, str],
) -> None:
    there = result(python(environment, START, PREPARE))
    with python(environment, START, RECORD) as one, python(environment, START, RECORD) as other:
        for steps in (45, 3, 7):
            killed = python(environment, START, f"KILLED_AFTER = {steps}\n", MERGE)
            killed.communicate(timeout=240)
            assert killed.returncode == -9
        assert result(python(environment, START, "KILLED_AFTER = 0\n", MERGE)) > 0
        recorded = result(one) + result(other)

    assert recorded > 0
    assert result(python(environment, START, CHECK)) == there + recorded


def test_beside_a_nightly_review_the_command_says_that_what_is_left_follows(environment: dict[str, str]) -> None:
    with python(environment, START, REVIEW) as review:
        assert review.stdout is not None
        assert review.stdout.readline() == "at work\n"
        told = said(python(environment, START, COMMAND))
        said(review)

    assert told == "Merged suport-bot into support-bot; what is left to move follows in the background.\n"
    assert said(python(environment, START, "print(moving.sweep())")) == "0 rows moved, 1 merge finished\n"
