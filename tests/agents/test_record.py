"""A batch becomes calls, runs and rollups."""

from __future__ import annotations

from django.utils import timezone

from agents import ledger
from agents.models import AgentRunLog, LLMCall, Workspace, WorkspaceDay
from tests.factories import llm_call


def test_a_call_sent_twice_is_counted_once(workspace: Workspace) -> None:
    call = llm_call()

    first = ledger.record(workspace, [(0, call)], client=None, received_at=timezone.now())
    second = ledger.record(workspace, [(0, call)], client=None, received_at=timezone.now())

    assert (first.accepted, first.duplicates) == ([0], [])
    assert (second.accepted, second.duplicates) == ([], [0])
    assert LLMCall.objects.count() == 1
    assert AgentRunLog.objects.get().input_tokens == 1_200
    assert WorkspaceDay.objects.get().calls == 1
