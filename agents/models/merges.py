"""Two agents that are one: who said so, and how far it has come."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from agents.models.people import Agent, Workspace
from agents.models.visibility import VisibleQuerySet
from agents.spend import known_cost


class AgentMerge(models.Model):
    """An agent that was merged into another. Never changed by people; what moved is counted with the rows that move."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    source = models.OneToOneField(Agent, on_delete=models.PROTECT, related_name="merge")
    target = models.ForeignKey(
        Agent, on_delete=models.PROTECT, related_name="+", help_text="As it was chosen; it may have been merged since."
    )
    by_user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    by_name = models.CharField(max_length=200, help_text="Who it was, should the login be gone.")
    merged_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, help_text="Empty: rows are still moving.")
    expected_calls = models.BigIntegerField(default=0, help_text="That the sums by day had when it began.")
    keys = models.PositiveIntegerField(
        default=0, help_text="API keys that were bound to the source, and are bound to the target since."
    )
    runs = models.BigIntegerField(default=0)
    calls = models.BigIntegerField(default=0)
    unpriced_calls = models.BigIntegerField(default=0)
    cost_microcents = models.BigIntegerField(default=0, help_text="Of the calls that have a price.")
    months = models.JSONField(default=dict, help_text="Microcents that moved, by 'YYYY-MM'.")

    objects = VisibleQuerySet.as_manager()

    class Meta:
        verbose_name = "merge"
        ordering = ["-merged_at", "-id"]
        indexes = [models.Index(fields=["id"], name="merge_unfinished", condition=Q(finished_at=None))]

    def __str__(self) -> str:
        return f"{self.source.slug} into {self.target.slug}"

    @property
    def cost(self) -> int | None:
        """Microcents, by `known_cost`."""
        return known_cost(self.calls, self.unpriced_calls, self.cost_microcents)

    @property
    def percent(self) -> int:
        """How far it is. More than was expected may have come meanwhile."""
        if self.finished_at is not None:
            return 100
        return min(99, 100 * self.calls // self.expected_calls) if self.expected_calls else 0
