"""Runs can be filtered by what the review marked; tiers and tasks are edited; decisions are read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.admin.access import ReadOnlyAdmin, SiteWideAdmin
from agents.admin.large_tables import NEWEST, NewestPaginator
from agents.admin.ledger import AgentRunLogAdmin
from agents.models import AgentRunLog
from costsite.advice.models import AdviceChange, ModelTier, RunReview, TaskRow

UNUSUAL = "unusual"
NEWEST_FIRST = ("-started_at", "-run")
"""As the indexes of `RunReview` have them."""


class UnusuallyHighFilter(admin.SimpleListFilter):
    """The newest that the review marked: picked by its own rows, since among all runs they are one in a thousand."""

    title = "tokens"
    parameter_name = UNUSUAL

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Unusually high tokens")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset


admin.site.unregister(AgentRunLog)


@admin.register(AgentRunLog)
class ReviewedRunAdmin(AgentRunLogAdmin):
    list_display = (*AgentRunLogAdmin.list_display, "unusually_high")  # type: ignore[assignment]  # longer by one
    list_filter = (UnusuallyHighFilter,)
    list_select_related = (*AgentRunLogAdmin.list_select_related, "review")  # type: ignore[assignment]  # likewise

    @admin.display(description="Unusually high tokens")
    def unusually_high(self, run: Any) -> str:
        review = getattr(run, "review", None)
        return review.label if review else ""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == UNUSUAL or super().lookup_allowed(lookup, value, request)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*super().get_fields(request, obj), "unusually_high"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        if request.GET.get(UNUSUAL) != "yes" or request.GET.get("q"):
            return super().get_queryset(request)
        marked = RunReview.objects.firsts_visible_to(request.user, *NEWEST_FIRST, most=NEWEST).values("run")
        rows: QuerySet[Any] = AgentRunLog.objects.filter(pk__in=marked)
        return rows.order_by(*self.newest_first)


@admin.register(TaskRow)
class TaskRowAdmin(SiteWideAdmin):
    list_display = ("name", "task", "effort", "tier")
    actions = None


@admin.register(ModelTier)
class ModelTierAdmin(SiteWideAdmin):
    list_display = ("model", "tier")
    actions = None


@admin.register(AdviceChange)
class AdviceChangeAdmin(ReadOnlyAdmin):
    list_display = ("changed_at", "username", "advice", "state_after", "reason", "snoozed_until")
    list_select_related = ("workspace", "advice__agent")
    ordering = ("-pk",)
    paginator = NewestPaginator
    show_full_result_count = False
    sortable_by = ()
