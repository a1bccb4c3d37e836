"""What a price that is not saved yet would do to calls that have none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from django.db.models import Q

from agents.models import LLMCall, ModelPrice, Workspace
from agents.pricing import PriceBook
from agents.pricing.entered import EnteredPrice
from agents.pricing.names import bare
from agents.repricing import current_month_start, unpriced_models
from langchain_plugin.wire import TokenCounts

CALLS_READ: Final = 10_000
"""A page waits for them: about half a second."""
_NEWEST_ID: Final = 2**62
"""Of two prices alike the later row wins, and what is not saved yet will be the latest."""

_READ: Final = (
    "workspace_id", "provider", "model", "request_model", "response_model", "service_tier", "started_at",
    "served_from_local_cache", *TokenCounts._fields,
)  # fmt: skip


@dataclass(frozen=True)
class Preview:
    """Of the open month. Money in microcents."""

    waiting: int
    """Unpriced calls of the models that the price speaks of."""
    read: int
    """How many of them were looked at, the newest."""
    calls: int
    """Of those, the calls that would get a cost."""
    cost: int

    @property
    def complete(self) -> bool:
        return self.read >= self.waiting


def preview(price: ModelPrice, *, most: int = CALLS_READ, now: datetime | None = None) -> Preview:
    """What `price`, saved or not, would make of the open month's unpriced calls, reading at most `most` of them."""
    workspaces = Workspace.objects.all()
    if price.workspace_id is not None:
        workspaces = workspaces.filter(pk=price.workspace_id)
    entered = replace(price.as_entered(), id=_NEWEST_ID)
    covered = {
        key: calls
        for key, calls in unpriced_models(workspaces, now=now).items()
        if entered.covers(key[1], (key[2], bare(key[2])))
    }
    waiting = sum(covered.values())
    if not waiting:
        return Preview(0, 0, 0, 0)
    books = _books(entered, {workspace_id for workspace_id, _, _ in covered})
    calls = (
        LLMCall.objects.filter(
            workspace__in=books,
            model__in={model for _, _, model in covered},
            day__gte=current_month_start(now),
            cost_basis=LLMCall.CostBasis.UNPRICED,
        )
        .order_by("-day", "-pk")
        .only(*_READ)
    )
    read, priced, cost = 0, 0, 0
    for call in calls[:most]:
        if (call.workspace_id, call.provider, call.model) not in covered:
            continue
        read += 1
        charge = books[call.workspace_id].charge(
            call.provider,
            call.request_model,
            call.response_model,
            call.service_tier,
            call.started_at,
            TokenCounts(*(getattr(call, name) for name in TokenCounts._fields)),
            served_from_local_cache=call.served_from_local_cache,
        )
        if charge.cost is not None:
            priced += 1
            cost += charge.cost
    return Preview(waiting, read, priced, cost)


def target_is_known(price: ModelPrice) -> bool:
    """Whether there is a price for what `price` is the same as; so is that of a price of another kind."""
    if price.kind != ModelPrice.Kind.SAME_AS:
        return True
    rows = ModelPrice.objects.filter(Q(workspace=None) | Q(workspace=price.workspace_id))
    book = PriceBook([row.as_entered() for row in rows])
    # As a price is looked up: without a provider of its own, of the call's, else of whoever makes that name.
    providers = (price.same_as_provider,) if price.same_as_provider else (price.provider, "")
    return any(book.knows(provider, price.same_as_model, "") for provider in providers)


def _books(entered: EnteredPrice, workspace_ids: set[int]) -> Mapping[int, PriceBook]:
    """The prices of each workspace with the new one among them."""
    rows = list(ModelPrice.objects.filter(Q(workspace=None) | Q(workspace__in=workspace_ids)))
    return {
        workspace_id: PriceBook(
            [row.as_entered() for row in rows if row.workspace_id in (None, workspace_id)] + [entered]
        )
        for workspace_id in workspace_ids
    }
