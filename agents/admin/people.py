"""Workspaces with their members, and agents."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.admin.access import AnyInline, MembersOnlyAdmin, changeable, is_superuser, may_change, minute
from agents.figures import UNPRICED
from agents.models import Agent, AgentDay, Membership, Workspace
from agents.models.sums import spend_from, sums
from agents.repricing import current_month_start
from agents.spend import NOTHING, Spend, cents

LEAST_SHOWN = Decimal("0.005")
"""Of a cent: less would round to nothing."""


class MembershipForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs alone
    """A member is named by their username, typed: a list to choose from would tell every owner who else has a login."""

    user = forms.ModelChoiceField(
        queryset=get_user_model()._default_manager.filter(is_active=True),
        to_field_name=get_user_model().USERNAME_FIELD,
        label="Username",
        widget=forms.TextInput,
        error_messages={
            "invalid_choice": "Nobody active has this username. An administrator can add them under Users."
        },
    )

    class Meta:
        model = Membership
        fields = ["user", "role"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["user"] = self.instance.user.get_username()
            self.fields["user"].disabled = True


class MembershipInline(AnyInline):
    model = Membership
    form = MembershipForm
    extra = 1
    verbose_name_plural = "Members"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("user", "workspace")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # who sees the workspace sees who is in it

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_change(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_change(request, obj)


class ArchivingAdmin(MembersOnlyAdmin):
    """Archived in place of deleted: the money that was spent stays in every sum."""

    actions = ("archive", "restore")

    @admin.action(description="Archive (keeps what was spent)", permissions=["change"])
    def archive(self, request: HttpRequest, rows: Any) -> None:
        count = changeable(request, rows).archive()
        self.message_user(request, f"Archived: {count}.")

    def has_restore_permission(self, request: HttpRequest) -> bool:
        return self.has_change_permission(request)

    @admin.action(description="Take out of the archive", permissions=["restore"])
    def restore(self, request: HttpRequest, rows: Any) -> None:
        count = changeable(request, rows).restore()
        self.message_user(request, f"Restored: {count}.")


@admin.register(Workspace)
class WorkspaceAdmin(ArchivingAdmin):
    list_display = ("name", "slug", "created_at", "archived_at")
    search_fields = ("name", "slug")
    fields = ("name", "slug", "archived_at")
    readonly_fields = ("archived_at",)
    inlines = (MembershipInline,)
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request.user)

    def has_restore_permission(self, request: HttpRequest) -> bool:
        """As making one: who runs the site archives a workspace to stop its keys, and its owners do not undo that."""
        return is_superuser(request.user)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # Addresses and commands name the slug. And a guess at another's was answered that it exists.
        fixed = () if is_superuser(request.user) else ("slug",)
        return (*self.readonly_fields, *fixed)

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {"slug": ("name",)} if obj is None else {}


@admin.register(Agent)
class AgentAdmin(ArchivingAdmin):
    list_display = ("slug", "name", "workspace", "model_and_effort", "active", "last_run")
    list_filter = ("active",)
    search_fields = ("slug", "name")
    fields = (
        "workspace", "slug", "name", "effort", "default_model", "compact_at_tokens", "owner", "active", "archived_at",
    )  # fmt: skip
    raw_id_fields = ("owner",)
    readonly_fields = ("archived_at", "merged_into")
    ordering = ("slug", "pk")
    list_per_page = 50
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With whom its list and its form name."""
        return super().get_queryset(request).select_related("workspace", "owner", "merged_into")

    def get_list_display(self, request: HttpRequest) -> Any:
        @admin.display(description="spend this month (¢)")
        def spend_this_month(agent: Agent) -> str:
            spent: Spend = request._spent.get(agent.pk, NOTHING)  # type: ignore[attr-defined]
            if spent.cost is None:
                return UNPRICED
            unpriced = f" + {spent.unpriced_calls:,} unpriced" if spent.unpriced_calls else ""
            # One unit down the column, as in the lists of runs and calls.
            amount = cents(spent.cost)
            return f"{'<0.01' if 0 < amount < LEAST_SHOWN else f'{amount:,.2f}'}{unpriced}"

        slug, *rest = super().get_list_display(request)
        return (slug, spend_this_month, *rest)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = super().get_fields(request, obj)
        return (*fields, "merged_into") if obj is not None and obj.merged_into_id is not None else fields

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A merged agent is a name of another, whose settings hold: its page says so, and is to be read."""
        return super().has_change_permission(request, obj) and (obj is None or obj.merged_into_id is None)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """Of the list, and of where an agent is chosen."""
        rows, may_repeat = super().get_search_results(request, queryset, search_term)
        return rows.filter(merged_into=None), may_repeat

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            super().save_model(request, obj, form, change)
            return
        # What was changed alone: the agent may have been merged, or have run, since it was read.
        columns = {field.name for field in obj._meta.concrete_fields}
        obj.save(update_fields=columns.intersection(form.changed_data))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        listed = super().get_changelist_instance(request)
        # Of the page's agents in one query.
        rows = AgentDay.objects.filter(
            agent__in=[agent.pk for agent in listed.result_list], day__gte=current_month_start()
        )
        of_agents = rows.order_by().values("agent").annotate(**sums())
        request._spent = {row["agent"]: spend_from(row) for row in of_agents}  # type: ignore[attr-defined]
        return listed

    @admin.display(description="default model, effort", ordering="default_model")
    def model_and_effort(self, agent: Agent) -> str:
        effort = f"effort {agent.get_effort_display().lower()}" if agent.effort else ""
        return ", ".join(part for part in (agent.default_model, effort) if part)

    @admin.display(description="last run", ordering="last_run_at")
    def last_run(self, agent: Agent) -> str:
        return minute(agent.last_run_at)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # Its calls are booked to the workspace, and its code reports under the slug: neither can change after the fact.
        fixed = ("workspace", "slug") if obj is not None else ()
        owner = () if is_superuser(request.user) else ("owner",)
        return (*self.readonly_fields, *fixed, *owner)
