"""What happened to budgets, and because of them. To be read, never edited."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from agents.admin.access import AnyAdmin, AnyInline, ReadOnlyAdmin, is_staff, minute
from agents.admin.large_tables import NewestPaginator
from budgets.changes import difference
from budgets.models import BudgetChange, BudgetPolicy, Refusal, ThresholdCrossing
from budgets.money import in_cents

NEWEST_SHOWN = 50
"""Of each kind on a budget's page: a script that sets a budget every hour would fill it."""


class ReadOnlyInline(AnyInline):
    """The newest rows of a budget, or of whatever else `of` names, on its page. Who sees it sees them."""

    of = "policy"
    extra = 0
    classes = ("read-only",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        match = request.resolver_match
        parent_id = unquote(match.kwargs.get("object_id", "")) if match else ""
        if not parent_id.isdecimal():
            return rows.none()
        return rows.filter(pk__in=rows.filter(**{self.of: parent_id}).values("pk")[:NEWEST_SHOWN])

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return is_staff(request.user)

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ChangeInline(ReadOnlyInline):
    model = BudgetChange
    fields = ("at", "what", "told", "by", "reason")
    readonly_fields = ("at", "told", "by")
    verbose_name_plural = f"Changes (the newest {NEWEST_SHOWN})"

    @admin.display(description="when")
    def at(self, change: BudgetChange) -> str:
        return minute(change.changed_at)

    @admin.display(description="before → after")
    def told(self, change: BudgetChange) -> str:
        return difference(change)

    @admin.display(description="by")
    def by(self, change: BudgetChange) -> str:
        return change.by_name


class CrossingInline(ReadOnlyInline):
    model = ThresholdCrossing
    fields = ("at", "month", "line", "limit_in_cents", "spent_in_cents", "remark")
    readonly_fields = ("at", "line", "limit_in_cents", "spent_in_cents", "remark")
    verbose_name_plural = f"Thresholds crossed (the newest {NEWEST_SHOWN})"

    @admin.display(description="when")
    def at(self, crossing: ThresholdCrossing) -> str:
        return minute(crossing.crossed_at)

    @admin.display(description="threshold")
    def line(self, crossing: ThresholdCrossing) -> str:
        return f"{crossing.threshold} %"

    @admin.display(description="Limit (cents)")
    def limit_in_cents(self, crossing: ThresholdCrossing) -> str:
        return in_cents(crossing.limit_microcents)

    @admin.display(description="Spent (cents)")
    def spent_in_cents(self, crossing: ThresholdCrossing) -> str:
        return in_cents(crossing.spent_microcents)

    @admin.display(description="")
    def remark(self, crossing: ThresholdCrossing) -> str:
        if crossing.at_creation:
            return "lay behind when the budget was set"
        return "by calls of a month that was over" if crossing.late else ""


@admin.register(BudgetChange)
class BudgetChangeAdmin(ReadOnlyAdmin):
    list_display = ("at", "policy", "what", "told", "by", "reason")
    list_select_related = ("policy__workspace", "policy__agent")
    fields = list_display
    readonly_fields = ("at", "told", "by")
    paginator = NewestPaginator
    show_full_result_count = False
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # A change hangs on a budget, and through it on a workspace.
        seen = BudgetPolicy.objects.visible_to(request.user)
        return AnyAdmin.get_queryset(self, request).filter(policy__in=seen)

    at = ChangeInline.at
    told = ChangeInline.told
    by = ChangeInline.by


@admin.register(Refusal)
class RefusalAdmin(ReadOnlyAdmin):
    list_display = ("at", "agent", "workspace", "policy", "kind", "count")
    list_select_related = ("agent", "workspace", "policy__workspace", "policy__agent")
    list_filter = ("kind",)
    ordering = ("-minute", "-pk")
    paginator = NewestPaginator
    show_full_result_count = False
    sortable_by = ()

    @admin.display(description="minute")
    def at(self, refusal: Refusal) -> str:
        return minute(refusal.minute)
