"""Who is told: people by their inbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model

from agents.models import Membership, Workspace

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def owners_of(workspace: Workspace) -> list[User]:
    """Who owns a workspace and can sign in, in the order they joined."""
    owning = workspace.memberships.filter(role=Membership.Role.OWNER, user__is_active=True)
    return [membership.user for membership in owning.select_related("user").order_by("pk")]


def superusers() -> list[User]:
    """Who runs the site, and can sign in."""
    return list(get_user_model().objects.filter(is_superuser=True, is_active=True).order_by("pk"))
