"""Monthly limits on an agent, a workspace or the whole site, and every change of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from agents.models import Agent, ApiKey, Workspace
from agents.models.people import KeptQuerySet
from agents.models.visibility import User, is_superuser
from agents.spend import MICROCENTS_PER_CENT
from budgets.lines import DEFAULT_THRESHOLDS, problem_with
from budgets.model_moves import LONGEST_NAME, problem_with_move

MAX_LIMIT_CENTS: Final = 10**11
"""A billion USD. In microcents ninety such limits fit a column of 64 bits."""


def default_thresholds() -> list[int]:
    return list(DEFAULT_THRESHOLDS)


class BudgetPolicyQuerySet(KeptQuerySet["BudgetPolicy"]):
    """Archived by `budgets.policies.archive` alone, which keeps the change: there is no archiving many at once."""

    def covering(self, workspace_id: int, agent_ids: Iterable[int]) -> Self:
        """Live policies that the spend of these agents counts against: their own, their workspace's, the site's."""
        return self.live().filter(
            Q(scope=BudgetPolicy.Scope.AGENT, agent_id__in=list(agent_ids))
            | Q(scope=BudgetPolicy.Scope.WORKSPACE, workspace_id=workspace_id)
            | Q(scope=BudgetPolicy.Scope.SITE)
        )

    def changeable_by(self, user: User) -> Self:
        """Live policies that `user` may change and grant more for: all for a superuser, else those of the workspaces
        they own.
        """
        live = self.live()
        return live if is_superuser(user) else live.filter(workspace__in=Workspace.objects.owned_by(user))


class BudgetPolicy(models.Model):
    """How much may be spent in a calendar month. Archived, never deleted: its months stay readable."""

    class Scope(models.TextChoices):
        AGENT = "agent", "Per-agent"
        WORKSPACE = "workspace", "Per-workspace"
        SITE = "site", "Global"

    class Mode(models.TextChoices):
        MONITOR = "monitor", "Tell only"
        DISPATCH = "dispatch", "Refuse new runs; running ones finish"
        HARD = "hard", "Refuse the next model call, inside a run too"

    scope = models.CharField(max_length=10, choices=Scope)
    workspace = models.ForeignKey(
        Workspace, null=True, blank=True, on_delete=models.PROTECT, related_name="budget_policies"
    )
    agent = models.ForeignKey(Agent, null=True, blank=True, on_delete=models.PROTECT, related_name="budget_policies")
    limit_cents = models.BigIntegerField(
        "Monthly budget (in cents)",
        validators=[MaxValueValidator(MAX_LIMIT_CENTS)],
        help_text="100 cents are 1 USD. 0: nothing may be spent.",
    )
    thresholds = models.JSONField(
        default=default_thresholds, help_text="Percents of the budget at which people are told, such as 50, 80, 100."
    )
    mode = models.CharField(max_length=10, choices=Mode, default=Mode.HARD)
    moves_to = models.CharField(
        "moves to the model",
        max_length=LONGEST_NAME,
        blank=True,
        help_text="Its provider and name, such as openai/gpt-5-mini. Told to the agent's processes with the answer to"
        " their next report; code that uses BudgetMiddleware follows it. Empty: the agent stays with its own.",
    )
    moves_at_percent = models.PositiveSmallIntegerField(
        "from so much of the budget on (percent)",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(100)],
    )
    first_month = models.CharField(
        max_length=7, editable=False, help_text="The month it was made in, 'YYYY-MM': earlier ones are not counted."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = BudgetPolicyQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "budget policies"
        ordering = ["scope", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["agent"], name="one_live_budget_per_agent", condition=Q(scope="agent", archived_at=None)
            ),
            models.UniqueConstraint(
                fields=["workspace"],
                name="one_live_budget_per_workspace",
                condition=Q(scope="workspace", archived_at=None),
            ),
            models.UniqueConstraint(
                fields=["scope"], name="one_live_budget_of_the_site", condition=Q(scope="site", archived_at=None)
            ),
            models.CheckConstraint(
                name="a_budget_is_of_what_its_scope_says",
                condition=Q(scope="agent", workspace__isnull=False, agent__isnull=False)
                | Q(scope="workspace", workspace__isnull=False, agent=None)
                | Q(scope="site", workspace=None, agent=None),
            ),
            models.CheckConstraint(
                name="a_limit_is_within_bounds", condition=Q(limit_cents__gte=0, limit_cents__lte=MAX_LIMIT_CENTS)
            ),
            models.CheckConstraint(
                name="only_an_agents_budget_moves_it",
                condition=Q(moves_to="", moves_at_percent=None)
                # Not null said too: a comparison with null is not false, and would pass.
                | (
                    Q(scope="agent", moves_at_percent__isnull=False)
                    & Q(moves_at_percent__gte=1, moves_at_percent__lte=100)
                    & ~Q(moves_to="")
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_scope_display()}: {self.subject}"

    @property
    def subject(self) -> str:
        """What it is a budget of, as people call it."""
        if self.agent is not None:
            return str(self.agent)
        return "the whole site" if self.workspace is None else str(self.workspace)

    @property
    def limit_microcents(self) -> int:
        return self.limit_cents * MICROCENTS_PER_CENT

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in the order that every writer locks in: agent, workspace, site, then by id."""
        return LOCK_ORDER[self.scope], self.pk

    def clean(self) -> None:
        problems: dict[str, str] = {}
        if self.limit_cents is not None and self.limit_cents < 0:
            problems["limit_cents"] = "A budget is 0 cents or more; leave it empty to have none."
        if problem := problem_with(self.thresholds):
            problems["thresholds"] = problem
        problems |= problem_with_move(self.moves_to, self.moves_at_percent, of_an_agent=self.scope == self.Scope.AGENT)
        if problems:
            raise ValidationError(problems)
        # Asked anew: the agent may have been merged since the form was opened.
        merged_into = Agent.objects.filter(merged_names=self.agent_id).first() if self.agent_id is not None else None
        if merged_into is not None and self.archived_at is None:
            raise ValidationError(f"{self.agent} was merged into {merged_into}; set the budget of {merged_into}.")


LOCK_ORDER: Final = {
    BudgetPolicy.Scope.AGENT.value: 0,
    BudgetPolicy.Scope.WORKSPACE.value: 1,
    BudgetPolicy.Scope.SITE.value: 2,
}


class BudgetChange(models.Model):
    """Who changed what of a budget, when, and why. Written with the change, in its transaction."""

    class What(models.TextChoices):
        MADE = "made", "Made"
        CHANGED = "changed", "Changed"
        ARCHIVED = "archived", "Archived"
        GRANTED = "granted", "Granted more"
        GRANT_REVOKED = "grant_revoked", "Grant revoked"

    policy = models.ForeignKey(BudgetPolicy, on_delete=models.PROTECT, related_name="changes")
    what = models.CharField(max_length=20, choices=What)
    before = models.JSONField(default=dict, help_text="The changed fields as they were.")
    after = models.JSONField(default=dict, help_text="The changed fields as they are since.")
    reason = models.CharField(max_length=500, blank=True)
    by_user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    by_key = models.ForeignKey(ApiKey, null=True, on_delete=models.PROTECT, related_name="+")
    by_name = models.CharField(max_length=200, help_text="Who it was, should the login be gone.")
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-changed_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.get_what_display()} by {self.by_name}, {self.changed_at:%Y-%m-%d %H:%M}"
