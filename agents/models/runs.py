"""One execution of an agent, end to end."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import F
from django.utils import timezone

from agents.models.people import Agent, Workspace
from agents.models.sums import UsageSums
from agents.models.visibility import VisibleQuerySet


class AgentRunLog(UsageSums):
    """A run: recorded once it makes a model call or is refused. Its sums are of its calls."""

    class Status(models.TextChoices):
        RUNNING = "running", "Running"
        OK = "ok", "OK"
        ERROR = "error", "Failed"
        CANCELLED = "cancelled", "Cancelled"
        REFUSED = "refused", "Refused"

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="runs", db_index=False)
    run_id = models.UUIDField()
    langchain_run_id = models.UUIDField(null=True)
    parent_run_id = models.UUIDField(null=True)
    started_at = models.DateTimeField(help_text="The earliest start that the run, its calls and its refusals report.")
    reported_started_at = models.DateTimeField(
        null=True, help_text="As the run's own events have it; empty until one came."
    )
    ended_at = models.DateTimeField(null=True)
    day = models.DateField(help_text="Of its start, in the ledger's time zone.")
    status = models.CharField(max_length=10, choices=Status, default=Status.RUNNING)
    error_type = models.CharField(max_length=200, blank=True)
    thread_id = models.CharField(max_length=200, blank=True)
    tags = models.JSONField(default=list)
    refused_calls = models.BigIntegerField(default=0)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        verbose_name = "run"
        constraints = [models.UniqueConstraint(fields=["workspace", "run_id"], name="one_run_per_id")]
        indexes = [
            models.Index(F("workspace"), F("started_at").desc(), F("id").desc(), name="run_by_workspace"),
            models.Index(F("agent"), F("started_at").desc(), F("id").desc(), name="run_by_agent"),
            models.Index(fields=["started_at", "id"], name="run_by_time"),
            # Without these, the few that failed would be looked for among all that went well.
            models.Index(
                F("workspace"), F("status"), F("started_at").desc(), F("id").desc(), name="run_by_workspace_status"
            ),
            models.Index(F("agent"), F("status"), F("started_at").desc(), F("id").desc(), name="run_by_agent_status"),
            models.Index(fields=["status", "started_at", "id"], name="run_by_status"),
        ]

    def __str__(self) -> str:
        return f"{self.agent} / {timezone.localtime(self.started_at):%d %b %H:%M}"

    @property
    def duration(self) -> timedelta | None:
        return self.ended_at - self.started_at if self.ended_at else None
