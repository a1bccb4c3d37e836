"""Entering a price as people do: a form, and the act that follows what it would change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.db import transaction

from agents.models import LedgerState, ModelPrice, PriceListState, Workspace
from agents.models.visibility import is_superuser
from agents.repricing import current_month_start, reprice_after_saving

if TYPE_CHECKING:
    from django.contrib.auth.models import User

_FIELDS_OF = {
    ModelPrice.Kind.FREE.value: ("workspace", "provider", "model"),
    ModelPrice.Kind.SAME_AS.value: ("workspace", "provider", "model", "same_as_model", "same_as_provider"),
    ModelPrice.Kind.PRICED.value: (
        "workspace", "provider", "model", "input_per_million", "output_per_million", "cache_read_per_million",
        "cache_write_5m_per_million", "reasoning_per_million",
    ),
}  # fmt: skip
"""What is asked for; the rarer kinds of tokens are entered in the admin."""


class PriceForm(forms.ModelForm):  # type: ignore[type-arg]
    """A price of one kind, by somebody who may enter it: for every workspace a superuser, for one its owner."""

    first_day = forms.DateField(
        label="From",
        help_text="Calls that began on this day or later have it. Months that are over stay as they are.",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        error_messages={"invalid": "Write a day, such as 2026-11-01."},
    )

    class Meta:
        model = ModelPrice
        fields = [
            "workspace", "provider", "model", "same_as_model", "same_as_provider", "input_per_million",
            "output_per_million", "cache_read_per_million", "cache_write_5m_per_million", "reasoning_per_million",
        ]  # fmt: skip
        labels = {
            "workspace": "For the calls of",
            "same_as_model": "Same price as",
            "same_as_provider": "Of which provider",
            "input_per_million": "Input, USD per million tokens",
            "output_per_million": "Output, USD per million tokens",
            "cache_read_per_million": "Cache read, USD per million tokens",
            "cache_write_5m_per_million": "Cache write, USD per million tokens",
            "reasoning_per_million": "Reasoning, USD per million tokens",
        }
        help_texts = {
            "workspace": "A workspace's own price wins over one for every workspace.",
            "input_per_million": "",
            "output_per_million": "",
            "cache_read_per_million": "Empty: as input.",
            "cache_write_5m_per_million": "Empty: as input.",
            "reasoning_per_million": "Empty: as output.",
        }
        widgets = dict.fromkeys(("provider", "model", "same_as_model", "same_as_provider"), forms.TextInput)

    def __init__(self, *args: Any, kind: str, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.kind = kind
        self.instance.created_by = user
        for name in [name for name in self.fields if name not in (*_FIELDS_OF[kind], "first_day")]:
            del self.fields[name]
        self.order_fields(["provider", "model", "workspace", "first_day"])
        mine: Any = self.fields["workspace"]
        mine.queryset = Workspace.objects.owned_by(user).live().order_by("name")
        mine.required = not is_superuser(user)
        mine.empty_label = None if mine.required else "Every workspace"
        self.fields["first_day"].initial = current_month_start()

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if first_day := cleaned.get("first_day"):
            try:
                self.instance.effective_from = LedgerState.current().days().start(first_day)
            except (OverflowError, ValueError):
                self.add_error("first_day", "Write a day of this century.")
        return cleaned


def may_enter_prices(user: Any) -> bool:
    """Whether there is a workspace whose prices are theirs to say, or the site's are."""
    return is_superuser(user) or Workspace.objects.owned_by(user).live().exists()


def enter(form: PriceForm) -> ModelPrice:
    """Save a valid form's price, and queue the repricing of the open month's calls that wait for it.

    A form that is sent twice is one price: rows stay for good, since costs name them.
    """
    wanted = form.instance
    same = {name: getattr(wanted, name) for name in (*PriceForm.Meta.fields, "kind", "effective_from", "effective_to")}
    with transaction.atomic():
        PriceListState.prices_changed()  # a row that every change takes: the second sender waits here for the first
        price: ModelPrice = ModelPrice.objects.filter(**same).first() or form.save()
        reprice_after_saving(price)
    return price
