"""What a run of an agent usually is, and the runs that were not."""

from __future__ import annotations

from django.db import models
from django.db.models import F
from django.utils import timezone

from agents.models import Agent, AgentRunLog, Workspace
from agents.models.visibility import VisibleQuerySet
from costsite.advice.causes import LABELS
from costsite.advice.usual import ENOUGH_RUNS, Usual


class AgentUsualRun(models.Model):
    """The middle of an agent's newest runs, and from where on one is unusual. Made anew every night."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    agent = models.OneToOneField(Agent, on_delete=models.CASCADE, related_name="+")
    made_for = models.DateField(help_text="The last whole day whose runs count.")
    runs = models.BigIntegerField(default=0, help_text="That made a call; at most as many as are looked at.")
    priced_runs = models.BigIntegerField(default=0)
    median_microcents = models.BigIntegerField(default=0)
    fence_microcents = models.BigIntegerField(default=0)
    median_tokens = models.BigIntegerField(default=0)
    fence_tokens = models.BigIntegerField(default=0)
    calls = models.BigIntegerField(default=0)
    first_input_tokens = models.BigIntegerField(default=0)
    history_microcents = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0, help_text="Of a call.")
    cache_percent = models.PositiveSmallIntegerField(default=0)
    provider = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=200, blank=True)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["workspace", "runs"], name="usual_run_by_workspace")]

    def __str__(self) -> str:
        return f"{self.agent_id}: n {self.runs}"

    @property
    def cost(self) -> Usual:
        return Usual(self.priced_runs, self.median_microcents, self.fence_microcents)

    @property
    def tokens(self) -> Usual:
        return Usual(self.runs, self.median_tokens, self.fence_tokens)

    @property
    def is_new(self) -> bool:
        return self.runs < ENOUGH_RUNS


class RunReview(models.Model):
    """A run with unusually high tokens or cost for its agent, and why."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+", db_index=False)
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="+", db_index=False)
    run = models.OneToOneField(AgentRunLog, on_delete=models.CASCADE, related_name="review")
    started_at = models.DateTimeField(help_text="Of the run, for the order of lists.")
    day = models.DateField(help_text="Of its start, in the ledger's time zone.")
    over_microcents = models.BigIntegerField(null=True, help_text="Over the agent's usual run; empty: no price.")
    usual_microcents = models.BigIntegerField(default=0)
    usual_runs = models.BigIntegerField(default=0, help_text="How many runs the usual one is the middle of.")
    tokens = models.BigIntegerField(default=0)
    usual_tokens = models.BigIntegerField(default=0)
    cause = models.CharField(max_length=20, blank=True, help_text="The likeliest; one of `causes.LABELS`.")
    causes = models.JSONField(default=list, help_text="Each as [kind, microcents or null, figures].")
    reviewed_at = models.DateTimeField(default=timezone.now)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        verbose_name = "reviewed run"
        indexes = [
            models.Index(F("workspace"), F("started_at").desc(), F("run").desc(), name="review_by_workspace"),
            models.Index(F("agent"), F("started_at").desc(), F("run").desc(), name="review_by_agent"),
            models.Index(F("started_at").desc(), F("run").desc(), name="review_by_time"),
            models.Index(fields=["workspace", "day"], name="review_by_day"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.label}"

    @property
    def label(self) -> str:
        """The likeliest cause in words; of a run for which none was found, that there is none."""
        return LABELS.get(self.cause, "No single cause")
