"""What the ledger wrote: runs, model calls, reporting processes, corrections, merges. To be read, never edited."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from agents.admin.access import ReadOnlyAdmin
from agents.admin.large_tables import LargeTableAdmin, NewestPaginator, counted
from agents.clients import lost_events
from agents.figures import UNPRICED
from agents.models import AgentMerge, AgentRunLog, Client, CostCorrection, LLMCall
from agents.spend import cents


@admin.register(AgentRunLog)
class AgentRunLogAdmin(LargeTableAdmin):
    id_field = "run_id"
    newest_first = ("-started_at", "-id")
    list_display = (
        "run_id",
        "agent",
        "started",
        "status",
        counted("calls"),
        counted("input_tokens"),
        counted("output_tokens"),
        "estimated_cost_in_cents",
    )
    list_select_related = ("agent", "workspace")
    search_help_text = "The newest 2,000 are listed. Any other by the first 8 or more digits of its run id."

    def get_ordering(self, request: Any) -> tuple[str, ...]:
        return self.newest_first  # run_by_time serves those who see every workspace


@admin.register(LLMCall)
class LLMCallAdmin(LargeTableAdmin):
    id_field = "call_id"
    newest_first = ("-day", "-id")
    list_display = (
        "call_id",
        "agent",
        "started",
        "model",
        "status",
        counted("input_tokens"),
        counted("output_tokens"),
        "cost_basis",
        "estimated_cost_in_cents",
    )
    list_select_related = ("agent", "workspace")
    search_help_text = "The newest 2,000 are listed. Any other by the first 8 or more digits of its call id."


@admin.register(Client)
class ClientAdmin(ReadOnlyAdmin):
    list_display = (
        "client_id",
        "workspace",
        "host",
        "pid",
        "spool_events",
        "lost_events",
        "rejected_events",
        "last_seen_at",
    )
    list_select_related = ("workspace",)
    ordering = ("-last_seen_at", "-pk")
    paginator = NewestPaginator
    show_full_result_count = False
    sortable_by = ()

    @admin.display(description="lost events")
    def lost_events(self, client: Client) -> str:
        return ", ".join(f"{reason} {count:,}" for reason, count in lost_events(client.dropped).items()) or "0"


@admin.register(CostCorrection)
class CostCorrectionAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "workspace",
        "agent",
        "day",
        "model",
        "calls",
        "before_in_cents",
        "after_in_cents",
        "reason",
    )
    list_select_related = ("workspace", "agent")
    ordering = ("-pk",)
    paginator = NewestPaginator
    show_full_result_count = False
    sortable_by = ()

    @admin.display(description="Before (cents)")
    def before_in_cents(self, correction: CostCorrection) -> str:
        return _cents_known(correction.cost_before, correction.newly_priced_calls)

    @admin.display(description="After (cents)")
    def after_in_cents(self, correction: CostCorrection) -> str:
        return _cents_known(correction.cost_after, correction.no_longer_priced_calls)


@admin.register(AgentMerge)
class AgentMergeAdmin(ReadOnlyAdmin):
    list_display = (
        "merged_at",
        "workspace",
        "name_merged",
        "target",
        "by_name",
        "runs",
        "calls",
        "moved_in_cents",
        "finished_at",
    )
    list_select_related = ("workspace", "source", "target")
    ordering = ("-pk",)
    paginator = NewestPaginator
    show_full_result_count = False
    sortable_by = ()

    @admin.display(description="merged")
    def name_merged(self, merge: AgentMerge) -> str:
        return merge.source.slug

    @admin.display(description="Moved (cents)")
    def moved_in_cents(self, merge: AgentMerge) -> str:
        return _cents_known(merge.cost, merge.unpriced_calls)


def _cents_known(microcents: int | None, unpriced_calls: int) -> str:
    """Exact, with what it leaves out; the word where nothing of it is known."""
    if microcents is None:
        return UNPRICED
    known = f"{cents(microcents).normalize():,f}"
    return f"{known} + {unpriced_calls:,} {UNPRICED}" if unpriced_calls else known
