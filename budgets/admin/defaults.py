"""The budget of agents that register themselves, on their workspace's page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest

from agents.admin.access import AnyInline, may_change
from budgets.form_fields import CentsField, ThresholdsField
from budgets.models import DefaultBudget
from budgets.models.defaults import NEGATIVE
from budgets.models.policies import default_thresholds


class DefaultBudgetForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs alone
    limit_cents = CentsField(
        label="Monthly budget of each new agent (in cents)",
        too_little=NEGATIVE,
        error_messages={"required": "Write a limit in cents; to have none, tick Delete."},
    )
    thresholds = ThresholdsField(required=False, initial=default_thresholds)

    class Meta:
        model = DefaultBudget
        fields = ["limit_cents", "thresholds", "mode"]


class DefaultBudgetInline(AnyInline):
    """Set, changed and removed by owners. The budgets it has made stand for themselves."""

    model = DefaultBudget
    form = DefaultBudgetForm
    extra = max_num = 1
    verbose_name_plural = "Budget of agents that register themselves"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # who sees the workspace sees it

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_change(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_change(request, obj)
