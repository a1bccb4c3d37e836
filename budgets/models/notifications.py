"""Where people are told, and each thing they were told."""

from __future__ import annotations

from typing import Final, Self
from uuid import uuid4

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from agents.models import Workspace
from agents.models.visibility import User, VisibleQuerySet
from agents.write_lock import writing
from budgets import channel_urls
from budgets.couriers.answer import Fate
from budgets.couriers.process import run
from budgets.models.crossings import ThresholdCrossing

CHECKING_SECONDS: Final = 15.0


class NotificationChannelQuerySet(VisibleQuerySet["NotificationChannel"]):
    agent_path = None

    def hearing(self, workspace: Workspace | None) -> Self:
        """Enabled channels that are told of a workspace's crossings: its own and the site's; for None the site's."""
        return self.filter(Q(workspace=None) | Q(workspace=workspace), enabled=True)


class NotificationChannel(models.Model):
    """Where a workspace's owners, or the site's, are told beside their inbox. Its address is a secret: shown masked."""

    class Kind(models.TextChoices):
        DESKTOP = "desktop", "Desktop of the server"
        MAIL = "mail", "Mail"
        CHAT = "chat", "Chat or push service"
        WEBHOOK = "webhook", "Webhook"

    workspace = models.ForeignKey(
        Workspace,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="notification_channels",
        help_text="Empty: the site's own, which hears of every workspace.",
    )
    kind = models.CharField(max_length=10, choices=Kind)
    name = models.CharField(max_length=200, help_text="What people call it, such as #costs.")
    url = models.CharField(
        "address",
        max_length=channel_urls.MAX_LENGTH,
        blank=True,
        help_text="As apprise writes it. Kept secret: only its service is shown afterwards. Empty for the desktop.",
    )
    enabled = models.BooleanField(default=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = NotificationChannelQuerySet.as_manager()

    class Meta:
        ordering = [F("workspace__name").asc(nulls_first=True), "name"]
        constraints = [
            # Whoever owns a workspace must not pop up windows on the machine of whoever runs the site.
            models.CheckConstraint(
                name="only_the_site_has_a_desktop", condition=~Q(kind="desktop") | Q(workspace=None, url="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.get_kind_display()})"

    @property
    def masked_url(self) -> str:
        """What may be shown of the address."""
        return channel_urls.masked(self.url)

    @property
    def shows_once(self) -> bool:
        """A desktop cannot say that it has shown something already: what may have been sent is never sent again."""
        return self.kind == self.Kind.DESKTOP

    def clean(self) -> None:
        """Ask the library that will send whether it understands the address; takes about a second."""
        if self.kind == self.Kind.DESKTOP:
            if self.url:
                raise ValidationError({"url": "The desktop needs no address; leave it empty."})
            if self.workspace is not None:
                raise ValidationError({"workspace": "The desktop is the server's: leave the workspace empty."})
            return
        private = settings.COSTSITE_NOTIFY_PRIVATE_ADDRESSES
        problem = channel_urls.problem_with(self.url, self.kind, private=private)
        if not problem:
            answer = run("services", {"url": self.url, "private": private, "check": True}, seconds=CHECKING_SECONDS)
            if answer.fate != Fate.SENT:
                problem = answer.reason
            elif self.kind == self.Kind.CHAT and answer.service == "JSON":
                problem = "This is no chat service's address that Costsite knows; a receiver of JSON is a webhook."
        if problem:
            raise ValidationError({"url": problem})


class NotificationQuerySet(VisibleQuerySet["Notification"]):
    agent_path = None

    def visible_to(self, user: User) -> Self:
        """What was sent to the channels of the user's workspaces, and what lies in the user's own inbox."""
        return super().visible_to(user).filter(Q(user=None) | Q(user_id=user.pk))

    def inbox_of(self, user: User) -> Self:
        """The user's inbox, newest first; of workspaces they have left, nothing."""
        return self.visible_to(user).exclude(user=None)

    def unsettled(self) -> Self:
        """Those that wait to be sent, or are being sent."""
        return self.filter(state__in=(Notification.State.PENDING, Notification.State.SENDING))

    def unread(self) -> Self:
        return self.filter(read_at=None)

    def mark_read(self, *, through: int | None = None, only: int | None = None) -> int:
        """Those up to and with the id `through`, or `only` one; how many were unread. What came since they were shown
        stays unread.
        """
        rows = self.unread()
        if only is not None:
            rows = rows.filter(pk=only)
        if through is not None:
            rows = rows.filter(pk__lte=through)
        with writing():
            return rows.update(read_at=timezone.now())


class Notification(models.Model):
    """One thing told to one channel or to one person's inbox. One cause tells each of them once."""

    class Cause(models.TextChoices):
        CROSSING = "crossing", "A line of a budget was passed"
        MONTH = "month", "A month ended"
        TEST = "test", "Somebody pressed the test button"

    class State(models.TextChoices):
        PENDING = "pending", "Waiting"
        SENDING = "sending", "Being sent"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"
        UNVERIFIED = "unverified", "Not known whether shown"

    notification_id = models.UUIDField(
        default=uuid4, unique=True, editable=False, help_text="The same at every attempt; a webhook gets it."
    )
    cause = models.CharField(max_length=10, choices=Cause)
    cause_key = models.CharField(max_length=100, help_text="Which crossing, month or test, so that each tells once.")
    crossing = models.ForeignKey(
        ThresholdCrossing, null=True, on_delete=models.PROTECT, related_name="notifications", db_index=False
    )
    workspace = models.ForeignKey(
        Workspace, null=True, on_delete=models.PROTECT, related_name="+", help_text="Empty: it is about the whole site."
    )
    channel = models.ForeignKey(NotificationChannel, null=True, on_delete=models.CASCADE, related_name="notifications")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="budget_notifications"
    )
    title = models.CharField(max_length=300)
    body = models.TextField()
    facts = models.JSONField(default=dict, help_text="What a webhook gets beside the words.")

    state = models.CharField(max_length=10, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, help_text="When it is due, while it waits.")
    queued_at = models.DateTimeField(null=True, help_text="When a task was queued for the next attempt.")
    claimed_at = models.DateTimeField(null=True, help_text="When a worker began the last attempt.")
    settled_at = models.DateTimeField(null=True, help_text="When its last state was reached.")
    last_error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["cause_key", "channel"], name="one_notification_per_channel", condition=Q(user=None)
            ),
            models.UniqueConstraint(
                fields=["cause_key", "user"], name="one_notification_per_inbox", condition=Q(channel=None)
            ),
            models.CheckConstraint(
                name="told_to_a_channel_or_an_inbox",
                condition=Q(channel=None, user__isnull=False) | Q(channel__isnull=False, user=None),
            ),
        ]
        indexes = [
            models.Index(
                fields=["state", "next_try_at"],
                name="notification_to_send",
                condition=Q(state__in=["pending", "sending"]),
            ),
            models.Index(fields=["user", "-created_at"], name="notification_inbox", condition=Q(channel=None)),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def via(self) -> NotificationChannel:
        """The channel it is sent through; nothing is sent to an inbox."""
        if self.channel is None:
            raise ValueError(f"{self} lies in an inbox; there is nothing to send.")
        return self.channel
