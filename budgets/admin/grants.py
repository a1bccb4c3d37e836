"""More money for a while: granted on a page that shows before and after, taken back on another."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html

from agents.admin.access import MembersOnlyAdmin, is_superuser, minute, owned_workspace_ids
from agents.spend import MICROCENTS_PER_CENT
from agents.write_lock import writing
from budgets.admin.form_fields import CentsField
from budgets.admin.history import NEWEST_SHOWN, ReadOnlyInline
from budgets.admin.shown import standing_now, state_in_html, state_of_standing
from budgets.enforcement import Standing
from budgets.grant_days import end_of, last_day_of_this_month
from budgets.models import BudgetGrant, BudgetPolicy
from budgets.money import in_both
from budgets.policies import By, grant, revoke_grant


class GrantForm(forms.Form):
    cents = CentsField(
        least=1,
        too_little="Grant 1 cent or more.",
        label="Cents",
        help_text="On top of the limit. 100 cents are $1.00.",
    )
    last_day = forms.DateField(
        label="Through",
        help_text="The last day it holds. From the next on the limit is the budget's own again.",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={"invalid": "Write a day, such as 2026-11-30."},
    )
    reason = forms.CharField(max_length=500, help_text="Kept with the grant.", widget=forms.TextInput({"size": 60}))

    def clean_last_day(self) -> date:
        last_day: date = self.cleaned_data["last_day"]
        try:
            end_of(last_day)
        except ValidationError as error:
            raise ValidationError(error.messages) from None
        return last_day


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
        standing = standing_now(policy)
        form = GrantForm(request.POST or None, initial={"last_day": last_day_of_this_month()})
        if not (request.method == "POST" and form.is_valid()):
            return self._page(request, "grant", "Grant more", policy, form=form, standing=_told(standing))
        cents = form.cleaned_data["cents"]
        shown_limit = request.POST.get("limit_before")
        if shown_limit is not None:
            with writing(alone=True):
                standing = standing_now(policy)
                # Sent twice, or somebody else was faster: what was agreed to is not what would happen.
                given = self._grant(request, policy, form) if shown_limit == str(standing.limit) else None
            if given is not None:
                messages.success(request, f"Granted: {cents:,} cents. What was refused runs again within seconds.")
                return self._back(policy)
            messages.warning(request, "The limit has changed since this was shown; look again before you grant.")
        after = replace(standing, limit=standing.limit + cents * MICROCENTS_PER_CENT)
        return self._page(
            request, "confirm_grant", f"Grant {in_both(cents * MICROCENTS_PER_CENT)}", policy,
            form=form, limit_before=standing.limit, before=_told(standing), after=_told(after), cents=f"{cents:,}",
        )  # fmt: skip

    def _grant(self, request: HttpRequest, policy: BudgetPolicy, form: GrantForm) -> BudgetGrant:
        by = By(user=request.user)  # type: ignore[arg-type]
        wanted = form.cleaned_data
        given = grant(policy, wanted["cents"], ends_at=end_of(wanted["last_day"]), reason=wanted["reason"], by=by)
        self.log_change(request, policy, f"Granted {given.cents:,} cents until {minute(given.ends_at)}.")
        return given

    def revoke(self, request: HttpRequest, grant_id: int) -> HttpResponse:
        given = get_object_or_404(BudgetGrant.objects.select_related("policy"), pk=grant_id)
        policy = self._changeable(request, given.policy_id)
        if request.method == "POST":
            if revoke_grant(given, by=By(user=request.user), reason=request.POST.get("reason", "")):  # type: ignore[arg-type]
                self.log_change(request, policy, f"Revoked a grant of {given.cents:,} cents.")
                messages.success(request, f"Revoked: {given.cents:,} cents.")
            else:
                messages.info(request, "The grant was over or revoked already; nothing was changed.")
            return self._back(policy)
        standing = standing_now(policy)
        after = replace(standing, limit=standing.limit - given.cents * MICROCENTS_PER_CENT)
        title = f"Revoke {in_both(given.cents * MICROCENTS_PER_CENT)}"
        return self._page(
            request, "revoke", title, policy, before=_told(standing), after=_told(after), cents=f"{given.cents:,}"
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

    def _back(self, policy: BudgetPolicy) -> HttpResponseRedirect:
        return HttpResponseRedirect(reverse("admin:budgets_budgetpolicy_change", args=[policy.pk]))


def _told(standing: Standing) -> dict[str, str]:
    """A standing in words: limit, spent, left, state."""
    return {
        "limit": in_both(standing.limit),
        "spent": in_both(standing.spent),
        "left": in_both(standing.left),
        "state": state_in_html(state_of_standing(standing)),
    }
