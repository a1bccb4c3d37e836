"""What months came to. Written when they end, and never edited."""

from __future__ import annotations

from django.contrib import admin

from agents.admin.access import ReadOnlyAdmin, minute
from agents.admin.large_tables import NewestPaginator
from budgets.models import MonthlyStatement
from budgets.money import in_both


@admin.register(MonthlyStatement)
class MonthlyStatementAdmin(ReadOnlyAdmin):
    list_display = ("month", "of", "workspace", "cost_shown", "limit_shown", "calls", "revision", "made")
    list_select_related = ("workspace", "agent")
    search_fields = ("month", "agent__slug", "workspace__name")
    search_help_text = "By month (2026-11), agent or workspace."
    fields = ("month", "of", "workspace", "revision", "cost_shown", "limit_shown", "calls", "unpriced_calls",
              "estimated_calls", "input_tokens", "output_tokens", "made")  # fmt: skip
    readonly_fields = ("of", "cost_shown", "limit_shown", "made")
    ordering = ("-month", "-pk")
    paginator = NewestPaginator
    show_full_result_count = False
    sortable_by = ()

    @admin.display(description="statement of")
    def of(self, statement: MonthlyStatement) -> str:
        return str(statement.agent or "the whole workspace")

    @admin.display(description="spent")
    def cost_shown(self, statement: MonthlyStatement) -> str:
        return "no price" if statement.cost is None else in_both(statement.cost)

    @admin.display(description="budget at its end")
    def limit_shown(self, statement: MonthlyStatement) -> str:
        return "none" if statement.limit_microcents is None else in_both(statement.limit_microcents)

    @admin.display(description="made")
    def made(self, statement: MonthlyStatement) -> str:
        return minute(statement.made_at)
