"""A value that the database does not take costs its event, and nothing else."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta
from uuid import uuid4

import pytest

from agents.models import Agent, LLMCall, Workspace
from agents.recorded import Recorded
from agents.storable import record_storable
from langchain_plugin import wire
from tests.factories import NOON, llm_call

pytestmark = pytest.mark.django_db

RECEIVED = NOON + timedelta(minutes=1)
GPT_4O_MINI = 1_200 * 15 + 300 * 60
"""36,000 microcents: 0.15 USD per million in, 0.60 out; a cent is 1,000,000."""


def beyond_64_bits() -> wire.LLMCall:
    return llm_call().model_copy(update={"max_output_tokens": 2**63})  # the wire's own rules would refuse it


def record(workspace: Workspace, *events: wire.Event) -> Recorded:
    return record_storable(workspace, list(enumerate(events)), client=None, received_at=RECEIVED)


def test_a_number_that_leaves_64_bits_does_not_hold_up_the_others(workspace: Workspace) -> None:
    recorded = record(workspace, llm_call(), beyond_64_bits(), llm_call())

    assert [(rejection.index, rejection.code) for rejection in recorded.rejected] == [(1, "not_storable")]
    assert recorded.accepted == [0, 2]
    assert LLMCall.objects.count() == 2


def test_what_was_written_in_parts_is_told_as_if_at_once(workspace: Workspace) -> None:
    lease_id, twice = uuid4(), llm_call()
    calls = [llm_call(lease_id=lease_id), twice, beyond_64_bits(), llm_call(lease_id=lease_id), twice]

    recorded = record(workspace, *calls)

    agent = Agent.objects.get()
    assert recorded.accepted == [0, 1, 3]
    assert recorded.duplicates == [4]
    assert recorded.spent == {(agent.pk, NOON.date()): 3 * GPT_4O_MINI}
    assert recorded.spent_by_lease == {(lease_id, agent.pk, NOON.date()): 2 * GPT_4O_MINI}
    assert [*recorded.agents] == ["support-bot"]
    assert [entry.model for entry in recorded.price_card] == ["gpt-4o-mini"]
    untold = [fact.name for fact in fields(Recorded) if not getattr(recorded, fact.name)]
    of_no_parts = ["counted", "last"]
    assert untold == of_no_parts, "a field that `Recorded.merge` forgets would be empty; only these are not of parts"


def test_when_no_event_can_be_written_the_fault_is_not_in_them(workspace: Workspace) -> None:
    with pytest.raises(Exception, match=r"too large|out of range|bigint"):
        record(workspace, beyond_64_bits(), beyond_64_bits())

    assert not LLMCall.objects.exists()
