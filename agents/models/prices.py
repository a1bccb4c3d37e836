"""Prices people enter. They win over the price library."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from agents.models.people import Workspace
from agents.models.visibility import VisibleQuerySet


def _per_million(label: str, *, required: bool = False) -> models.DecimalField[str, str]:
    return models.DecimalField(
        label, max_digits=18, decimal_places=8, null=True, blank=True, validators=[MinValueValidator(0)],
        help_text="USD per million tokens." + ("" if required else " Empty: as the kind it is part of."),
    )


class ModelPrice(models.Model):
    """What a model costs from one day to another, for one workspace or for all of them."""

    class Kind(models.TextChoices):
        PRICED = "priced", "Priced per million tokens"
        FREE = "free", "Free"
        SAME_AS = "same_as", "Same price as another model"

    workspace = models.ForeignKey(Workspace, null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="Empty: for every workspace.")
    provider = models.CharField(max_length=200, blank=True, help_text="Empty: whoever offers the model.")
    model = models.CharField(max_length=200, help_text="As the calls name it; a * at the end stands for the rest.")
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.PRICED)
    same_as_provider = models.CharField(max_length=200, blank=True)
    same_as_model = models.CharField(max_length=200, blank=True)
    input_per_million = _per_million("input", required=True)
    output_per_million = _per_million("output", required=True)
    cache_read_per_million = _per_million("cache read")
    cache_write_5m_per_million = _per_million("cache write, 5 minutes")
    cache_write_1h_per_million = _per_million("cache write, 1 hour")
    reasoning_per_million = _per_million("reasoning")
    input_audio_per_million = _per_million("audio in")
    output_audio_per_million = _per_million("audio out")
    effective_from = models.DateTimeField(default=timezone.now)
    effective_to = models.DateTimeField(null=True, blank=True, help_text="The first instant it no longer holds; empty: it holds.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = VisibleQuerySet.as_manager()

    class Meta:
        ordering = ["provider", "model", "-effective_from"]
        constraints = [
            models.CheckConstraint(name="price_ends_after_it_begins", condition=Q(effective_to=None) | Q(effective_to__gt=models.F("effective_from"))),
            models.CheckConstraint(
                name="price_says_what_its_kind_needs",
                condition=Q(kind="free")
                | Q(kind="same_as") & ~Q(same_as_model="")
                | Q(kind="priced", input_per_million__isnull=False, output_per_million__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}" if self.provider else self.model
