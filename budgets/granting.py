"""Granting more, as people do it: a form, what it would change, and the act once they agreed to exactly that.

Admin and pages show it differently and do it alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from django import forms
from django.core.exceptions import ValidationError

from agents.spend import MICROCENTS_PER_CENT
from agents.write_lock import writing
from budgets.enforcement import Standing
from budgets.form_fields import CentsField
from budgets.grant_days import end_of
from budgets.models import BudgetGrant, BudgetPolicy
from budgets.policies import By, grant
from budgets.state import standing_now


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


@dataclass(frozen=True)
class Proposal:
    """What a grant, or taking one back, would change of a budget."""

    before: Standing
    after: Standing

    @classmethod
    def of(cls, standing: Standing, cents: int) -> Proposal:
        """With `cents` more; negative for a grant that is taken back."""
        return cls(standing, replace(standing, limit=standing.limit + cents * MICROCENTS_PER_CENT))


def grant_as_shown(policy: BudgetPolicy, form: GrantForm, *, limit_shown: str, by: By) -> BudgetGrant | None:
    """Grant what a valid `form` asks for, if the limit is still the one that was shown, in microcents as text.

    None when it is not: the form was sent twice, or somebody else was faster, and what was agreed to is not what would
    happen.
    """
    wanted = form.cleaned_data
    with writing(alone=True):
        if limit_shown != str(standing_now(policy).limit):
            return None
        return grant(policy, wanted["cents"], ends_at=end_of(wanted["last_day"]), reason=wanted["reason"], by=by)
