"""The budget that agents get which register themselves."""

from __future__ import annotations

from typing import Final

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from agents.models import Workspace
from agents.models.visibility import VisibleQuerySet
from budgets.lines import problem_with
from budgets.models.policies import MAX_LIMIT_CENTS, BudgetPolicy, default_thresholds

NEGATIVE: Final = "A budget is 0 cents or more; remove it to have none."


class DefaultBudget(models.Model):
    """Of a workspace, for agents that are seen for the first time. Those it has made stand for themselves: a change
    here changes none of them.
    """

    workspace = models.OneToOneField(Workspace, on_delete=models.PROTECT, related_name="default_budget")
    limit_cents = models.BigIntegerField(
        "Monthly budget of each new agent (in cents)",
        validators=[MaxValueValidator(MAX_LIMIT_CENTS)],
        help_text="Of agents that register themselves from now on; 100 cents are 1 USD. 0: nothing may be spent until"
        " somebody raises it.",
    )
    thresholds = models.JSONField(default=default_thresholds, help_text="Percents at which people are told.")
    mode = models.CharField(max_length=10, choices=BudgetPolicy.Mode, default=BudgetPolicy.Mode.HARD)
    changed_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="a_default_limit_is_within_bounds",
                condition=Q(limit_cents__gte=0, limit_cents__lte=MAX_LIMIT_CENTS),
            ),
        ]

    def __str__(self) -> str:
        return f"Budget of new agents of {self.workspace}"

    def clean(self) -> None:
        problems = {}
        if self.limit_cents is not None and self.limit_cents < 0:
            problems["limit_cents"] = NEGATIVE
        if problem := problem_with(self.thresholds):
            problems["thresholds"] = problem
        if problems:
            raise ValidationError(problems)
