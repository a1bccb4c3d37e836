"""Writers that are real processes, on a database of their own: nothing is lost, doubled, or half written."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests import own_site
from tests.agents.ledger_writer import CALLS, RUNS
from tests.agents.own_ledger import own_ledger

CALL = 1_200 * 15 + 300 * 60
"""Microcents of the factory's call."""
Start = Callable[..., "subprocess.Popen[str]"]
WRITERS = 8 if own_site.SERVER else 4  # on SQLite one writes at a time: more of them only wait longer


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts a Python module on a fresh database with the workspace acme."""
    environment = own_ledger(tmp_path)

    def start(*arguments: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)], env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    done(start("-c", SET_UP))
    return start


SET_UP = """
import django; django.setup()
from agents.models import Workspace
Workspace.objects.create(slug="acme", name="Acme")
"""
COUNT = """
import django; django.setup()
from django.core.management import call_command
from django.db.models import Sum
from agents.models import AgentRunLog, LLMCall, WorkspaceDay
print(LLMCall.objects.count(), AgentRunLog.objects.count(),
      *AgentRunLog.objects.aggregate(c=Sum("calls"), m=Sum("cost_microcents")).values(),
      *WorkspaceDay.objects.values_list("calls", "runs", "cost_microcents").get())
import sys; sys.stdout = sys.stderr
call_command("rebuild_rollups", "--check")
"""


def done(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return out


def assert_stands(start: Start, batches: int) -> None:
    """Calls, runs and rollups are those of so many whole batches, and agree with each other."""
    calls, runs = batches * CALLS, batches * RUNS
    counted = [int(number) for number in done(start("-c", COUNT)).split()]
    assert counted == [calls, runs, calls, calls * CALL, calls, runs, calls * CALL]


def accepted(outputs: Sequence[str]) -> int:
    return sum(int(line) for output in outputs for line in output.split())


def test_processes_write_at_once_and_every_call_counts_once(start: Start) -> None:
    """No lock error, no deadlock: either would end a writer."""
    started = [start("-m", "tests.agents.ledger_writer", number + 1, 10, 10) for number in range(WRITERS)]
    outputs = [done(writer) for writer in started]

    assert accepted(outputs) == (WRITERS * 10 + 10) * CALLS, "what all of them sent was accepted once"
    assert_stands(start, WRITERS * 10 + 10)


def test_a_writer_that_is_killed_leaves_whole_batches(start: Start) -> None:
    victim = start("-m", "tests.agents.ledger_writer", 1, 100_000)
    other = start("-m", "tests.agents.ledger_writer", 2, 40)
    assert victim.stdout is not None
    said = [victim.stdout.readline() for _ in range(30)]
    time.sleep(0.003)  # into the next one
    victim.send_signal(signal.SIGKILL)
    said += victim.stdout.readlines()
    victim.wait(timeout=60)
    done(other)

    counted = done(start("-c", COUNT)).split()
    batches, rest = divmod(int(counted[0]), CALLS)
    assert rest == 0
    # What was answered is there; the one it was killed in may be, in full.
    assert 40 + len(said) <= batches <= 40 + len(said) + 1
    assert_stands(start, batches)
