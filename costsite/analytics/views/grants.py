"""Granting more for a budget, and taking a grant back: what it changes is shown first, then done by POST."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import redirect

from budgets.enforcement import Standing
from budgets.granting import Proposal, Said, granting_step, revoking_step
from budgets.models import BudgetPolicy
from budgets.policies import By
from budgets.state import state_of_standing
from costsite.analytics.periods import Calendar
from costsite.analytics.queries import budgets
from costsite.analytics.queries.clock import calendar_now
from costsite.analytics.views.page import found_or_404, page


@login_required
def grant_more(request: HttpRequest, pk: int) -> HttpResponseBase:
    calendar = calendar_now()
    found = budgets.find_budget(request.user, calendar, pk)
    policy = _changeable(request, found.policy if found else None)
    step = granting_step(policy, _sent(request), by=_by(request))
    _tell(request, step.said)
    if step.given is not None:
        return redirect("budget", pk=policy.pk)
    if step.proposal is None:
        return _page(request, "grant", calendar, policy, form=step.form, now=_told(step.standing, calendar))
    return _page(
        request, "grant_confirm", calendar, policy, form=step.form, limit_before=step.standing.limit,
        **_before_and_after(step.proposal, calendar),
    )  # fmt: skip


@login_required
def revoke(request: HttpRequest, pk: int) -> HttpResponseBase:
    calendar = calendar_now()
    given = found_or_404(budgets.find_grant(request.user, pk), "grant")
    policy = _changeable(request, given.policy)
    step = revoking_step(given, _sent(request), by=_by(request))
    _tell(request, step.said)
    if step.proposal is None:
        return redirect("budget", pk=policy.pk)
    return _page(request, "grant_revoke", calendar, policy, given=given, **_before_and_after(step.proposal, calendar))


def _sent(request: HttpRequest) -> QueryDict | None:
    return request.POST if request.method == "POST" else None


def _tell(request: HttpRequest, said: Said | None) -> None:
    if said is not None:
        messages.add_message(request, said.level, said.text)


def _by(request: HttpRequest) -> By:
    return By(user=request.user)  # type: ignore[arg-type]  # signed in, or they were sent to the login


def _changeable(request: HttpRequest, policy: BudgetPolicy | None) -> BudgetPolicy:
    """The budget, when the person may change it. What they do not see does not exist for them."""
    found = found_or_404(policy, "budget")
    if not budgets.may_change(request.user, found):
        raise PermissionDenied
    return found


def _before_and_after(proposal: Proposal, calendar: Calendar) -> dict[str, Any]:
    return {"before": _told(proposal.before, calendar), "after": _told(proposal.after, calendar)}


def _told(standing: Standing, calendar: Calendar) -> dict[str, Any]:
    return {"standing": standing, "state": state_of_standing(standing, str(calendar.zone))}


def _page(
    request: HttpRequest, template: str, calendar: Calendar, policy: BudgetPolicy, **context: Any
) -> HttpResponseBase:
    return page(request, f"analytics/{template}.html", calendar, "budgets", {"policy": policy, **context})
