"""The most tokens that an answer of a model can have: what people entered, then what providers list, then its context.

No answer is longer than its model's context, which the price library knows of most models; of their longest answers it
knows nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models.functions import Lower

from agents.pricing import is_local
from agents.pricing.library import context_window
from agents.pricing.names import bare, same_provider
from budgets.known_maxima import listed_maximum
from budgets.models import ModelMaximum

Named = tuple[str, str]
"""Provider and model, as calls name them."""


def maxima(models: Iterable[Named]) -> dict[Named, int]:
    """Tokens, of the models of which anything is known; one query however many there are."""
    asked = list(dict.fromkeys(models))
    names = {name.lower() for _, model in asked for name in (model, bare(model))}
    entered = list(ModelMaximum.objects.annotate(name=Lower("model")).filter(name__in=names)) if names else []
    found = {named: _maximum(*named, entered) for named in asked}
    return {named: tokens for named, tokens in found.items() if tokens is not None}


def _maximum(provider: str, model: str, entered: Iterable[ModelMaximum]) -> int | None:
    plain = bare(model)
    # The one of this provider before that of any, the name as it is called before the plain one.
    fitting = sorted(
        (not row.provider, row.model.lower() != model.lower(), row.pk)
        for row in entered
        if row.model.lower() in (model.lower(), plain.lower())
        and (not row.provider or same_provider(row.provider, provider))
    )
    if fitting:
        return next(row.max_output_tokens for row in entered if row.pk == fitting[0][2])
    listed = None if is_local(provider) else listed_maximum(plain)
    return context_window(provider, model) if listed is None else listed
