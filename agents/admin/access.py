"""Who may see and change which row in the admin.

Memberships decide, not Django's permissions per table: a superuser may everything; other staff see the rows of the
workspaces they belong to and change those of the workspaces they own. So there are no groups to set up, and nobody
who is made staff sees a workspace by accident.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import models
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest
from django.utils import timezone

from agents.admin.asking import AnyAdmin as AnyAdmin
from agents.admin.asking import BoundedListAdmin
from agents.models import Membership, Workspace
from agents.models.visibility import User, VisibleQuerySet, remember_workspaces, sees_nothing
from agents.models.visibility import is_superuser as is_superuser

# The stubs know this class as generic; Django's own is not.
if TYPE_CHECKING:
    AnyInline = admin.TabularInline[Any, Any]
else:
    AnyInline = admin.TabularInline


def owned_workspace_ids(request: HttpRequest) -> set[int]:
    """Of the workspaces that the person behind `request` owns; read once a request, with those that they see."""
    known: set[int] | None = getattr(request, "_owned_workspace_ids", None)
    if known is None:
        known = _read_owned(request.user)
        request._owned_workspace_ids = known  # type: ignore[attr-defined]  # kept on the request it was read for
    return known


def _read_owned(user: User) -> set[int]:
    if is_superuser(user) or sees_nothing(user):
        return set(Workspace.objects.owned_by(user).values_list("pk", flat=True))
    roles = dict(Membership.objects.filter(user=user.pk or 0).order_by().values_list("workspace_id", "role"))
    remember_workspaces(user, roles)
    return {workspace_id for workspace_id, role in roles.items() if role == Membership.Role.OWNER}


def is_staff(user: User) -> bool:
    return user.is_active and bool(getattr(user, "is_staff", False))


def workspace_id_of(row: models.Model) -> int | None:
    """The workspace a row hangs on; of a workspace, itself."""
    return row.pk if isinstance(row, Workspace) else getattr(row, "workspace_id", None)


def may_change(request: HttpRequest, row: models.Model | None) -> bool:
    """Whether the person may change a row: one of a workspace that they own, or any for who runs the site."""
    if is_superuser(request.user):
        return True
    return row is not None and workspace_id_of(row) in owned_workspace_ids(request)


def changeable(request: HttpRequest, rows: VisibleQuerySet[Any]) -> Any:
    """Of the rows that were ticked, those that the person may change: they see more than they own."""
    return rows if is_superuser(request.user) else rows.in_workspaces(owned_workspace_ids(request))


def minute(at: datetime | None) -> str:
    """A time in a list: local, to the minute."""
    return f"{timezone.localtime(at):%-d %b %Y %H:%M}" if at else ""


class MembersOnlyAdmin(BoundedListAdmin):
    """Rows that hang on a workspace: seen by its members, changed by its owners, deleted by nobody.

    A table needs a manager with `visible_to` and a field `workspace` (or to be the workspace).
    """

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        if not is_superuser(request.user):
            owned_workspace_ids(request)  # whether one may change a row is asked on every page: one query for both
        rows: Any = super().get_queryset(request)
        visible: models.QuerySet[Any] = rows.visible_to(request.user)
        return visible

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Django lets a list be asked about any field of its table: a secret that no page shows could be spelt out."""
        shown = (
            *self.get_list_display(request),
            *(entry[0] if isinstance(entry, tuple) else entry for entry in self.get_list_filter(request)),
            *(name.lstrip("^=@") for name in self.get_search_fields(request)),
            self.date_hierarchy,
            self.opts.pk.name,
            "pk",
        )
        asked = lookup.partition(LOOKUP_SEP)[0]
        named = {name.partition(LOOKUP_SEP)[0] for name in shown if isinstance(name, str)}
        return asked in named and super().lookup_allowed(lookup, value, request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_staff(request.user)

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return is_staff(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_staff(request.user) and (is_superuser(request.user) or bool(owned_workspace_ids(request)))

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        if not is_staff(request.user):
            return False
        return may_change(request, obj) or (obj is None and bool(owned_workspace_ids(request)))

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def formfield_for_foreignkey(
        self, db_field: models.ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        """A row can be put only where the person may change rows: the choices are those workspaces and their agents."""
        related: Any = db_field.remote_field.model
        if "queryset" not in kwargs:
            if related is Workspace:
                kwargs["queryset"] = Workspace.objects.owned_by(request.user).live()
            elif hasattr(related, "workspace_id") and hasattr(related.objects, "visible_to"):
                kwargs["queryset"] = related.objects.filter(workspace_id__in=owned_workspace_ids(request))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class ReadOnlyAdmin(MembersOnlyAdmin):
    """What the ledger writes and nobody edits."""

    actions = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class SiteWideAdmin(BoundedListAdmin):
    """Rows that hold for every workspace: all staff see them, and only who runs the site changes them."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_staff(request.user)

    def has_view_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return is_staff(request.user)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request.user)

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return is_superuser(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return is_superuser(request.user)
