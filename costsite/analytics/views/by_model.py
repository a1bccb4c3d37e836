"""The table of what was spent on each model, and its file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.spend import Spend, cents_text
from costsite.analytics import figures
from costsite.analytics.views.page import Export

MODELS = 8
"""Named one by one; what is beyond them is a sum."""

SpendOfModel = tuple[tuple[str, str], Spend]
"""Of (provider, model)."""


def models_table(models: Sequence[SpendOfModel]) -> dict[str, Any]:
    """What `_models.html` shows, of models with the dearest first."""
    rest = models[MODELS:]
    return {
        "models": models[:MODELS],
        "other_models": (len(rest), Spend.sum_of(spend for _, spend in rest)) if rest else None,
        "models_unit": figures.MoneyUnit.for_values([spend.cost for _, spend in models]),
    }


def models_export(models: Sequence[SpendOfModel]) -> Export:
    return Export(
        ("provider", "model", "cost_cents", "unpriced_calls", "calls"),
        [(*of, cents_text(spend.cost), spend.unpriced_calls, spend.calls) for of, spend in models],
    )
