"""What is done to an agent outside the admin stands in the admin's history of it too."""

from __future__ import annotations

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType

from agents.models import Agent


def note_change(agent: Agent, by: User, message: str) -> None:
    """Say in the admin's history of the agent what `by` changed; in the transaction that changes it."""
    LogEntry.objects.create(
        user_id=by.pk,
        content_type=ContentType.objects.get_for_model(Agent),
        object_id=str(agent.pk),
        object_repr=str(agent)[:200],
        action_flag=CHANGE,
        change_message=message,
    )
