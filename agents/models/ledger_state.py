"""What holds for the whole ledger and must not drift with a setting."""

from __future__ import annotations

from datetime import date

from django.db import models
from django.db.models import Q
from django.utils import timezone

from agents.clock import Days, days_of

LEAST_RETENTION_DAYS = 400
"""So that any month can be laid beside the same month of the year before."""


class LedgerState(models.Model):
    """One row. Days and months in every other table are in `time_zone`; rows before `retained_from` are gone.

    `trusted_day` is what the server's clock is judged by: see `agents.server_clock`.
    """

    time_zone = models.CharField(max_length=64)
    retained_from = models.DateField(null=True, help_text="The first day whose calls are kept; empty: all of them.")
    trusted_day = models.DateField(
        null=True, help_text="Today, as far as the server's clock is believed: it follows the clock by few days a day."
    )
    trusted_day_moved_on = models.DateField(
        null=True, help_text="What the clock said when the trusted day was last moved."
    )

    class Meta:
        verbose_name_plural = "ledger state"
        constraints = [models.CheckConstraint(name="only_one_ledger_state", condition=Q(pk=1))]

    def __str__(self) -> str:
        return self.time_zone

    @classmethod
    def current(cls) -> LedgerState:
        """The row; the first asking makes it from the setting."""
        from django.conf import settings

        return cls.objects.get_or_create(pk=1, defaults={"time_zone": settings.TIME_ZONE})[0]

    def days(self) -> Days:
        """The local days of the zone in force."""
        return days_of(self.time_zone)

    def today(self) -> date:
        return self.days().of(timezone.now())
