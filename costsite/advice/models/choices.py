"""What a model is good enough for, and what a task needs: rows that people edit."""

from __future__ import annotations

from django.db import models

from costsite.advice.tiers import EFFORTS, TIERS


class ModelTier(models.Model):
    """The tier of a model, where its list price does not tell it."""

    model = models.CharField(
        max_length=200,
        unique=True,
        help_text="As the calls name it. A * at the end stands for the rest: gpt-5-mini* covers its dated names.",
    )
    tier = models.CharField(max_length=5, choices=list(TIERS.items()))

    class Meta:
        ordering = ["model"]

    def __str__(self) -> str:
        return f"{self.model}: {self.get_tier_display()}"


class TaskRow(models.Model):
    """The effort and the tier that a task needs; a run above either is evidence."""

    task = models.CharField(
        max_length=64,
        unique=True,
        help_text='As runs name it, in a tag such as "task:formatting". Case and hyphens do not matter.',
    )
    name = models.CharField(max_length=200, help_text="Shown to people.")
    effort = models.CharField(max_length=10, choices=list(EFFORTS.items()))
    tier = models.CharField(max_length=5, choices=list(TIERS.items()))

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
