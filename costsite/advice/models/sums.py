"""Sums by day that the advice is made of. Written night by night; the calls stay the truth."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from agents.models import Agent, Workspace
from agents.models.sums import UsageSums
from agents.models.visibility import VisibleQuerySet


class ReviewState(models.Model):
    """One row: how far the review has come."""

    through = models.DateField(null=True, help_text="The last day whose runs were reviewed and whose advice was found.")
    time_zone = models.CharField(max_length=64, blank=True, help_text="Whose days were read.")

    class Meta:
        constraints = [models.CheckConstraint(name="only_one_review_state", condition=Q(pk=1))]

    def __str__(self) -> str:
        return str(self.through)


class ScannedDay(models.Model):
    """A day of a workspace as it was when it was read: one that changed since is read again."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    day = models.DateField()
    runs = models.BigIntegerField(default=0)
    calls = models.BigIntegerField(default=0)
    cost_microcents = models.BigIntegerField(default=0)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "day"], name="one_scanned_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.workspace_id}"


class ReviewedDay(models.Model):
    """An agent's runs that began on a day, as the nightly review read them, with all their calls.

    Money in microcents.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="+", db_index=False)
    day = models.DateField()
    runs = models.BigIntegerField(default=0)
    failed_runs = models.BigIntegerField(default=0)
    unpriced_runs = models.BigIntegerField(default=0)
    calls = models.BigIntegerField(default=0)
    cost_microcents = models.BigIntegerField(default=0)
    looped_calls = models.BigIntegerField(default=0)
    looped_microcents = models.BigIntegerField(default=0)
    looped_runs = models.JSONField(default=list, help_text="Up to five, dearest first: [microcents, run].")
    failed_calls = models.BigIntegerField(default=0)
    failed_microcents = models.BigIntegerField(default=0)
    failing_runs = models.JSONField(default=list, help_text="Up to five, dearest first: [microcents, run].")
    compactable = models.JSONField(default=dict, help_text="What summing up at so many tokens would have saved.")
    longest_runs = models.JSONField(default=list, help_text="Up to five, largest context first: [tokens, run].")
    compactions = models.BigIntegerField(default=0)
    compaction_saved_microcents = models.BigIntegerField(default=0)
    uncached_calls = models.BigIntegerField(default=0)
    uncached_microcents = models.BigIntegerField(default=0, help_text="What a prompt cache would have spared.")
    uncached_runs = models.JSONField(default=list, help_text="Up to five, dearest first: [microcents, run].")
    repeated_prompts = models.BigIntegerField(default=0)
    repeated_microcents = models.BigIntegerField(default=0)
    repeated_runs = models.JSONField(default=list, help_text="Up to five, dearest first: [microcents, run].")
    growth = models.JSONField(default=dict, help_text="By call number, how many calls had so large an input.")

    objects = VisibleQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "day", "agent"], name="one_reviewed_day")]
        indexes = [models.Index(fields=["agent", "day"], name="reviewed_day_by_agent")]

    def __str__(self) -> str:
        return f"{self.day} {self.agent_id}"


class UsageSlice(UsageSums):
    """By model and by the size of a call's context: what can be priced anew as if call by call.

    Calls that the local cache answered are left out: on any model they cost nothing.

    A model may have another price for large contexts. Within a slice every call is on one side of every such step.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="+", db_index=False)
    day = models.DateField()
    provider = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True)
    context_up_to = models.BigIntegerField(help_text="Input tokens of a call, at most; it is over the size before.")
    answered_calls = models.BigIntegerField(default=0, help_text="With output: what a price per call is paid for.")

    objects = VisibleQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "day", "agent", "provider", "model", "context_up_to"], name="one_usage_slice"
            )
        ]
        indexes = [models.Index(fields=["agent", "day"], name="usage_slice_by_agent")]

    def __str__(self) -> str:
        return f"{self.day} {self.agent_id} {self.model}"


class TaskDay(UsageSums):
    """By the task that runs name: their calls by model and effort, of runs that began on the day."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="+", db_index=False)
    day = models.DateField()
    task = models.CharField(max_length=64)
    provider = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True)
    effort = models.CharField(max_length=200, blank=True)
    runs = models.JSONField(default=list, help_text="Up to five, dearest first: [microcents, run].")

    objects = VisibleQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "day", "agent", "task", "provider", "model", "effort"], name="one_task_day"
            )
        ]
        indexes = [models.Index(fields=["agent", "day"], name="task_day_by_agent")]

    def __str__(self) -> str:
        return f"{self.day} {self.task}"


class AgentMonth(models.Model):
    """An agent's last 30 days as the page shows them, made with its advice. Money in microcents."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    agent = models.OneToOneField(Agent, on_delete=models.CASCADE, related_name="+")
    through = models.DateField(help_text="The last day, included.")
    runs = models.BigIntegerField(default=0)
    calls = models.BigIntegerField(default=0)
    cost_microcents = models.BigIntegerField(default=0)
    usual_runs = models.BigIntegerField(default=0, help_text="That its usual run is the middle of.")
    input_tokens = models.BigIntegerField(default=0)
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_reported = models.BooleanField(default=False)
    cache_saved_microcents = models.BigIntegerField(default=0)
    repeated_prompts = models.BigIntegerField(default=0)
    repeated_microcents = models.BigIntegerField(default=0)
    compactions = models.BigIntegerField(default=0)
    compaction_saved_microcents = models.BigIntegerField(default=0)
    efforts = models.JSONField(
        default=list, help_text="[model, effort, calls, cost, priced calls, output, reasoning, failed], dearest first."
    )
    growth = models.JSONField(default=list, help_text="By call number: [number, n, median, p90] input tokens.")
    compactable = models.JSONField(default=list, help_text="[tokens, what summing up at so many would have saved].")

    objects = VisibleQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["workspace", "-cost_microcents"], name="agent_month_by_workspace")]

    def __str__(self) -> str:
        return f"{self.agent_id} through {self.through}"
