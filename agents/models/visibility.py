"""The only door to rows for pages, API and admin."""

from __future__ import annotations

from typing import Any, Self, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models

Row = TypeVar("Row", bound=models.Model)


class VisibleQuerySet(models.QuerySet[Row]):
    """Rows that hang on a workspace through the path `workspace_path`."""

    workspace_path = "workspace"

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
