"""A line of a budget that spending has passed."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from budgets.models.policies import BudgetPolicy


class ThresholdCrossing(models.Model):
    """Once per policy, month, threshold and limit: a raised limit has lines of its own, which ring again."""

    policy = models.ForeignKey(BudgetPolicy, on_delete=models.PROTECT, related_name="crossings", db_index=False)
    month = models.CharField(max_length=7, help_text="'YYYY-MM'.")
    threshold = models.PositiveSmallIntegerField(help_text="Percent of the limit.")
    limit_microcents = models.BigIntegerField(help_text="The effective limit: with the grants of that moment.")
    spent_microcents = models.BigIntegerField()
    agents = models.JSONField(default=list, help_text="Ids of the agents whose spend passed the line.")
    crossed_at = models.DateTimeField(default=timezone.now)
    late = models.BooleanField(default=False, help_text="Passed by calls of a month that was over.")
    at_creation = models.BooleanField(default=False, help_text="Passed already when the budget was made or changed.")
    claimed_at = models.DateTimeField(null=True, help_text="When a process began to announce it.")
    announced_at = models.DateTimeField(null=True, help_text="When BudgetThresholdCrossed had been sent.")

    class Meta:
        ordering = ["-crossed_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["policy", "month", "threshold", "limit_microcents"], name="one_crossing_per_line"
            )
        ]
        indexes = [
            models.Index(fields=["crossed_at"], name="crossing_unannounced", condition=models.Q(announced_at=None))
        ]

    def __str__(self) -> str:
        return f"{self.policy}: {self.threshold} % in {self.month}"
