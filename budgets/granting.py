"""Granting more, as people do it: a form, what it would change, and the act once they agreed to exactly that.

Admin and pages show a step differently; which step it is, what is done and what is said of it stands here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

from django import forms
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.contrib.messages import constants
from django.core.exceptions import ValidationError
from django.http import QueryDict

from agents.models.visibility import is_superuser
from agents.spend import MICROCENTS_PER_CENT
from agents.write_lock import writing
from budgets.enforcement import Standing
from budgets.form_fields import CentsField
from budgets.grant_days import end_of, last_day_of_this_month
from budgets.models import BudgetGrant, BudgetPolicy
from budgets.policies import By, grant, revoke_grant
from budgets.state import standing_now


def may_grant(user: AbstractBaseUser | AnonymousUser, policy: BudgetPolicy, *, owned: bool) -> bool:
    """As `BudgetPolicy.objects.changeable_by(user)`, of a budget in hand whose workspace is theirs when `owned`."""
    if policy.archived_at is not None:
        return False
    return is_superuser(user) or (owned and policy.workspace_id is not None)


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


@dataclass(frozen=True)
class Said:
    """What one is told of an act."""

    level: int
    """Of `django.contrib.messages`."""
    text: str


@dataclass(frozen=True)
class GrantStep:
    """Where one is on the way to a grant: at the form; at what it would change, `proposal`; or done, `given`."""

    form: GrantForm
    standing: Standing
    proposal: Proposal | None = None
    given: BudgetGrant | None = None
    said: Said | None = None


def granting_step(policy: BudgetPolicy, sent: QueryDict | None, *, by: By) -> GrantStep:
    """`sent`: what was posted; with `limit_before`, what was shown is agreed to, and granted if it still holds."""
    standing = standing_now(policy)
    form = GrantForm(sent or None, initial={"last_day": last_day_of_this_month()})
    if sent is None or not form.is_valid():
        return GrantStep(form, standing)
    said = None
    limit_shown = sent.get("limit_before")
    if limit_shown is not None:
        given = _grant_as_shown(policy, form, limit_shown=limit_shown, by=by)
        if given is not None:
            granted = f"Granted: {given.cents:,} cents. What was refused runs again within seconds."
            return GrantStep(form, standing, given=given, said=Said(constants.SUCCESS, granted))
        said = Said(constants.WARNING, "The limit has changed since this was shown; look again before you grant.")
        standing = standing_now(policy)
    return GrantStep(form, standing, Proposal.of(standing, form.cleaned_data["cents"]), said=said)


@dataclass(frozen=True)
class RevokeStep:
    """What taking a grant back would change, or that it was answered."""

    proposal: Proposal | None = None
    revoked: bool = False
    said: Said | None = None


def revoking_step(given: BudgetGrant, sent: QueryDict | None, *, by: By) -> RevokeStep:
    if sent is None:
        return RevokeStep(Proposal.of(standing_now(given.policy), -given.cents))
    if revoke_grant(given, by=by, reason=sent.get("reason", "").replace("\x00", "")):
        return RevokeStep(revoked=True, said=Said(constants.SUCCESS, f"Revoked: {given.cents:,} cents."))
    return RevokeStep(said=Said(constants.INFO, "The grant was over or revoked already; nothing was changed."))


def _grant_as_shown(policy: BudgetPolicy, form: GrantForm, *, limit_shown: str, by: By) -> BudgetGrant | None:
    """Grant what a valid `form` asks for, if the limit is still the one that was shown, in microcents as text.

    None when it is not: the form was sent twice, or somebody else was faster, and what was agreed to is not what would
    happen.
    """
    wanted = form.cleaned_data
    with writing(alone=True):
        if limit_shown != str(standing_now(policy).limit):
            return None
        return grant(policy, wanted["cents"], ends_at=end_of(wanted["last_day"]), reason=wanted["reason"], by=by)
