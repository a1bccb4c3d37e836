"""Money set aside for a process that may spend it without asking, and the times when there was none."""

from __future__ import annotations

from uuid import uuid4

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from agents.models import Agent, Workspace
from agents.models.visibility import VisibleQuerySet
from budgets.models.policies import BudgetPolicy


class SpendLeaseQuerySet(VisibleQuerySet["SpendLease"]):
    def holding(self, now: object) -> SpendLeaseQuerySet:
        """Leases that hold money at `now`."""
        return self.filter(frees_at__gt=now, granted_microcents__gt=F("used_microcents"))


class SpendLease(models.Model):
    """What one client process may spend of an agent's budgets until it asks again.

    What it holds is `granted - used`, worked out from rows and never kept as a sum: a sum that missed one release would
    stay wrong for good. `used` is the ledger's cost of the calls that name the lease, raised in the transaction that
    inserts them.
    """

    lease_id = models.UUIDField(primary_key=True, default=uuid4)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+")
    client_id = models.UUIDField(help_text="The process that holds it.")
    asked_as = models.CharField(
        max_length=200,
        blank=True,
        help_text="The name its process asks under, where that was merged into the agent; empty: the agent's own. A"
        " process that uses both names has a lease for each.",
    )
    month = models.CharField(max_length=7, help_text="'YYYY-MM'. A lease never outlives its month.")
    granted_microcents = models.BigIntegerField()
    used_microcents = models.BigIntegerField(default=0)
    renewed_used_microcents = models.BigIntegerField(
        default=0, editable=False, help_text="What was used when it was last renewed: the pace is told by the rest."
    )
    granted_at = models.DateTimeField(default=timezone.now)
    renewed_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(help_text="Until then the client may spend it.")
    frees_at = models.DateTimeField(help_text="From then on it holds nothing.")
    released_at = models.DateTimeField(null=True)

    objects = SpendLeaseQuerySet.as_manager()

    class Meta:
        ordering = ["-granted_at"]
        constraints = [
            models.CheckConstraint(name="a_lease_is_not_negative", condition=Q(granted_microcents__gte=0)),
        ]
        indexes = [
            models.Index(fields=["frees_at"], name="lease_by_end"),
            models.Index(fields=["agent", "client_id", "month"], name="lease_by_holder"),
        ]

    def __str__(self) -> str:
        return f"{self.agent_id}: {self.granted_microcents} microcents"

    @property
    def held_microcents(self) -> int:
        return max(0, self.granted_microcents - self.used_microcents)


class Refusal(models.Model):
    """Requests for money that a budget turned down, summed by agent, policy, kind and minute."""

    class Kind(models.TextChoices):
        EXHAUSTED = "exhausted", "The budget is spent"
        HELD = "held", "Others hold what is left"
        TOO_LARGE = "too_large", "The call may cost more than is left"

    policy = models.ForeignKey(BudgetPolicy, on_delete=models.PROTECT, related_name="refusals", db_index=False)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind)
    minute = models.DateTimeField()
    count = models.BigIntegerField(default=1)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        ordering = ["-minute"]
        constraints = [
            models.UniqueConstraint(fields=["policy", "agent", "kind", "minute"], name="one_refusal_row_per_minute")
        ]
        indexes = [
            models.Index(fields=["workspace", "minute"], name="refusal_by_minute"),
            # Covering: dashboards count the last week's of every budget.
            models.Index(fields=["policy", "minute", "count"], name="refusal_by_policy"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.count}"
