"""Repricing in one process while others record, on a database of their own: nothing lost, nothing counted twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from time import sleep

import pytest
from django.db import connection
from django.utils import timezone

from agents import ledger
from agents.models import LedgerState, LLMCall, ModelPrice
from agents.repricing import Selection, reprice
from agents.write_lock import writing
from tests.agents.own_ledger import own_ledger, python, result
from tests.factories import WorkspaceFactory, llm_call

START = """
import os, random, sys, time
os.environ["DJANGO_SETTINGS_MODULE"] = "costsite.settings"
import django
django.setup()
from datetime import UTC, datetime
from django.utils import timezone
from agents import ledger
from agents.models import LLMCall, ModelPrice, Workspace
from agents.repricing import Selection, reprice
from tests.agents.own_ledger import own_ledger, python, result
from tests.factories import llm_call
workspace, _ = Workspace.objects.get_or_create(slug="acme", defaults={"name": "Acme"})
stop = time.monotonic() + 3
"""

RECORD = """
recorded = 0
guessed = []
while time.monotonic() < stop:
    now = timezone.now()
    calls = [
        llm_call(provider="ollama", request_model=f"m{number % 3}", started_at=now, ended_at=now, tags=["prod"],
                 usage_basis="estimated" if number % 4 == 0 else "measured")
        for number in range(40)
    ]
    # Measured reports replace the provisional ones of the batch before, some of them sent twice.
    measured = [call.model_copy(update={"usage_basis": "measured", "output_tokens": 777}) for call in guessed]
    guessed = [call for call in calls if call.usage_basis == "estimated"]
    ledger.record(workspace, list(enumerate(calls + measured + measured[:3])), client=None, received_at=now)
    recorded += len(calls)
print(recorded)
"""

REPRICE = """
changed = 0
while time.monotonic() < stop or (not changed and time.monotonic() < stop + 60):
    ModelPrice.objects.all().delete()
    for model in ("m0", "m1", "m2"):
        if random.random() < 0.7:
            ModelPrice.objects.create(
                model=model, input_per_million=random.randrange(1, 9), output_per_million=random.randrange(1, 9),
                effective_from=datetime(2020, 1, 1, tzinfo=UTC),
            )
    changed += reprice(Selection(priced_too=random.random() < 0.5), apply=True, reason="test").calls
print(changed)
"""

CHECK = """
from django.core.management import call_command
call_command("rebuild_rollups", "--check", stdout=sys.stderr)  # fails where a sum differs from the calls
reprice(Selection(priced_too=True), apply=True, reason="test")
call_command("rebuild_rollups", "--check", stdout=sys.stderr)
assert reprice(Selection(priced_too=True), apply=False, reason="").calls == 0
print(LLMCall.objects.count())
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return own_ledger(tmp_path)


def test_repricing_beside_recording_loses_nothing_and_counts_nothing_twice(environment: dict[str, str]) -> None:
    result(python(environment, START, "stop = 0", RECORD))  # the workspace is there before the race begins
    recording = [python(environment, START, RECORD), python(environment, START, RECORD)]
    repricing = python(environment, START, REPRICE)
    recorded = sum(map(result, recording))

    assert result(repricing) > 0
    assert result(python(environment, START, CHECK)) == recorded > 0


@pytest.mark.postgresql("threads that write to one SQLite in memory lock each other's tables")
@pytest.mark.django_db(transaction=True)
def test_a_batch_that_is_still_being_written_by_old_prices_is_repriced_too() -> None:
    workspace = WorkspaceFactory()
    LedgerState.current()  # or the repricing would wait for the batch to make it, and prove nothing
    written, may_commit = threading.Event(), threading.Event()

    def record() -> None:
        now = timezone.now()
        call = llm_call(provider="ollama", request_model="llama3", started_at=now, ended_at=now)
        with writing():
            ledger.record(workspace, [(0, call)], client=None, received_at=now)
            written.set()
            assert may_commit.wait(20)
        connection.close()

    def reprice_all() -> None:
        reprice(Selection(), apply=True, reason="test")
        connection.close()

    with ThreadPoolExecutor(2) as threads:
        recording = threads.submit(record)
        assert written.wait(20)
        ModelPrice.objects.create(model="llama3", kind="free", effective_from=datetime(2020, 1, 1, tzinfo=UTC))
        repricing = threads.submit(reprice_all)
        sleep(0.3)
        waited = not repricing.done()
        may_commit.set()
        recording.result(20)
        repricing.result(20)

    assert waited
    assert LLMCall.objects.get().cost_microcents == 0
