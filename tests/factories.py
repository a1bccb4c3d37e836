"""The cast and the facts of the tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import factory
from django.contrib.auth import get_user_model

from agents.models import Agent, Membership, Workspace
from langchain_plugin import wire


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = get_user_model()
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"person{n}")
    password = factory.django.Password("correct horse battery")


class WorkspaceFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Workspace

    slug = factory.Sequence(lambda n: f"workspace-{n}")
    name = factory.LazyAttribute(lambda workspace: workspace.slug.replace("-", " ").title())


class MembershipFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Membership

    user = factory.SubFactory(UserFactory)
    workspace = factory.SubFactory(WorkspaceFactory)
    role = Membership.Role.VIEWER


class AgentFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Agent

    workspace = factory.SubFactory(WorkspaceFactory)
    slug = factory.Sequence(lambda n: f"agent-{n}")


NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def llm_call(**changes: Any) -> wire.LLMCall:
    """A measured call of support-bot: 1,200 tokens in, 300 out, on gpt-4o-mini at noon."""
    facts: dict[str, Any] = {
        "type": "llm_call",
        "call_id": uuid4(),
        "run_id": uuid4(),
        "agent": "support-bot",
        "provider": "openai",
        "request_model": "gpt-4o-mini",
        "started_at": NOON,
        "ended_at": NOON + timedelta(seconds=2),
        "input_tokens": 1_200,
        "output_tokens": 300,
    }
    return wire.LLMCall(**facts | changes)
