"""A process that writes to the ledger as fast as it can, for test_concurrent_writers.

    python -m tests.agents.ledger_writer WRITER BATCHES [BATCHES_SHARED]

Each batch is 20 calls in 4 runs, all of one agent and day, so every writer wants the same rollups. The shared batches
are the same in every writer, in an order of its own: whoever comes second must count nothing. Prints one line per
batch, once it is recorded.
"""

from __future__ import annotations

import os
import random
import sys
from datetime import timedelta
from uuid import UUID

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costsite.settings")
django.setup()

from agents import ledger  # noqa: E402
from agents.models import Workspace  # noqa: E402
from langchain_plugin import wire  # noqa: E402
from tests.factories import NOON, llm_call  # noqa: E402

CALLS = 20
RUNS = 4


def batch(writer: int, number: int) -> list[tuple[int, wire.Event]]:
    def ident(kind: int, index: int) -> UUID:
        return UUID(int=(kind << 96) | (writer << 64) | (number << 32) | index)

    events = [
        llm_call(call_id=ident(1, index), run_id=ident(2, index % RUNS), started_at=NOON + timedelta(seconds=index))
        for index in range(CALLS)
    ]
    random.shuffle(events)
    return list(enumerate(events))


def main(writer: int, batches: int, shared: int = 0) -> None:
    workspace = Workspace.objects.get(slug="acme")
    work = [(writer, number) for number in range(batches)] + [(0, number) for number in range(shared)]
    random.Random(writer).shuffle(work)
    for owner, number in work:
        recorded = ledger.record(workspace, batch(owner, number), client=None, received_at=NOON + timedelta(minutes=1))
        print(len(recorded.accepted), flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
