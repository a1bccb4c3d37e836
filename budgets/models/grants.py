"""More money for a while."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from budgets.models.policies import MAX_LIMIT_CENTS, BudgetPolicy


class BudgetGrantQuerySet(models.QuerySet["BudgetGrant"]):
    def live(self, now: datetime) -> BudgetGrantQuerySet:
        """Grants that raise the limit at `now`."""
        return self.filter(granted_at__lte=now, ends_at__gt=now, revoked_at=None)


class BudgetGrant(models.Model):
    """Cents on top of a policy's limit, until a time."""

    policy = models.ForeignKey(BudgetPolicy, on_delete=models.PROTECT, related_name="grants")
    cents = models.BigIntegerField(validators=[MinValueValidator(1), MaxValueValidator(MAX_LIMIT_CENTS)])
    reason = models.CharField(max_length=500)
    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    granted_at = models.DateTimeField(default=timezone.now, editable=False)
    ends_at = models.DateTimeField(help_text="From then on the limit is the policy's own again.")
    revoked_at = models.DateTimeField(null=True, editable=False)

    objects = BudgetGrantQuerySet.as_manager()

    class Meta:
        ordering = ["-granted_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.cents:,} cents for {self.policy}"
