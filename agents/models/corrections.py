"""Changes of cost after the fact, to be seen and added up."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from agents.models.people import Agent, Workspace
from agents.models.visibility import VisibleQuerySet
from agents.spend import known_cost


class CostCorrection(models.Model):
    """What repricing moved for one agent, model and day. Written in the transaction that moves the counters."""

    repricing_id = models.UUIDField(help_text="One per repricing; its corrections share it.")
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+")
    day = models.DateField()
    provider = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True)
    calls = models.BigIntegerField(default=0)
    newly_priced_calls = models.BigIntegerField(default=0, help_text="Had no cost before: it was not known.")
    no_longer_priced_calls = models.BigIntegerField(default=0, help_text="Have no cost after: it is not known.")
    cost_before_microcents = models.BigIntegerField(default=0)
    cost_after_microcents = models.BigIntegerField(default=0)
    reason = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=timezone.now)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["repricing_id", "workspace", "agent", "day", "provider", "model"],
                name="one_correction_per_repricing_and_key",
            )
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.model}: {self.calls} calls"

    @property
    def cost_before(self) -> int | None:
        """Microcents, by `known_cost`."""
        return known_cost(self.calls, self.newly_priced_calls, self.cost_before_microcents)

    @property
    def cost_after(self) -> int | None:
        """Microcents, by `known_cost`."""
        return known_cost(self.calls, self.no_longer_priced_calls, self.cost_after_microcents)
