"""Prices people enter. They win over the price library."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Self
from uuid import uuid4

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone

from agents.models.people import Workspace
from agents.models.visibility import User, VisibleQuerySet, is_superuser, sees_nothing
from agents.pricing.entered import EnteredPrice
from agents.pricing.library import FREE, whole_microcents
from langchain_plugin import wire

UNIT_PRICES = (
    "input_per_million",
    "output_per_million",
    "cache_read_per_million",
    "cache_write_5m_per_million",
    "cache_write_1h_per_million",
    "reasoning_per_million",
    "input_audio_per_million",
    "output_audio_per_million",
)

DEAREST_PER_MILLION = 100_000
"""USD per million tokens. The dearest listed model is under 1,000; more is a price per token or in another currency."""


def _per_million(label: str, *, required: bool = False, otherwise: str = "input") -> models.DecimalField[Any, Any]:
    return models.DecimalField(
        label,
        max_digits=18,
        decimal_places=8,
        null=True,
        blank=True,
        validators=[
            MinValueValidator(0),
            MaxValueValidator(
                DEAREST_PER_MILLION,
                f"At most {DEAREST_PER_MILLION:,} USD: enter the price of a million tokens, in USD.",
            ),
        ],
        help_text="USD per million tokens." + ("" if required else f" Empty: as {otherwise}."),
    )


class PriceListState(models.Model):
    """One row, whose mark is new after every change of a price: how each process sees that its prices are old.

    A mark, not a count: a count that was rolled back comes again with other prices behind it.
    """

    mark = models.UUIDField()
    swept = models.CharField(
        max_length=150,
        blank=True,
        help_text="The mark and the price library that unpriced calls were last repriced by.",
    )

    class Meta:
        constraints = [models.CheckConstraint(name="only_one_price_list_state", condition=Q(pk=1))]

    def __str__(self) -> str:
        return self.mark.hex

    @classmethod
    def prices_changed(cls) -> None:
        """To be called in the transaction that changes prices."""
        cls.objects.update_or_create(pk=1, defaults={"mark": uuid4()})


class ModelPriceQuerySet(VisibleQuerySet["ModelPrice"]):
    """Every way to change rows leaves its mark, so that no process prices by what is gone."""

    def visible_to(self, user: User) -> Self:
        """Prices for every workspace, and those of the workspaces `user` belongs to."""
        own = super().visible_to(user)
        if sees_nothing(user) or is_superuser(user):
            return own
        return own | self.filter(workspace=None)

    def update(self, **changes: Any) -> int:
        with transaction.atomic():
            rows = super().update(**changes)
            PriceListState.prices_changed()
        return rows

    def delete(self) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            deleted = super().delete()
            PriceListState.prices_changed()
        return deleted

    def bulk_create(self, objs: Iterable[ModelPrice], *args: Any, **options: Any) -> list[ModelPrice]:
        with transaction.atomic():
            rows = super().bulk_create(objs, *args, **options)
            PriceListState.prices_changed()
        return rows


class ModelPrice(models.Model):
    """What a model costs from one time to another, for one workspace or for all of them."""

    class Kind(models.TextChoices):
        PRICED = "priced", "Priced per million tokens"
        FREE = "free", "It costs nothing"
        SAME_AS = "same_as", "Same price as another model"

    workspace = models.ForeignKey(
        Workspace,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Empty: for every workspace. A workspace's own price wins over one for every workspace.",
    )
    provider = models.CharField(
        max_length=200,
        blank=True,
        help_text="As the calls name it, such as openai, bedrock or ollama. Empty: whoever offers the model.",
    )
    model = models.CharField(
        max_length=200,
        help_text="As the calls name it. A * at the end stands for the rest: llama3* covers llama3.1:8b.",
    )
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.PRICED)
    same_as_provider = models.CharField(
        max_length=200,
        blank=True,
        help_text="Whose price of it. Empty: the provider of the call, else the model's maker.",
    )
    same_as_model = models.CharField(max_length=200, blank=True, help_text="The model whose price it has at the time.")
    input_per_million = _per_million("input", required=True)
    output_per_million = _per_million("output", required=True)
    cache_read_per_million = _per_million("cache read")
    cache_write_5m_per_million = _per_million("cache write, 5 minutes")
    cache_write_1h_per_million = _per_million("cache write, 1 hour", otherwise="cache write, 5 minutes")
    reasoning_per_million = _per_million("reasoning", otherwise="output")
    input_audio_per_million = _per_million("audio in")
    output_audio_per_million = _per_million("audio out", otherwise="output")
    effective_from = models.DateTimeField(
        default=timezone.now, help_text="Calls that began at this time or later have it."
    )
    effective_to = models.DateTimeField(
        null=True, blank=True, help_text="The first instant it no longer holds; empty: it holds."
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ModelPriceQuerySet.as_manager()

    class Meta:
        ordering = ["provider", "model", "-effective_from"]
        constraints = [
            models.CheckConstraint(
                name="price_ends_after_it_begins",
                condition=Q(effective_to=None) | Q(effective_to__gt=models.F("effective_from")),
            ),
            models.CheckConstraint(
                name="price_says_what_its_kind_needs",
                condition=Q(kind="free")
                | Q(kind="same_as") & ~Q(same_as_model="")
                | Q(kind="priced", input_per_million__isnull=False, output_per_million__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider}/{self.model}" if self.provider else self.model

    def save(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            super().save(*args, **options)
            PriceListState.prices_changed()

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            deleted = super().delete(*args, **options)
            PriceListState.prices_changed()
        return deleted

    def as_entered(self) -> EnteredPrice:
        """The row as the plain value a price book works with."""
        prices: wire.UnitPrices | None = None
        if self.kind == self.Kind.FREE:
            prices = FREE
        elif self.kind == self.Kind.PRICED:
            prices = self.unit_prices()
        return EnteredPrice(
            id=self.pk or 0,
            of_workspace=self.workspace_id is not None,
            provider=self.provider,
            model=self.model,
            prices=prices,
            effective_from=self.effective_from,
            effective_to=self.effective_to,
            same_as_provider=self.same_as_provider,
            same_as_model=self.same_as_model,
        )

    def unit_prices(self) -> wire.UnitPrices:
        """A priced row's figures in microcents; what is left empty has the price of the kind it is part of."""

        def first(*prices: Decimal | None) -> int:
            return whole_microcents(next(price for price in prices if price is not None))

        price_in, price_out = self.input_per_million, self.output_per_million
        write_5m = self.cache_write_5m_per_million
        return wire.UnitPrices(
            input=first(price_in),
            output=first(price_out),
            cache_read=first(self.cache_read_per_million, price_in),
            cache_write_5m=first(write_5m, price_in),
            cache_write_1h=first(self.cache_write_1h_per_million, write_5m, price_in),
            reasoning=first(self.reasoning_per_million, price_out),
            input_audio=first(self.input_audio_per_million, price_in),
            output_audio=first(self.output_audio_per_million, price_out),
        )

    def clean(self) -> None:
        """ValidationError by field, each with the mend."""
        problems: dict[str, str] = {}
        self.provider, self.model = self.provider.strip(), self.model.strip()
        self.same_as_provider, self.same_as_model = self.same_as_provider.strip(), self.same_as_model.strip()
        if "*" in self.model[:-1]:
            problems["model"] = "A * can only stand at the end; enter the beginning of the name and one * after it."
        elif self.model == "*" and not self.provider:
            problems["model"] = "A * alone would price every model of every provider; name the provider it is for."
        if self.kind == self.Kind.PRICED:
            for name in UNIT_PRICES[:2]:
                if getattr(self, name) is None:
                    problems[name] = 'Enter a price, or choose "It costs nothing"; 0 is a price too.'
        else:
            for name in UNIT_PRICES:
                if getattr(self, name) is not None:
                    problems[name] = f'Leave it empty, or choose "{self.Kind.PRICED.label}".'
        if self.kind == self.Kind.SAME_AS:
            if not self.same_as_model:
                problems["same_as_model"] = "Name the model whose price it has."
            elif self.same_as_model.endswith("*"):
                problems["same_as_model"] = "Name one model, without a *."
            elif "model" not in problems and self._leads_back():
                problems["same_as_model"] = (
                    "That model's price leads back to this one; name a model that has a price of its own."
                )
        elif self.same_as_model or self.same_as_provider:
            problems["same_as_model"] = f'Leave it empty, or choose "{self.Kind.SAME_AS.label}".'
        if self.effective_from and self.effective_to and self.effective_to <= self.effective_from:
            problems["effective_to"] = "It must be later than the start; leave it empty while the price holds."
        if problems:
            raise ValidationError(problems)

    def _leads_back(self) -> bool:
        """True when some price that it could take its price from could take its own from this one.

        At any time, and whichever row wins: a chain that is closed today by a row that ends tomorrow is a mistake too.
        """
        others = ModelPrice.objects.filter(kind=self.Kind.SAME_AS).exclude(pk=self.pk)
        if self.workspace_id is not None:
            others = others.filter(Q(workspace=self.workspace_id) | Q(workspace=None))
        itself = self.as_entered()
        chain = [itself, *(price.as_entered() for price in others)]
        reached, waiting = set[int](), [itself]
        while waiting:
            price = waiting.pop()
            names = (price.same_as_model,)
            for following in chain:
                if following.covers(price.same_as_provider or following.provider, names):
                    if following is itself:
                        return True
                    if following.id not in reached:
                        reached.add(following.id)
                        waiting.append(following)
        return False
