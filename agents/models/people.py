"""Workspaces, who belongs to them, the agents that run in them, and the keys they report with."""

from __future__ import annotations

import secrets
from typing import Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from agents.models.visibility import Row, User, VisibleQuerySet, is_superuser, sees_nothing
from agents.names import validate_name

UNREGISTERED = "unregistered"
"""The reserved agent that events of unknown agents are booked to when registration is closed."""


def new_hash_key() -> str:
    return secrets.token_hex(16)


class KeptQuerySet(VisibleQuerySet[Row]):
    """Rows that are archived, never deleted: their money stays."""

    def live(self) -> Self:
        return self.filter(archived_at=None)

    def archived(self) -> Self:
        return self.exclude(archived_at=None)


class ArchivableQuerySet(KeptQuerySet[Row]):
    """Rows that are archived by setting a date and no more."""

    def archive(self) -> int:
        """Archive those that are not; how many."""
        return self.live().update(archived_at=timezone.now())

    def restore(self) -> int:
        """Take out of the archive those that are in it; how many."""
        return self.archived().update(archived_at=None)

    # As Django's own delete: never a whole table by a slip on the manager.
    archive.queryset_only = True  # type: ignore[attr-defined]  # how Django asks for it
    restore.queryset_only = True  # type: ignore[attr-defined]  # how Django asks for it


class AgentQuerySet(ArchivableQuerySet["Agent"]):
    agent_path = "pk"

    def standing(self) -> Self:
        """Agents that are one of their own; the others are names of those they were merged into."""
        return self.filter(merged_into=None)

    def restore(self) -> int:
        """As for every archive; but a merged agent stays where it is."""
        return self.archived().standing().update(archived_at=None)

    restore.queryset_only = True  # type: ignore[attr-defined]  # how Django asks for it


class WorkspaceQuerySet(ArchivableQuerySet["Workspace"]):
    workspace_column = "pk"
    agent_path = None

    def owned_by(self, user: User) -> Self:
        """Where `user` may change budgets: all for a superuser, else the workspaces they own."""
        if sees_nothing(user):
            return self.none()
        if is_superuser(user):
            return self
        return self.filter(memberships__user_id=user.pk, memberships__role=Membership.Role.OWNER)


class Workspace(models.Model):
    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200, validators=[validate_name])
    hash_key = models.CharField(
        max_length=64,
        default=new_hash_key,
        editable=False,
        help_text="Keys the hashes of prompts that this workspace's agents send in place of text.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    archived_at = models.DateTimeField(null=True, blank=True)

    objects = WorkspaceQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    class Role(models.TextChoices):
        VIEWER = "viewer", "Viewer"
        OWNER = "owner", "Owner"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.VIEWER)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        ordering = ["workspace", "user"]
        constraints = [models.UniqueConstraint(fields=["user", "workspace"], name="one_membership_per_workspace")]

    def __str__(self) -> str:
        return f"{self.user} in {self.workspace} ({self.get_role_display()})"


class Agent(models.Model):
    """Who runs. Made by its first event, or by hand; never changes workspace once it has calls."""

    class Effort(models.TextChoices):
        UNSET = "", "Not set"
        LOW = "low", "Low"
        MEDIUM = "medium", "Medium"
        HIGH = "high", "High"

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="agents")
    slug = models.CharField(
        max_length=200,
        help_text="The name its code reports under.",
        validators=[RegexValidator(r"^[^\x00/?#\\]+$", "An agent's slug has no slashes, ? or #."), validate_name],
    )
    name = models.CharField(
        max_length=200, blank=True, validators=[validate_name], help_text="Shown to people; empty: the slug."
    )
    effort = models.CharField(
        max_length=10,
        choices=Effort,
        default=Effort.UNSET,
        blank=True,
        help_text="Told to the agent's processes with the answer to their next report; code that uses"
        " effort_middleware or with_effort follows it.",
    )
    default_model = models.CharField(
        max_length=200,
        blank=True,
        validators=[validate_name],
        help_text="Shown on pages, told to clients with each Receipt and priced for their leases; the agent's code does"
        " not follow it by itself.",
    )
    compact_at_tokens = models.PositiveIntegerField(
        "compact from (tokens)",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text="The size of a conversation from which on it is summarized; code that uses compaction_middleware"
        " follows it. Empty: as its code has it.",
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    active = models.BooleanField(
        default=True,
        help_text="Otherwise it is marked as inactive on pages and to clients with each Receipt. It runs and is"
        " recorded all the same; only a budget stops it.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_run_at = models.DateTimeField(null=True, blank=True, editable=False)
    archived_at = models.DateTimeField(null=True, blank=True)
    merged_into = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="merged_names",
        help_text="The agent that this slug has stood for since the two were merged; it was never merged itself.",
    )

    objects = AgentQuerySet.as_manager()

    class Meta:
        ordering = ["workspace", "slug"]
        constraints = [
            models.UniqueConstraint(fields=["workspace", "slug"], name="one_agent_per_slug"),
            models.CheckConstraint(
                name="a_merged_agent_is_archived", condition=Q(merged_into=None) | Q(archived_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.slug

    @property
    def booked_to(self) -> Agent:
        """Whose money it is that is spent under this agent's slug: its own, unless it was merged into another."""
        return self.merged_into or self


class ApiKey(models.Model):
    """What a process reports with. Only a prefix and a keyed hash are kept; the key itself is shown once."""

    class Scope(models.TextChoices):
        EVENTS_WRITE = "events:write", "Report events"
        READ = "read", "Read agents, runs and spend"
        BUDGETS_WRITE = "budgets:write", "Change budgets"

    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="api_keys")
    agent = models.ForeignKey(
        Agent,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="api_keys",
        help_text="When set, the key can report and read this agent only.",
    )
    name = models.CharField(max_length=200, blank=True)
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    key_hash = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=list)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    archived_at = models.DateTimeField("revoked at", null=True, blank=True)

    objects = ArchivableQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})" if self.name else f"{self.prefix}…"

    def clean(self) -> None:
        if self.agent is not None and self.workspace_id not in (None, self.agent.workspace_id):
            raise ValidationError(
                {"agent": f"{self.agent} runs in another workspace; choose an agent of {self.workspace}, or none."}
            )
        if self.agent is not None and self.agent.merged_into is not None:
            raise ValidationError({"agent": f"{self.agent} was merged into {self.agent.merged_into}; choose that."})


class Client(models.Model):
    """A process that reports: what it says of its own health. Counts are of the process's life so far."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="clients")
    client_id = models.UUIDField()
    host = models.CharField(max_length=200, blank=True)
    pid = models.PositiveIntegerField(default=0)
    versions = models.JSONField(default=dict)
    spool_events = models.BigIntegerField(default=0)
    spool_bytes = models.BigIntegerField(default=0)
    dropped = models.JSONField(default=dict)
    rejected_events = models.BigIntegerField(default=0)
    first_seen_at = models.DateTimeField(default=timezone.now)
    last_seen_at = models.DateTimeField(default=timezone.now, db_index=True)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "client_id"], name="one_client_per_id")]

    def __str__(self) -> str:
        return f"{self.host or 'unknown host'}, process {self.pid}"
