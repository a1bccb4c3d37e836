"""More money for a while: granted on a page that shows before and after, taken back on another."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html

from agents.admin.access import MembersOnlyAdmin, is_superuser, minute, owned_workspace_ids
from agents.spend import MICROCENTS_PER_CENT
from budgets.admin.history import NEWEST_SHOWN, ReadOnlyInline
from budgets.admin.shown import state_in_html
from budgets.enforcement import Standing
from budgets.granting import Proposal, Said, granting_step, revoking_step
from budgets.models import BudgetGrant, BudgetPolicy
from budgets.money import in_both
from budgets.policies import By
from budgets.state import state_of_standing


class GrantInline(ReadOnlyInline):
    model = BudgetGrant
    fields = ("cents", "reason", "granted_by", "granted", "ends", "now")
    readonly_fields = ("granted_by", "granted", "ends", "now")
    verbose_name_plural = f"Grants (the newest {NEWEST_SHOWN})"

    def get_queryset(self, request: HttpRequest) -> Any:
        # An inline is made for each request, so what the person may do can be kept on it.
        self._owned = None if is_superuser(request.user) else owned_workspace_ids(request)
        return super().get_queryset(request).select_related("granted_by", "policy")

    @admin.display(description="granted")
    def granted(self, given: BudgetGrant) -> str:
        return minute(given.granted_at)

    @admin.display(description="ends")
    def ends(self, given: BudgetGrant) -> str:
        return minute(given.ends_at)

    @admin.display(description="now")
    def now(self, given: BudgetGrant) -> str:
        if given.revoked_at is not None:
            return f"revoked {minute(given.revoked_at)}"
        if given.ends_at <= timezone.now():
            return "over"
        if given.policy.archived_at or (self._owned is not None and given.policy.workspace_id not in self._owned):
            return "in force"
        return format_html(
            'in force · <a href="{}">Revoke</a>', reverse("admin:budgets_budgetpolicy_revoke", args=[given.pk])
        )


class GrantingAdmin(MembersOnlyAdmin):
    """The two pages, for the admin of `BudgetPolicy`. Each acts by POST alone, and only after it has said what."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:policy_id>/grant/", wrap(self.grant_more), name="budgets_budgetpolicy_grant"),
            path("grants/<int:grant_id>/revoke/", wrap(self.revoke), name="budgets_budgetpolicy_revoke"),
            *super().get_urls(),
        ]

    def grant_more(self, request: HttpRequest, policy_id: int) -> HttpResponse:
        policy = self._changeable(request, policy_id)
        step = granting_step(policy, _sent(request), by=By(user=request.user))  # type: ignore[arg-type]
        if step.given is not None:
            self.log_change(request, policy, f"Granted {step.given.cents:,} cents until {minute(step.given.ends_at)}.")
            return self._back(request, policy, step.said)
        _tell(request, step.said)
        if step.proposal is None:
            return self._page(request, "grant", "Grant more", policy, form=step.form, standing=_told(step.standing))
        cents = step.form.cleaned_data["cents"]
        return self._page(
            request, "confirm_grant", f"Grant {in_both(cents * MICROCENTS_PER_CENT)}", policy, form=step.form,
            limit_before=step.standing.limit, cents=f"{cents:,}", **_before_and_after(step.proposal),
        )  # fmt: skip

    def revoke(self, request: HttpRequest, grant_id: int) -> HttpResponse:
        given = get_object_or_404(BudgetGrant.objects.select_related("policy"), pk=grant_id)
        policy = self._changeable(request, given.policy_id)
        step = revoking_step(given, _sent(request), by=By(user=request.user))  # type: ignore[arg-type]
        if step.proposal is None:
            if step.revoked:
                self.log_change(request, policy, f"Revoked a grant of {given.cents:,} cents.")
            return self._back(request, policy, step.said)
        title = f"Revoke {in_both(given.cents * MICROCENTS_PER_CENT)}"
        return self._page(
            request, "revoke", title, policy, cents=f"{given.cents:,}", **_before_and_after(step.proposal)
        )

    def _changeable(self, request: HttpRequest, policy_id: int) -> BudgetPolicy:
        """The budget, when the person may change it. What they do not see does not exist for them."""
        policy: BudgetPolicy = get_object_or_404(
            self.get_queryset(request).select_related("workspace", "agent"), pk=policy_id
        )
        if not self.has_change_permission(request, policy):
            raise PermissionDenied
        return policy

    def _page(
        self, request: HttpRequest, template: str, title: str, policy: BudgetPolicy, **context: Any
    ) -> TemplateResponse:
        page = {**self.admin_site.each_context(request), "title": title, "opts": self.opts, "policy": policy, **context}
        return TemplateResponse(request, f"admin/budgets/budgetpolicy/{template}.html", page)

    def _back(self, request: HttpRequest, policy: BudgetPolicy, said: Said | None) -> HttpResponseRedirect:
        _tell(request, said)
        return HttpResponseRedirect(reverse("admin:budgets_budgetpolicy_change", args=[policy.pk]))


def _sent(request: HttpRequest) -> QueryDict | None:
    return request.POST if request.method == "POST" else None


def _tell(request: HttpRequest, said: Said | None) -> None:
    if said is not None:
        messages.add_message(request, said.level, said.text)


def _before_and_after(proposal: Proposal) -> dict[str, dict[str, str]]:
    return {"before": _told(proposal.before), "after": _told(proposal.after)}


def _told(standing: Standing) -> dict[str, str]:
    """A standing in words: limit, spent, left, state."""
    return {
        "limit": in_both(standing.limit),
        "spent": in_both(standing.spent),
        "left": in_both(standing.left),
        "state": state_in_html(state_of_standing(standing)),
    }
