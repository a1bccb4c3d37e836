"""Merging agents in one process, killed again and again, while others record: nothing lost, nothing counted twice.

Run on SQLite in a folder of its own, and by tests/test_postgresql.py on a database of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

ROOT = Path(__file__).parents[2]

START = """
import os, sys, time
from datetime import timedelta
os.environ["DJANGO_SETTINGS_MODULE"] = "costsite.settings"
import django
django.setup()
from django.core.management import call_command
from django.utils import timezone
from agents import ledger, merging, moving
from agents.models import Agent, AgentMerge, AgentRunLog, LLMCall, UsageDay, Workspace
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
recorded, guessed, runs, last = 0, [], [], time.monotonic() + 120
while not (merged := AgentMerge.objects.exclude(finished_at=None).exists()) and time.monotonic() < last:
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
assert merged
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
for table in (AgentRunLog, LLMCall, UsageDay):
    assert {slug for (slug,) in table.objects.values_list("agent__slug").distinct()} == {"support-bot"}, table
merge = AgentMerge.objects.get()
assert merge.finished_at is not None
assert merge.calls >= 800, merge.calls
print(LLMCall.objects.count())
"""


def python(environment: dict[str, str], *code: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", START + "".join(code)]
    return subprocess.Popen(arguments, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE)


def result(process: subprocess.Popen[str]) -> int:
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    return int(said)


@pytest.fixture
def database() -> Iterator[dict[str, str]]:
    """What the environment says of a database of this test's own: nothing for SQLite, which is in its folder."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        yield {}
        return
    name = f"merging_{uuid4().hex}"
    server, _, _ = url.rpartition("/")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield {"DATABASE_URL": f"{server}/{name}"}
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def environment(tmp_path: Path, database: dict[str, str]) -> dict[str, str]:
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")},
        **database,
        "COSTSITE_STATE_DIR": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    return environment


@pytest.mark.every_database
def test_a_merge_that_is_killed_again_and_again_beside_recording_ends_with_every_sum_right(
    environment: dict[str, str],
) -> None:
    there = result(python(environment, PREPARE))
    recording = [python(environment, RECORD), python(environment, RECORD)]
    for steps in (45, 3, 7):
        killed = python(environment, f"KILLED_AFTER = {steps}\n", MERGE)
        killed.communicate(timeout=240)
        assert killed.returncode == -9
    assert result(python(environment, "KILLED_AFTER = 0\n", MERGE)) > 0
    recorded = sum(map(result, recording))

    assert recorded > 0
    assert result(python(environment, CHECK)) == there + recorded
