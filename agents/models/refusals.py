"""Calls that were refused before they were made, as the client reports them."""

from __future__ import annotations

from django.db import models

from agents.models.people import Agent, Workspace
from agents.models.visibility import VisibleQuerySet


class ReportedRefusal(models.Model):
    """Refused calls of one run and kind within one minute. Kept by id so that none is counted twice."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+", db_index=False)
    refusal_id = models.UUIDField()
    run_id = models.UUIDField()
    kind = models.CharField(max_length=10)
    refused_at = models.DateTimeField()
    day = models.DateField(help_text="Of the refusal, in the ledger's time zone.")
    count = models.BigIntegerField()
    policy_id = models.BigIntegerField(null=True, help_text="Of the budget that refused, as the client names it.")

    objects = VisibleQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "refusal_id"], name="one_refusal_per_id")]
        indexes = [
            models.Index(fields=["workspace", "run_id"], name="refusal_by_run"),
            models.Index(fields=["workspace", "day"], name="refusal_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.kind}: {self.count}"
