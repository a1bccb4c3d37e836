"""Budgets: made, changed, granted more, archived; never deleted."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from agents.admin.access import is_superuser, minute, owned_workspace_ids
from agents.models import Agent, Workspace
from budgets.admin.grants import GrantingAdmin, GrantInline
from budgets.admin.history import ChangeInline, CrossingInline
from budgets.admin.shown import standings_on_a_page, state_in_html
from budgets.enforcement import Standing
from budgets.form_fields import CentsField, ThresholdsField
from budgets.model_moves import clean_model
from budgets.models import BudgetPolicy
from budgets.models.policies import default_thresholds
from budgets.money import in_both, in_cents
from budgets.policies import CHANGEABLE, By, archive, policy_of, set_budget
from budgets.policies import change as change_budget
from budgets.state import standing_now, state_of_standing

Scope = BudgetPolicy.Scope


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]
    limit_cents = CentsField(
        label="Monthly budget (in cents)",
        help_text="Per calendar month; 100 cents are $1.00. 0: nothing may be spent.",
        too_little="A budget is 0 cents or more; to have none, archive it instead.",
        error_messages={"required": "Write a limit in cents; to have no budget, archive it instead."},
    )
    thresholds = ThresholdsField(
        required=False,
        initial=default_thresholds,
        help_text="Percents of the budget at which people are told, such as 50, 80, 100.",
    )
    reason = forms.CharField(
        max_length=500, required=False, label="Reason for the change", widget=forms.TextInput({"size": 60}),
        help_text="Kept with the change.",
    )  # fmt: skip

    class Meta:
        model = BudgetPolicy
        fields = ["scope", "workspace", "agent", "limit_cents", "thresholds", "mode", "moves_to", "moves_at_percent"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            for name in CHANGEABLE:
                if name in self.fields:
                    # With a hidden copy of what was shown, what others changed meanwhile is not changed back.
                    self.fields[name].show_hidden_initial = True

    def clean_moves_to(self) -> str:
        return clean_model(self.cleaned_data["moves_to"])

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.instance.pk and "scope" in cleaned and not {"agent", "workspace"} & self.errors.keys():
            self._settle_subject(cleaned)
        return cleaned

    def _settle_subject(self, cleaned: dict[str, Any]) -> None:
        """Exactly what the scope calls for, and no budget on it yet."""
        scope, agent, workspace = cleaned["scope"], cleaned.get("agent"), cleaned.get("workspace")
        subject: Agent | Workspace | None = None
        at = "scope"
        if scope == Scope.AGENT:
            at, subject = "agent", agent
            if agent is None:
                return self.add_error(at, "Choose the agent that the budget is for.")
            if workspace not in (None, agent.workspace):
                return self.add_error(
                    "workspace", f"{agent} runs in {agent.workspace}; choose that, or leave it empty."
                )
            cleaned["workspace"] = agent.workspace
        elif scope == Scope.WORKSPACE:
            at, subject = "workspace", workspace
            if workspace is None:
                return self.add_error(at, "Choose the workspace that the budget is for.")
            if agent is not None:
                return self.add_error("agent", "Leave it empty, or choose the scope Per-agent.")
        elif agent or workspace:
            at = "agent" if agent else "workspace"
            return self.add_error(at, "A global budget is of no one; leave it empty, or choose another scope.")
        existing = policy_of(subject)
        if existing is not None:
            self.add_error(
                at,
                format_html(
                    'There is a budget of {} already: <a href="{}">{} a month</a>. Change that one.',
                    existing.subject,
                    reverse("admin:budgets_budgetpolicy_change", args=[existing.pk]),
                    in_both(existing.limit_microcents),
                ),
            )
        return None


@admin.register(BudgetPolicy)
class BudgetPolicyAdmin(GrantingAdmin):
    form = PolicyForm
    list_display = ("subject", "scope")  # and those that get_list_display adds
    list_select_related = ("workspace", "agent")
    search_fields = ("agent__slug", "agent__name", "workspace__slug", "workspace__name")
    search_help_text = "By agent or workspace."
    list_per_page = 50
    sortable_by = ()
    show_full_result_count = False
    autocomplete_fields = ("agent",)
    radio_fields = {"scope": admin.HORIZONTAL, "mode": admin.VERTICAL}
    inlines = (GrantInline, ChangeInline, CrossingInline)
    actions = ("archive",)

    # ── who ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """An archived budget is history."""
        return super().has_change_permission(request, obj) and (obj is None or obj.archived_at is None)

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "scope":
            wide = [Scope.SITE] if is_superuser(request.user) else []
            kwargs["choices"] = [(scope.value, scope.label) for scope in [Scope.AGENT, Scope.WORKSPACE, *wide]]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    # ── the list ─────────────────────────────────────────────────────────────────────────────────────────────────

    def get_ordering(self, request: HttpRequest) -> Any:
        """Live ones first, of these the widest."""
        place = Case(
            When(archived_at__isnull=False, then=Value(3)),
            When(scope=Scope.SITE, then=Value(0)),
            When(scope=Scope.WORKSPACE, then=Value(1)),
            default=Value(2),
            output_field=IntegerField(),
        )
        return (place.asc(), "workspace__name", "agent__slug", "pk")

    def get_list_display(self, request: HttpRequest) -> Any:
        def standing(policy: BudgetPolicy) -> Standing:
            standings: dict[int, Standing] = request._standings  # type: ignore[attr-defined]
            return standings[policy.pk]

        @admin.display(description="Limit (cents)")
        def limit_in_cents(policy: BudgetPolicy) -> str:
            granted = standing(policy).limit - policy.limit_microcents
            return in_cents(policy.limit_microcents) + (f" + {in_cents(granted)}" if granted else "")

        @admin.display(description="Spent (cents)")
        def spent_in_cents(policy: BudgetPolicy) -> str:
            return in_cents(standing(policy).spent)

        @admin.display(description="Held (cents)")
        def held_in_cents(policy: BudgetPolicy) -> str:
            return in_cents(standing(policy).held) if policy.mode == BudgetPolicy.Mode.HARD else "–"

        @admin.display(description="Left (cents)")
        def left_in_cents(policy: BudgetPolicy) -> str:
            return in_cents(standing(policy).left)

        @admin.display(description="state")
        def state(policy: BudgetPolicy) -> str:
            return _state(policy, standing(policy), request._zone)  # type: ignore[attr-defined]

        @admin.display(description="month ends")
        def month_ends(policy: BudgetPolicy) -> str:
            return minute(standing(policy).month.ends_at)

        subject, scope = super().get_list_display(request)
        money = (limit_in_cents, spent_in_cents, held_in_cents, left_in_cents)
        return (subject, state, scope, *money, month_ends)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        listed = super().get_changelist_instance(request)
        request._standings, request._zone = standings_on_a_page(listed.result_list)  # type: ignore[attr-defined]
        return listed

    @admin.display(description="budget of")
    def subject(self, policy: BudgetPolicy) -> str:
        if policy.agent is not None:
            return f"{policy.workspace} / {policy.subject}"
        return policy.subject

    @admin.action(description="Archive (nothing is refused for it any more)", permissions=["change"])
    def archive(self, request: HttpRequest, policies: QuerySet[BudgetPolicy]) -> None:
        if not is_superuser(request.user):
            policies = policies.filter(workspace_id__in=owned_workspace_ids(request))
        chosen = list(policies.live())  # type: ignore[attr-defined]
        for policy in chosen:
            archive(policy, by=By(user=request.user))  # type: ignore[arg-type]
        self.message_user(request, f"Archived: {len(chosen)}.")

    # ── the form ─────────────────────────────────────────────────────────────────────────────────────────────────

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        may_change = obj is None or self.has_change_permission(request, obj)
        fields: list[Any] = ["limit_cents", "thresholds", "mode"] if may_change else ["limit_set", "lines_set", "mode"]
        if obj is None or obj.scope == Scope.AGENT:
            fields.append(("moves_to", "moves_at_percent"))
        settings = ("Budget", {"fields": (*fields, "reason") if may_change else fields})
        if obj is None:
            description = "Per-agent takes an agent, Per-workspace a workspace, Global neither."
            whose = {"fields": ("scope", "workspace", "agent"), "description": description}
            return (("Whose", whose), settings)
        month = ("state_now", "limit_now", "spent_now", "held_now", "left_now", "month_ends")
        return (
            ("Whose", {"fields": ("scope", "subject")}),
            ("This month", {"fields": month}),
            settings,
            ("Record", {"classes": ("collapse",), "fields": ("first_month", "created_at", "archived_at")}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ()
        return (
            "scope", "subject", "state_now", "limit_now", "spent_now", "held_now", "left_now", "month_ends",
            "limit_set", "lines_set", "first_month", "created_at", "archived_at",
        )  # fmt: skip

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return () if obj is None else super().get_inlines(request, obj)

    @admin.display(description="state")
    def state_now(self, policy: BudgetPolicy) -> str:
        return _state(policy, _standing(policy))

    @admin.display(description="limit")
    def limit_now(self, policy: BudgetPolicy) -> str:
        standing = _standing(policy)
        granted = standing.limit - policy.limit_microcents
        return in_both(standing.limit) + (f", {in_both(granted)} of it granted" if granted else "")

    @admin.display(description="spent")
    def spent_now(self, policy: BudgetPolicy) -> str:
        return in_both(_standing(policy).spent)

    @admin.display(description="held by leases")
    def held_now(self, policy: BudgetPolicy) -> str:
        if policy.mode != BudgetPolicy.Mode.HARD:
            return "nothing: only budgets that refuse calls inside a run set money aside"
        return in_both(_standing(policy).held)

    @admin.display(description="left")
    def left_now(self, policy: BudgetPolicy) -> str:
        return in_both(_standing(policy).left)

    @admin.display(description="Monthly budget (in cents)")
    def limit_set(self, policy: BudgetPolicy) -> str:
        """For those who see it and change nothing."""
        return in_both(policy.limit_microcents)

    @admin.display(description="thresholds")
    def lines_set(self, policy: BudgetPolicy) -> str:
        return ", ".join(f"{threshold} %" for threshold in policy.thresholds)

    @admin.display(description="month ends")
    def month_ends(self, policy: BudgetPolicy) -> str:
        return minute(_standing(policy).month.ends_at)

    def save_model(self, request: HttpRequest, obj: BudgetPolicy, form: Any, change: bool) -> None:
        by = By(user=request.user)  # type: ignore[arg-type]
        given = form.cleaned_data
        if change:
            changed = {name: given[name] for name in CHANGEABLE if name in form.changed_data}
            change_budget(obj, changed, by=by, reason=given["reason"])
            return
        made = set_budget(
            obj.agent or obj.workspace, by=by, reason=given["reason"], **{name: given[name] for name in CHANGEABLE}
        )
        if made is not None:  # None is the answer to a limit of None, which the form does not take
            obj.__dict__.update(made.__dict__)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        obj = kwargs.get("obj")
        if obj is not None and self.has_change_permission(request, obj):
            context["grant_address"] = reverse("admin:budgets_budgetpolicy_grant", args=[obj.pk])
        return super().render_change_form(request, context, *args, **kwargs)


def _standing(policy: BudgetPolicy) -> Standing:
    """Read once for all fields of a page."""
    known: Standing | None = getattr(policy, "_standing", None)
    if known is None:
        known = standing_now(policy)
        policy._standing = known  # type: ignore[attr-defined]
    return known


def _state(policy: BudgetPolicy, standing: Standing, zone: str | None = None) -> str:
    if policy.archived_at is not None:
        return f"archived {minute(policy.archived_at)}"
    return state_in_html(state_of_standing(standing, zone))
