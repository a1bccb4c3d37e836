"""A range of an agent on another model, from the sums that the review keeps by context size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Max, Min, Sum
from django.utils import timezone

from agents.models.sums import spend_from, sums
from agents.price_books import price_book
from agents.pricing.names import home_of, same_provider
from agents.spend import Spend
from costsite.advice.models import UsageSlice
from costsite.advice.whatif import Repriced, Tokens, repriced
from langchain_plugin.wire import TokenCounts, UnitPrices


@dataclass(frozen=True)
class WhatIf:
    spend: Spend
    """As it was, without what the local cache answered."""
    first: date | None
    last: date | None
    """Of the days that are reviewed and had calls; None without any."""
    repriced: Repriced | None
    """None: the model has no price, or there were no calls."""
    same_vendor: bool


def what_if(
    user: AbstractBaseUser | AnonymousUser,
    workspace_id: int,
    agent_id: int,
    first: date,
    last: date,
    provider: str,
    model: str,
) -> WhatIf:
    """The agent's calls of the days from `first` to `last`, included, on `model` at today's price."""
    rows: list[Any] = list(
        UsageSlice.objects.visible_to(user)
        .filter(agent_id=agent_id, workspace_id=workspace_id, day__gte=first, day__lte=last)
        .order_by()
        .values("provider", "context_up_to")
        .annotate(
            **sums(),
            answered=Sum("answered_calls"),
            first=Min("day"),
            last=Max("day"),
        )
    )
    book, now = price_book(workspace_id), timezone.now()

    def prices_at(context: int) -> UnitPrices | None:
        return book.unit_prices(provider, model, "", "", now, context).prices

    slices = [
        Tokens(
            row["context_up_to"],
            TokenCounts(*(int(row[f"{name}_sum"]) for name in TokenCounts._fields)),
            int(row["answered"]),
        )
        for row in rows
    ]
    home = home_of(provider, model)
    same = all(same_provider(row["provider"], home) for row in rows)
    return WhatIf(
        spend=sum((spend_from(row) for row in rows), Spend()),
        first=min((row["first"] for row in rows), default=None),
        last=max((row["last"] for row in rows), default=None),
        repriced=repriced(slices, prices_at, same_vendor=same) if rows else None,
        same_vendor=same,
    )
