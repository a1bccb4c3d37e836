"""Two agents become one: whose name it is from then on, who may say so, and of which."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from agents.bound_keys import BoundKey
from agents.keys import create_key, find_key
from agents.merging import MergeError, may_merge, merge, target_named, why_not
from agents.models import (
    Agent,
    AgentMerge,
    AgentRunLog,
    LLMCall,
    Membership,
    UsageDay,
    UsageMonth,
    Workspace,
)
from agents.registration import agent_named, agents_named
from agents.storage import storage
from tests.agents.conftest import finish, record, whose
from tests.factories import NOON, AgentFactory, llm_call

pytestmark = pytest.mark.django_db


# ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_from_then_on_the_one_name_stands_for_the_other(workspace: Workspace, bots: tuple[Agent, Agent]) -> None:
    source, target = bots
    Agent.objects.filter(pk=target.pk).update(effort="high")
    merge(source, target, by_name="test")

    recorded = record(workspace, llm_call(agent="suport-bot"))

    for table in (LLMCall, AgentRunLog, UsageDay, UsageMonth):
        assert whose(table) == {"support-bot"}, table
    known = recorded.agents["suport-bot"]
    assert (known.id, known.slug, known.effort) == (target.pk, "support-bot", "high")
    assert agent_named(workspace.pk, "suport-bot").booked_to == target
    assert Agent.objects.count() == 2


def test_a_key_bound_to_the_one_reports_for_the_other_under_both_names(
    workspace: Workspace, bots: tuple[Agent, Agent]
) -> None:
    source, target = bots
    _, key = create_key(workspace, agent=source)
    old = find_key(key)  # as a request has it that began before
    assert old is not None
    run = uuid4()
    record(workspace, llm_call(agent="suport-bot", run_id=run), key_agent=old.agent)
    begun = merge(source, target, by_name="test")

    bound = find_key(key)
    assert bound is not None
    assert bound.agent == target
    assert begun.keys == 1
    for agent in (old.agent, bound.agent):
        recorded = record(
            workspace, llm_call(agent="suport-bot", run_id=run), llm_call(), llm_call(agent="triage"), key_agent=agent
        )
        assert (recorded.accepted, [one.index for one in recorded.rejected]) == ([0, 1], [2])
        assert "'support-bot' only" in recorded.rejected[0].message
    finish(begun)
    assert whose(LLMCall) == {"support-bot"}
    assert not Agent.objects.filter(slug="triage").exists()


def test_a_key_speaks_for_all_names_of_its_agent_as_they_are_now(
    workspace: Workspace, bots: tuple[Agent, Agent], django_assert_num_queries: Any
) -> None:
    source, target = bots  # `source` as a key has it that was read before the merge
    AgentFactory(workspace=workspace, slug="triage")
    merge(Agent.objects.get(pk=source.pk), target, by_name="test")
    for agent in bots:
        with django_assert_num_queries(1):
            key = BoundKey(agent, ["suport-bot", " support-bot", "triage", "nobody"])

        assert (key.agent.id, key.names) == (target.pk, {"suport-bot", " support-bot"})


def test_what_is_known_of_a_name_is_asked_of_the_database_once(
    workspace: Workspace, bots: tuple[Agent, Agent], django_assert_num_queries: Any
) -> None:
    merge(*bots, by_name="test")
    with django_assert_num_queries(1):
        known = agents_named(workspace.pk, ["suport-bot", "support-bot"], storage())
    assert {agent.id for agent in known.values()} == {bots[1].pk}


def test_a_merged_agent_stays_in_the_archive(bots: tuple[Agent, Agent]) -> None:
    source, target = bots
    merge(source, target, by_name="test")

    assert Agent.objects.all().restore() == 0
    source.refresh_from_db()
    assert source.archived_at is not None
    with pytest.raises(IntegrityError), transaction.atomic():
        Agent.objects.filter(pk=source.pk).update(archived_at=None)


# ── who, and which ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_owners_and_who_runs_the_site_may(
    owner: User, viewer: User, superuser: User, workspace: Workspace, elsewhere: Workspace
) -> None:
    def may(person: User, home: Workspace) -> bool:
        return may_merge(person, owned=home.memberships.filter(user=person, role=Membership.Role.OWNER).exists())

    assert [may(person, workspace) for person in (owner, viewer, superuser)] == [True, False, True]
    assert [may(person, elsewhere) for person in (owner, viewer, superuser)] == [False, False, True]
    superuser.is_active = False
    assert not may(superuser, workspace)


def test_what_cannot_be_merged_is_said_with_the_reason(
    workspace: Workspace, elsewhere: Workspace, bots: tuple[Agent, Agent]
) -> None:
    source, target = bots
    nobody = AgentFactory(workspace=workspace, slug="unregistered")
    archived = AgentFactory(workspace=workspace, slug="old-bot", archived_at=NOON)
    for one, other, said in (
        (source, source, "cannot be merged into itself"),
        (source, AgentFactory(workspace=elsewhere), "another workspace"),
        (source, archived, "is archived"),
        (nobody, target, '"unregistered" is nobody'),
        (source, nobody, '"unregistered" is nobody'),
    ):
        with pytest.raises(MergeError, match=said):
            merge(one, other, by_name="test")
    assert AgentMerge.objects.count() == 0

    merge(archived, target, by_name="test")  # what is no longer used may still be put where it belongs
    for one, other in ((archived, source), (source, archived), (target, archived)):
        with pytest.raises(MergeError, match="was merged into support-bot"):
            merge(one, other, by_name="test")
    with pytest.raises(MergeError, match="no agent named 'nobody'"):
        target_named(source, "nobody")
    assert target_named(source, " support-bot ") == target
    assert why_not(source) == ""


def test_who_merged_is_kept_with_it_and_in_the_history_of_both(bots: tuple[Agent, Agent], owner: User) -> None:
    made = merge(*bots, by=owner)

    assert (made.by_user, made.by_name, str(made)) == (owner, "olive", "suport-bot into support-bot")
    told = LogEntry.objects.order_by("pk").values_list("user", "object_id", "change_message")
    assert list(told) == [
        (owner.pk, str(bots[0].pk), "Merged into support-bot."),
        (owner.pk, str(bots[1].pk), "suport-bot was merged into it."),
    ]


def test_the_last_run_is_the_later_of_the_two(bots: tuple[Agent, Agent]) -> None:
    source, target = bots
    for of_source, of_target in ((NOON, None), (NOON, NOON - timedelta(days=1)), (None, NOON)):
        Agent.objects.update(merged_into=None)
        AgentMerge.objects.all().delete()
        Agent.objects.filter(pk=source.pk).update(last_run_at=of_source)
        Agent.objects.filter(pk=target.pk).update(last_run_at=of_target)
        merge(source, target, by_name="test")
        target.refresh_from_db()
        assert target.last_run_at == NOON
