"""Sums by day, and of days by month, that answer the pages. Written in the transaction that writes the calls; never
the truth themselves: `rebuild_rollups` recomputes them from calls and changes nothing on a healthy database.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from agents.models.people import Agent, Workspace
from agents.models.sums import UsageSums
from agents.models.visibility import VisibleQuerySet


class UsageDay(UsageSums):
    """By everything a page groups or filters by."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    day = models.DateField()
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+", db_index=False)
    provider = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True)
    status = models.CharField(max_length=10)
    effort = models.CharField(max_length=200, blank=True)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "day", "agent", "provider", "model", "status", "effort"],
                name="one_usage_day_per_key",
            ),
        ]
        indexes = [
            # Day first and covering: a month over all workspaces is one range of this index alone, whatever it is
            # narrowed or split by. Then the model: days by model come in its order, and nothing is sorted.
            models.Index(
                fields=[
                    "day",
                    "model",
                    "provider",
                    "status",
                    "workspace",
                    "agent",
                    "cost_microcents",
                    "unpriced_calls",
                    "calls",
                ],
                name="usage_day_by_day",
            ),
            # An agent's models, states and efforts, for its page, its merge and its leases. It covers nothing: what an
            # agent spent in all, `AgentDay` says.
            models.Index(fields=["agent", "day"], name="usage_day_by_agent"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.agent_id} {self.model}"


class AgentDay(UsageSums):
    """By agent alone: a third of the rows of `UsageDay`, and less, for who asks what each of many spent."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    day = models.DateField()
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+", db_index=False)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "day", "agent"], name="one_agent_day_per_key"),
        ]
        indexes = [
            # Covering: what each of many agents did is read from its part of this index, in its order.
            models.Index(
                fields=[
                    "agent",
                    "day",
                    "cost_microcents",
                    "unpriced_calls",
                    "calls",
                    "failed_calls",
                    "estimated_calls",
                ],
                name="agent_day_sums",
            ),
            # Whoever sees all workspaces asks for a month of theirs.
            models.Index(fields=["day"], name="agent_day_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.agent_id}"


class ModelDay(UsageSums):
    """By provider, model and status, whichever agents called them: as many rows a day as a workspace uses models, and
    some more. What all agents together did under such a filter is read from these.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    day = models.DateField()
    provider = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True)
    status = models.CharField(max_length=10)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "day", "provider", "model", "status"], name="one_model_day_per_key"
            ),
        ]
        indexes = [
            # Whoever sees all workspaces asks for days of theirs. Covering, and days by model come in its order.
            models.Index(
                fields=[
                    "day",
                    "model",
                    "provider",
                    "status",
                    "workspace",
                    "cost_microcents",
                    "unpriced_calls",
                    "calls",
                ],
                name="model_day_by_day",
            ),
            # Few rows, where prices are known; every dashboard asks whether there are any.
            models.Index(fields=["day", "workspace"], name="model_day_unpriced", condition=Q(unpriced_calls__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.model}"


class TagDay(UsageSums):
    """By tag, those without one under the empty tag. A call with two tags counts under both, so tags add up to no less
    than the total.
    """

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    day = models.DateField()
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+", db_index=False)
    tag = models.CharField(max_length=64)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "day", "tag", "agent"], name="one_tag_day_per_key")]
        # The key begins with the workspace; whoever sees all of them asks for a tag's days in any.
        indexes = [models.Index(fields=["tag", "day", "agent"], name="tag_day_by_tag")]

    def __str__(self) -> str:
        return f"{self.day} {self.tag}"


class WorkspaceTagDay(UsageSums):
    """By tag, whichever agents called under it: as many rows a day as a workspace uses tags."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    day = models.DateField()
    tag = models.CharField(max_length=64)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "day", "tag"], name="one_workspace_tag_day_per_key"),
        ]
        # Whoever sees all workspaces asks for a tag's days in any.
        indexes = [models.Index(fields=["tag", "day", "workspace"], name="workspace_tag_day_by_tag")]

    def __str__(self) -> str:
        return f"{self.day} {self.tag}"


class UsageMonth(UsageSums):
    """The days of `UsageDay` by calendar month: far fewer rows, for ranges that hold whole months."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    month = models.DateField()
    """Its first day."""
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+", db_index=False)
    provider = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True)
    status = models.CharField(max_length=10)
    effort = models.CharField(max_length=200, blank=True)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "month", "agent", "provider", "model", "status", "effort"],
                name="one_usage_month_per_key",
            ),
        ]
        indexes = [
            # As of days: covering, for whoever sees all workspaces, and months by model come in its order.
            models.Index(
                fields=[
                    "month",
                    "model",
                    "provider",
                    "status",
                    "workspace",
                    "agent",
                    "cost_microcents",
                    "unpriced_calls",
                    "calls",
                ],
                name="usage_month_by_month",
            ),
            models.Index(fields=["agent", "month"], name="usage_month_by_agent"),
        ]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m} {self.agent_id} {self.model}"


class TagMonth(UsageSums):
    """The days of `TagDay` by calendar month."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    month = models.DateField()
    """Its first day."""
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+", db_index=False)
    tag = models.CharField(max_length=64)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "month", "tag", "agent"], name="one_tag_month_per_key"),
        ]
        indexes = [models.Index(fields=["tag", "month", "agent"], name="tag_month_by_tag")]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m} {self.tag}"


class WorkspaceDay(UsageSums):
    """By workspace. Sums of calls that began on the day; `runs` counts the runs that did."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    day = models.DateField()
    runs = models.BigIntegerField(default=0)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "day"], name="one_workspace_day")]

    def __str__(self) -> str:
        return f"{self.day} {self.workspace_id}"
