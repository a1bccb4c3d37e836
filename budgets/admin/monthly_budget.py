"""The field "Monthly budget (in cents)" on agents and workspaces, and how they stand in their lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from agents.admin.access import MembersOnlyAdmin
from agents.admin.people import AgentAdmin, WorkspaceAdmin
from agents.cost_tracker import CostTracker
from agents.figures import many
from agents.models import Agent, LedgerState, Workspace
from agents.write_lock import writing
from budgets.admin.defaults import DefaultBudgetInline
from budgets.admin.shown import covered_too, state_in_html
from budgets.form_fields import CentsField
from budgets.models import BudgetPolicy
from budgets.money import in_both
from budgets.months import month_at
from budgets.policies import By, policy_of, set_budget
from budgets.state import BudgetState, standings_in_bulk, states_of, states_of_workspaces

FIELD = "monthly_budget_cents"


class MonthlyBudgetForm(forms.ModelForm):  # type: ignore[type-arg]
    # The hidden copy of what was shown tells a change from a limit that somebody else set while the form was open, and
    # a field that was emptied from one that was not sent.
    monthly_budget_cents = CentsField(
        label="Monthly budget (in cents)",
        required=False,
        show_hidden_initial=True,
        too_little="A budget is 0 cents or more; leave it empty to have none.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.budgets = list(budgets_of(self.instance)) if self.instance.pk else []
        """All that cover the row: the form shows its own, and speaks of the others."""
        if self.own is not None:
            self.initial[FIELD] = self.own.limit_cents

    @property
    def own(self) -> BudgetPolicy | None:
        scope = BudgetPolicy.Scope.AGENT if isinstance(self.instance, Agent) else BudgetPolicy.Scope.WORKSPACE
        return next((policy for policy in self.budgets if policy.scope == scope), None)

    @property
    def above(self) -> list[BudgetPolicy]:
        return sorted((policy for policy in self.budgets if policy is not self.own), key=lambda policy: policy.place)


def budgets_of(row: Agent | Workspace) -> Iterable[BudgetPolicy]:
    """Every live budget that covers it."""
    place = (row.workspace_id, [row.pk]) if isinstance(row, Agent) else (row.pk, [])
    return BudgetPolicy.objects.covering(*place).select_related("workspace", "agent")


class MonthlyBudgetAdmin(MembersOnlyAdmin):
    """The field, stored by `set_budget` alone, and the column *budget*. Stands before the class it adds to."""

    form = MonthlyBudgetForm

    def states(self, rows: Iterable[Any]) -> Mapping[int, BudgetState]:
        """How the rows of a page stand, by primary key."""
        raise NotImplementedError

    def spent_by(self, row: Any) -> CostTracker:
        raise NotImplementedError

    # ── the list ─────────────────────────────────────────────────────────────────────────────────────────────────

    def get_list_display(self, request: HttpRequest) -> Any:
        @admin.display(description="budget")
        def budget(row: Any) -> str:
            states: Mapping[int, BudgetState] = request._budget_states  # type: ignore[attr-defined]
            return state_in_html(states[row.pk], of=f"{self.opts.model_name} {row}")

        name, *rest = super().get_list_display(request)
        return (name, budget, *rest)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        listed = super().get_changelist_instance(request)
        request._budget_states = self.states(listed.result_list)  # type: ignore[attr-defined]
        return listed

    # ── the form ─────────────────────────────────────────────────────────────────────────────────────────────────

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = list(super().get_fields(request, obj))
        fields.insert(fields.index("archived_at"), FIELD)
        return fields

    @admin.display(description="Monthly budget (in cents)")
    def monthly_budget_cents(self, row: Any) -> str:
        """For those who see it and change nothing."""
        policy = policy_of(row)
        return "no budget" if policy is None else in_both(policy.limit_microcents)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        form = context["adminform"].form
        field = form.fields.get(FIELD)
        if field is not None:
            field.help_text = self._help(request, obj, form)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def _help(self, request: HttpRequest, row: Any, form: MonthlyBudgetForm) -> str:
        plain = "Per calendar month; 100 cents are $1.00. Empty: no budget. 0: nothing may be spent."
        if row is None:
            return plain
        now, ledger = timezone.now(), LedgerState.current()
        month = month_at(now, ledger.days())
        spend = self.spent_by(row).month(month.name).total()
        unpriced = f", and {many(spend.unpriced_calls, 'call')} without a price" if spend.unpriced_calls else ""
        spent = f"Spent this month: {in_both(spend.cost_microcents)}{unpriced}."
        standings = standings_in_bulk(form.above, now, month)
        above = covered_too(request, [standings[one.pk] for one in form.above], ledger.time_zone)
        policy = form.own
        more = ""
        if policy is not None:
            # Only an agent's own budget moves it to another model.
            model = "model near the end, " if policy.scope == BudgetPolicy.Scope.AGENT else ""
            more = format_html(
                ' <a href="{}">Thresholds, mode, {}and grants</a>',
                reverse("admin:budgets_budgetpolicy_change", args=[policy.pk]),
                model,
            )
        return format_html("{} {} {}{}", plain, spent, above, more)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if FIELD not in form.changed_data:
            super().save_model(request, obj, form, change)
            return
        # Alone from the start: who records calls takes the row under the lock that `set_budget` waits for, so whoever
        # took the row first would wait with them in a circle.
        with writing(alone=True):
            super().save_model(request, obj, form, change)
            set_budget(obj, by=By(user=request.user), limit_cents=form.cleaned_data[FIELD])  # type: ignore[arg-type]


admin.site.unregister(Agent)
admin.site.unregister(Workspace)


@admin.register(Agent)
class BudgetedAgentAdmin(MonthlyBudgetAdmin, AgentAdmin):
    def states(self, rows: Iterable[Agent]) -> Mapping[int, BudgetState]:
        return states_of(rows)

    def spent_by(self, row: Agent) -> CostTracker:
        return CostTracker().agent(row)


@admin.register(Workspace)
class BudgetedWorkspaceAdmin(MonthlyBudgetAdmin, WorkspaceAdmin):
    inlines = (*WorkspaceAdmin.inlines, DefaultBudgetInline)  # type: ignore[assignment]  # one more, of another kind

    def states(self, rows: Iterable[Workspace]) -> Mapping[int, BudgetState]:
        return states_of_workspaces(rows)

    def spent_by(self, row: Workspace) -> CostTracker:
        return CostTracker().workspace(row)
