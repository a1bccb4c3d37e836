"""How long a hold takes an answer to be, when nobody limits it."""

from __future__ import annotations

from datetime import timedelta

from agents import ledger
from agents.models import Agent, Workspace
from agents.output_bounds import LEAST_TOKENS, output_bounds
from tests.factories import NOON, llm_call


def answers(workspace: Workspace, *tokens: int, from_local_cache: bool = False) -> dict[str, int]:
    """Record one run per answer, and return the bounds that follow."""
    for output_tokens in tokens:
        event = llm_call(
            agent="support-bot",
            is_root=True,
            request_model="gpt-4o",
            output_tokens=output_tokens,
            served_from_local_cache=from_local_cache,
        )
        assert not ledger.record(workspace, [(0, event)], client=None, received_at=NOON + timedelta(hours=1)).rejected
    return output_bounds(workspace.pk, Agent.objects.get(workspace=workspace, slug="support-bot").pk)


def test_twice_what_the_longest_of_a_hundred_said(workspace: Workspace) -> None:
    assert answers(workspace, *[3_000] * 99, 90_000) == {"gpt-4o": 6_000}


def test_never_under_what_providers_took_for_the_maximum(workspace: Workspace) -> None:
    assert answers(workspace, 10) == {"gpt-4o": LEAST_TOKENS}


def test_answers_of_the_local_cache_say_nothing(workspace: Workspace) -> None:
    answers(workspace, 5_000)
    assert answers(workspace, 90_000, from_local_cache=True) == {"gpt-4o": 10_000}
