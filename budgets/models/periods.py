"""What was spent of a budget in a month."""

from __future__ import annotations

from django.db import models

from budgets.models.policies import BudgetPolicy


class BudgetPeriod(models.Model):
    """One counter per policy and month, raised in the transaction that records the calls.

    Nothing is ever reset: a new month is a new row, so an agent is free at its first instant whether or not any
    process runs. A month without a row is one in which nothing was spent.
    """

    policy = models.ForeignKey(BudgetPolicy, on_delete=models.PROTECT, related_name="periods", db_index=False)
    month = models.CharField(max_length=7, help_text="'YYYY-MM', in the ledger's time zone.")
    spent_microcents = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["policy", "-month"]
        constraints = [models.UniqueConstraint(fields=["policy", "month"], name="one_period_per_month")]

    def __str__(self) -> str:
        return f"{self.policy}, {self.month}"
