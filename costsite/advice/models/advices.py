"""What one could do, what became of it, and who decided."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from agents.models import Agent, Workspace
from agents.models.visibility import VisibleQuerySet
from costsite.advice.kinds import KINDS


class Advice(models.Model):
    """One thing to do for one agent, with its microcents a month. Found anew every night; its state is people's."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        DONE = "done", "Done"
        DISMISSED = "dismissed", "Dismissed"
        SNOOZED = "snoozed", "Snoozed"

    class Confidence(models.TextChoices):
        HIGH = "high", "High"
        MEDIUM = "medium", "Medium"
        LOW = "low", "Low"

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=20, help_text="One of `kinds.KINDS`.")
    key = models.CharField(max_length=200, blank=True, help_text="What it is about, such as a model or a cause.")
    month_microcents = models.BigIntegerField(default=0, help_text="What it would have saved in the last 30 days.")
    figures = models.JSONField(default=dict)
    evidence = models.JSONField(default=list, help_text="At most five runs: [id, when it began].")
    confidence = models.CharField(max_length=6, choices=Confidence, default=Confidence.MEDIUM)
    first_found = models.DateField()
    last_found = models.DateField(help_text="The night that found it last; an older one than the others': it is gone.")

    state = models.CharField(max_length=10, choices=State, default=State.OPEN)
    reason = models.CharField(max_length=500, blank=True)
    decided_at = models.DateTimeField(null=True)
    decided_on = models.DateField(null=True, help_text="The local day; what comes after it is measured against before.")
    snoozed_until = models.DateField(null=True)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["agent", "kind", "key"], name="one_advice_of_a_kind")]
        indexes = [models.Index(fields=["workspace", "state", "last_found"], name="advice_by_workspace")]

    def __str__(self) -> str:
        return f"{self.label}: {self.agent}"

    @property
    def label(self) -> str:
        return KINDS[self.kind].label if self.kind in KINDS else self.kind


class AdviceChange(models.Model):
    """Who took an advice how, and why. Never changed, never deleted but with its advice."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    advice = models.ForeignKey(Advice, on_delete=models.CASCADE, related_name="changes")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    username = models.CharField(max_length=150, help_text="As it was; stays when the person is gone.")
    state_before = models.CharField(max_length=10)
    state_after = models.CharField(max_length=10, choices=Advice.State)
    reason = models.CharField(max_length=500, blank=True)
    snoozed_until = models.DateField(null=True)
    month_microcents = models.BigIntegerField(default=0, help_text="What the advice promised then.")
    changed_at = models.DateTimeField(default=timezone.now)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        ordering = ["-changed_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.username}: {self.state_after}"
