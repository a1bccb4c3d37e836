"""What a month came to, as it was said when it ended and each time that changed."""

from __future__ import annotations

from typing import Final, Self

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from agents.models import Agent, Workspace
from agents.models.visibility import VisibleQuerySet
from agents.spend import Spend

FIGURES: Final = (
    "calls", "unpriced_calls", "estimated_calls", "input_tokens", "output_tokens", "cost_microcents",
)  # fmt: skip
"""Of a `Spend`, what a statement says; a change of any makes a new revision."""


class MonthlyStatementQuerySet(VisibleQuerySet["MonthlyStatement"]):
    def current(self) -> Self:
        """The last revision of each agent's and workspace's month."""
        later = MonthlyStatement.objects.annotate(of=Coalesce("agent_id", 0)).filter(
            workspace=OuterRef("workspace"),
            month=OuterRef("month"),
            of=Coalesce(OuterRef("agent_id"), 0),
            revision__gt=OuterRef("revision"),
        )
        return self.filter(~Exists(later))


class MonthlyStatement(models.Model):
    """A closed month of one agent, or of a workspace as a whole. Never changed: a later revision stands beside it."""

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="statements", db_index=False)
    agent = models.ForeignKey(
        Agent, null=True, on_delete=models.PROTECT, related_name="statements", help_text="Empty: the workspace's own."
    )
    month = models.CharField(max_length=7, help_text="'YYYY-MM'.")
    revision = models.PositiveIntegerField(
        default=1, help_text="More than 1: late calls, corrections or a merge changed it."
    )
    calls = models.BigIntegerField()
    unpriced_calls = models.BigIntegerField()
    estimated_calls = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()
    cost_microcents = models.BigIntegerField(help_text="Of the calls that have a price.")
    limit_microcents = models.BigIntegerField(
        null=True, help_text="Of its own budget when the month ended, with grants; empty: it had none."
    )
    made_at = models.DateTimeField(default=timezone.now)

    objects = MonthlyStatementQuerySet.as_manager()

    class Meta:
        # A workspace's own first, which every database sorts where it is told to.
        ordering = ["-month", "workspace", F("agent__slug").asc(nulls_first=True), "-revision"]
        constraints = [
            models.UniqueConstraint(
                fields=["agent", "month", "revision"],
                name="one_statement_per_agent_month_revision",
                condition=Q(agent__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["workspace", "month", "revision"],
                name="one_statement_per_workspace_month_revision",
                condition=Q(agent=None),
            ),
        ]
        indexes = [models.Index(fields=["workspace", "month"], name="statement_by_workspace")]

    def __str__(self) -> str:
        again = f", revision {self.revision}" if self.revision > 1 else ""
        return f"{self.agent or self.workspace}, {self.month}{again}"

    @property
    def cost(self) -> int | None:
        """Microcents; None when calls were made and none has a price."""
        return self.spend.cost

    @property
    def spend(self) -> Spend:
        """The figures; those that a statement does not keep are 0."""
        return Spend(**{name: getattr(self, name) for name in FIGURES})


class MonthsClosed(models.Model):
    """One row: through which month statements and notes have been made, and when they were last compared."""

    through = models.CharField(max_length=7, blank=True, help_text="'YYYY-MM'; empty: none yet.")
    compared_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "months closed"
        constraints = [models.CheckConstraint(name="only_one_months_closed", condition=Q(pk=1))]

    def __str__(self) -> str:
        return self.through
