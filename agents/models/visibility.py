"""The only door to rows for pages, API and admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models

if TYPE_CHECKING:
    from agents.models.people import ApiKey

Row = TypeVar("Row", bound=models.Model)


class VisibleQuerySet(models.QuerySet[Row]):
    """Rows that hang on a workspace through the path `workspace_path`."""

    workspace_path = "workspace"
    agent_path: str | None = "agent_id"
    """Where the row's agent is; None for rows that belong to a workspace as a whole."""

    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> Self:
        """What `user` may see: everything for a superuser, else the rows of the workspaces they are a member of."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        if getattr(user, "is_superuser", False):
            return self
        from agents.models.people import Membership

        mine: Any = Membership.objects.filter(user_id=user.pk).values("workspace_id")
        field = "pk" if self.workspace_path == "self" else f"{self.workspace_path}_id"
        return self.filter(**{f"{field}__in": mine})

    def readable_with(self, key: ApiKey) -> Self:
        """What an API key opens: its workspace's rows, and of these its own agent's alone when it is bound to one."""
        field = "pk" if self.workspace_path == "self" else f"{self.workspace_path}_id"
        rows = self.filter(**{field: key.workspace_id})
        if key.agent_id is None:
            return rows
        return rows.none() if self.agent_path is None else rows.filter(**{self.agent_path: key.agent_id})
