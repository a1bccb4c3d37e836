"""How long an answer of a model can get, where people know it better than the lists."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from langchain_plugin.wire import MAX_TOKENS_PER_CALL


class ModelMaximum(models.Model):
    """The most output tokens of one answer. It bounds what a call without a maximum of its own may cost."""

    provider = models.CharField(
        max_length=200, blank=True, help_text="As the calls name it, such as openai. Empty: whoever offers the model."
    )
    model = models.CharField(max_length=200, help_text="As the calls name it, or without what says where it is.")
    max_output_tokens = models.PositiveIntegerField(
        validators=[MinValueValidator(1), MaxValueValidator(MAX_TOKENS_PER_CALL)],
        help_text="Of one answer, reasoning included, as the provider lists it.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "model maxima"
        ordering = ["model", "provider"]
        constraints = [
            models.UniqueConstraint(Lower("provider"), Lower("model"), name="one_maximum_per_model",
                                    violation_error_message="This model has a maximum already; change that one."),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}" if self.provider else self.model
