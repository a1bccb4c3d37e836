"""One model call: the ledger's line. What it used, what it cost, how sure that is."""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import F, Q

from agents.models.people import Agent, Client, Workspace
from agents.models.visibility import VisibleQuerySet
from agents.spend import cents


class LLMCall(models.Model):
    class Status(models.TextChoices):
        OK = "ok", "OK"
        ERROR = "error", "Failed"
        ABANDONED = "abandoned", "Abandoned"
        CANCELLED = "cancelled", "Cancelled"

    class CostBasis(models.TextChoices):
        MEASURED = "measured", "Measured"
        ESTIMATED = "estimated", "Estimated"
        UNPRICED = "unpriced", "Unpriced"

    class UsageBasis(models.TextChoices):
        MEASURED = "measured", "Measured"
        ESTIMATED = "estimated", "Estimated"

    class TokensFrom(models.TextChoices):
        CLIENT = "", "The client"
        MEDIAN = "median", "The median of the agent's recent calls"
        NOTHING = "nothing", "Not known, counted as 0"

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+", db_index=False)
    client = models.ForeignKey(Client, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False)
    call_id = models.UUIDField()
    run_id = models.UUIDField()
    langchain_run_id = models.UUIDField(null=True)
    lease_id = models.UUIDField(null=True)
    call_index = models.PositiveIntegerField(default=0)
    step = models.CharField(max_length=200, blank=True)
    sub_agent = models.CharField(max_length=200, blank=True)
    purpose = models.CharField(max_length=10, default="agent")

    provider = models.CharField(max_length=200, blank=True)
    model = models.CharField(
        max_length=200, blank=True, help_text="What rollups and pages name it: the model that answered."
    )
    request_model = models.CharField(max_length=200, blank=True)
    response_model = models.CharField(max_length=200, blank=True)
    service_tier = models.CharField(max_length=200, blank=True)
    effort = models.CharField(max_length=200, blank=True)

    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    reported_started_at = models.DateTimeField(
        null=True, help_text="As the client's clock had it, where that was corrected."
    )
    received_at = models.DateTimeField()
    day = models.DateField(help_text="Of its start, in the ledger's time zone.")
    status = models.CharField(max_length=10, choices=Status)
    error_type = models.CharField(max_length=200, blank=True)

    input_tokens = models.BigIntegerField("Input tokens")
    output_tokens = models.BigIntegerField("Output tokens")
    cache_read_tokens = models.BigIntegerField(default=0)
    cache_write_5m_tokens = models.BigIntegerField(default=0)
    cache_write_1h_tokens = models.BigIntegerField(default=0)
    cache_write_unknown_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    input_audio_tokens = models.BigIntegerField(default=0)
    output_audio_tokens = models.BigIntegerField(default=0)
    usage_basis = models.CharField(
        max_length=10,
        choices=UsageBasis,
        default=UsageBasis.MEASURED,
        help_text="Whether the provider reported the tokens; with or without a price.",
    )
    tokens_from = models.CharField(
        max_length=10,
        choices=TokensFrom,
        blank=True,
        help_text="Where a total came from that the client could not tell.",
    )
    served_from_local_cache = models.BooleanField(default=False)
    provisional = models.BooleanField(
        default=False, help_text="A measured event for the same call may still replace it, once."
    )

    cost_basis = models.CharField(max_length=10, choices=CostBasis)
    cost_microcents = models.BigIntegerField(null=True, help_text="Empty only when unpriced.")
    saved_microcents = models.BigIntegerField(default=0)
    price_source = models.CharField(max_length=100, blank=True)

    max_output_tokens = models.BigIntegerField(null=True)
    time_to_first_token_seconds = models.FloatField(null=True)
    prompt_messages = models.PositiveIntegerField(default=0)
    prompt_hash = models.CharField(max_length=64, blank=True)
    tool_calls = models.JSONField(default=list)
    thread_id = models.CharField(max_length=200, blank=True)
    tags = models.JSONField(default=list)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        verbose_name = "model call"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "call_id"], name="one_call_per_id"),
            models.CheckConstraint(
                name="cached_within_input",
                condition=Q(
                    input_tokens__gte=F("cache_read_tokens")
                    + F("cache_write_5m_tokens")
                    + F("cache_write_1h_tokens")
                    + F("cache_write_unknown_tokens")
                ),
            ),
            models.CheckConstraint(
                name="audio_within_totals",
                condition=Q(input_tokens__gte=F("input_audio_tokens"), output_tokens__gte=F("output_audio_tokens")),
            ),
            models.CheckConstraint(
                name="reasoning_within_output", condition=Q(output_tokens__gte=F("reasoning_tokens"))
            ),
            models.CheckConstraint(
                name="only_unpriced_has_no_cost",
                condition=Q(cost_basis="unpriced", cost_microcents=None)
                | (~Q(cost_basis="unpriced") & Q(cost_microcents__isnull=False)),
            ),
        ]
        indexes = [
            models.Index(fields=["workspace", "run_id"], name="call_by_run"),
            models.Index(fields=["workspace", "day"], name="call_by_day"),
            models.Index(
                fields=["workspace", "model", "day"], name="call_unpriced", condition=Q(cost_basis="unpriced")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model or 'unnamed model'}, {self.input_tokens:,} in, {self.output_tokens:,} out"

    @property
    def estimated_cost_cents(self) -> Decimal | None:
        """Cents, exact; None when unpriced."""
        return None if self.cost_microcents is None else cents(self.cost_microcents)
