"""Leases that hold money now, and who holds them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from agents.admin.access import ReadOnlyAdmin, changeable, is_superuser, minute, owned_workspace_ids
from agents.models import Client
from budgets.enforcement import BudgetEnforcementService
from budgets.models import SpendLease
from budgets.models.leases import SpendLeaseQuerySet
from budgets.money import in_both, in_cents

Holders = dict[tuple[int, UUID], Client]


@admin.register(SpendLease)
class SpendLeaseAdmin(ReadOnlyAdmin):
    list_display = ("agent", "workspace", "granted_in_cents", "used_in_cents", "held_in_cents", "expires")
    list_select_related = ("agent", "workspace")
    fields = ("agent", "workspace", "client_id", "month", "granted_in_cents", "used_in_cents", "held_in_cents",
              "granted_at", "renewed_at", "expires_at", "frees_at")  # fmt: skip
    readonly_fields = fields
    ordering = ("frees_at", "pk")
    sortable_by = ()
    show_full_result_count = False
    actions = ("release",)  # type: ignore[assignment]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).holding(timezone.now())  # type: ignore[attr-defined, no-any-return]

    def get_list_display(self, request: HttpRequest) -> Any:
        def holder(lease: SpendLease) -> Client | None:
            known: Holders = request._holders  # type: ignore[attr-defined]
            return known.get((lease.workspace_id, lease.client_id))

        @admin.display(description="held by")
        def held_by(lease: SpendLease) -> str:
            return str(holder(lease) or f"process {lease.client_id}, which has not reported yet")

        @admin.display(description="last heard of")
        def last_heard_of(lease: SpendLease) -> str:
            client = holder(lease)
            return minute(client.last_seen_at) if client else ""

        agent, *rest = super().get_list_display(request)
        return (agent, held_by, *rest, last_heard_of)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        listed = super().get_changelist_instance(request)
        request._holders = _holders(listed.result_list)  # type: ignore[attr-defined]
        return listed

    @admin.display(description="Granted (cents)")
    def granted_in_cents(self, lease: SpendLease) -> str:
        return in_cents(lease.granted_microcents)

    @admin.display(description="Used (cents)")
    def used_in_cents(self, lease: SpendLease) -> str:
        return in_cents(lease.used_microcents)

    @admin.display(description="Held (cents)")
    def held_in_cents(self, lease: SpendLease) -> str:
        return in_cents(lease.held_microcents)

    @admin.display(description="expires")
    def expires(self, lease: SpendLease) -> str:
        if lease.released_at is not None:
            return f"returned; open calls hold until {timezone.localtime(lease.frees_at):%H:%M:%S}"
        return f"{timezone.localtime(lease.expires_at):%H:%M:%S}"

    def has_release_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request.user) or bool(owned_workspace_ids(request))

    @admin.action(description="Release", permissions=["release"])
    def release(self, request: HttpRequest, leases: SpendLeaseQuerySet) -> HttpResponse | None:
        """Asks first: a process that lives may spend what it has until its own end of it."""
        chosen = list(changeable(request, leases).filter(released_at=None).select_related("agent", "workspace"))
        if "confirmed" not in request.POST:
            holders = _holders(chosen)
            context = {
                **self.admin_site.each_context(request),
                "title": "Release leases",
                "opts": self.opts,
                "leases": [
                    (lease, holders.get((lease.workspace_id, lease.client_id)), in_both(lease.held_microcents))
                    for lease in chosen
                ],
            }
            return TemplateResponse(request, "admin/budgets/spendlease/release.html", context)
        service = BudgetEnforcementService()
        for lease in chosen:
            service.release(lease)
            self.log_change(request, lease, f"Released; it held {in_both(lease.held_microcents)}.")
        held = sum(lease.held_microcents for lease in chosen)
        self.message_user(request, f"Released: {len(chosen)}, which held {in_both(held)}.")
        return None


def _holders(leases: Any) -> Holders:
    """The processes behind leases, by workspace and client id, in one query."""
    leases = list(leases)
    clients = Client.objects.filter(
        workspace__in={lease.workspace_id for lease in leases}, client_id__in={lease.client_id for lease in leases}
    )
    return {(client.workspace_id, client.client_id): client for client in clients}
