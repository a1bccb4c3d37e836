"""Granting more for a budget, and taking a grant back: what it changes is shown first, then done by POST."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from budgets.enforcement import Standing
from budgets.grant_days import last_day_of_this_month
from budgets.granting import GrantForm, Proposal, grant_as_shown
from budgets.models import BudgetPolicy
from budgets.policies import By, revoke_grant
from budgets.state import standing_now, state_of_standing
from costsite.analytics.periods import Calendar
from costsite.analytics.queries import budgets
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.views.page import found_or_404, page


@login_required
def grant_more(request: HttpRequest, pk: int) -> HttpResponseBase:
    calendar = calendar_now()
    policy = _changeable(request, budgets.find_budget(request.user, calendar, pk))
    standing = standing_now(policy)
    form = GrantForm(request.POST or None, initial={"last_day": last_day_of_this_month()})
    if not (request.method == "POST" and form.is_valid()):
        return _page(request, "grant", calendar, policy, form=form, now=_told(standing, calendar))
    limit_shown = request.POST.get("limit_before")
    if limit_shown is not None:
        given = grant_as_shown(policy, form, limit_shown=limit_shown, by=_by(request))
        if given is not None:
            messages.success(request, f"Granted: {given.cents:,} cents. What was refused runs again within seconds.")
            return redirect("budget", pk=policy.pk)
        messages.warning(request, "The limit has changed since this was shown; look again before you grant.")
        standing = standing_now(policy)
    proposal = Proposal.of(standing, form.cleaned_data["cents"])
    return _page(
        request, "grant_confirm", calendar, policy, form=form, limit_before=standing.limit,
        before=_told(proposal.before, calendar), after=_told(proposal.after, calendar),
    )  # fmt: skip


@login_required
def revoke(request: HttpRequest, pk: int) -> HttpResponseBase:
    calendar = calendar_now()
    given = found_or_404(budgets.find_grant(request.user, pk), "grant")
    policy = _changeable(request, given.policy)
    if request.method == "POST":
        if revoke_grant(given, by=_by(request), reason=request.POST.get("reason", "").replace("\x00", "")):
            messages.success(request, f"Revoked: {given.cents:,} cents.")
        else:
            messages.info(request, "The grant was over or revoked already; nothing was changed.")
        return redirect("budget", pk=policy.pk)
    proposal = Proposal.of(standing_now(policy), -given.cents)
    return _page(
        request, "grant_revoke", calendar, policy, given=given,
        before=_told(proposal.before, calendar), after=_told(proposal.after, calendar),
    )  # fmt: skip


def _by(request: HttpRequest) -> By:
    return By(user=request.user)  # type: ignore[arg-type]  # signed in, or they were sent to the login


def _changeable(request: HttpRequest, policy: BudgetPolicy | None) -> BudgetPolicy:
    """The budget, when the person may change it. What they do not see does not exist for them."""
    found = found_or_404(policy, "budget")
    if not budgets.may_change(request.user, found):
        raise PermissionDenied
    return found


def _told(standing: Standing, calendar: Calendar) -> dict[str, Any]:
    return {"standing": standing, "state": state_of_standing(standing, str(calendar.zone))}


def _page(
    request: HttpRequest, template: str, calendar: Calendar, policy: BudgetPolicy, **context: Any
) -> HttpResponseBase:
    return page(request, f"analytics/{template}.html", calendar, "budgets", {"policy": policy, **context})
