"""Models that were called, and what their tokens cost now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Max, Q, Sum
from django.db.models.functions import Coalesce

from agents.models import CostCorrection, ModelDay, ModelPrice, Workspace
from agents.pricing import PriceBook
from agents.pricing.library import Found
from agents.repricing import calls_it_is_for, unpriced_models
from agents.spend import known_cost
from costsite.analytics.periods import Calendar, first_of_month

User = AbstractBaseUser | AnonymousUser

SEEN_WITHIN = timedelta(days=30)
MOST_MODELS = 300
"""Of workspace, provider and model; those with unpriced calls first."""


@dataclass
class ModelRow:
    """A model under one price: where workspaces pay different ones, there is a row for each."""

    provider: str
    model: str
    found: Found
    since: datetime | None
    """When the price began; None: as long as anybody knows."""
    calls: int = 0
    """This month, as the unpriced and the cost."""
    unpriced: int = 0
    cost_microcents: int = 0
    last_day: date = date.min
    workspaces: list[str] = field(default_factory=list)
    """Their names; empty where one price holds for all that are seen."""

    @property
    def cost(self) -> int | None:
        """Microcents."""
        return known_cost(self.calls, self.unpriced, self.cost_microcents)

    @property
    def price_id(self) -> int | None:
        """Of the entered price that it begins at."""
        return entered_id(self.found.source)


def entered_id(source: str) -> int | None:
    """`price #12, as genai-prices 0.2.3` begins at the entered price 12."""
    start = source.partition(",")[0].removeprefix("price #")
    return int(start) if source.startswith("price #") and start.isdigit() else None


@dataclass(frozen=True)
class SeenModels:
    rows: list[ModelRow]
    cut: bool
    """There are more models than are shown."""


def seen_models(user: User, calendar: Calendar) -> SeenModels:
    """The models called in `SEEN_WITHIN`: those with unpriced calls this month first, then the dearest."""
    month = first_of_month(calendar.today)
    of_month = Q(day__gte=month)
    used: Any = (
        ModelDay.objects.visible_to(user)
        .filter(day__gte=min(month, calendar.today - SEEN_WITHIN))
        .values("workspace_id", "provider", "model")
        .annotate(
            made=Coalesce(Sum("calls", filter=of_month), 0),
            unpriced=Coalesce(Sum("unpriced_calls", filter=of_month), 0),
            spent=Coalesce(Sum("cost_microcents", filter=of_month), 0),
            last=Max("day"),
        )
        .order_by("-unpriced", "-spent", "-made", "provider", "model", "workspace_id")
    )
    found = list(used[: MOST_MODELS + 1])
    books = _books(user, {row["workspace_id"] for row in found})
    names = dict(Workspace.objects.visible_to(user).filter(pk__in=books).values_list("pk", "name"))
    rows: dict[tuple[str, str, str], ModelRow] = {}
    for row in found[:MOST_MODELS]:
        provider, model = row["provider"], row["model"]
        price = books[row["workspace_id"]].look_up(provider, model, "", calendar.now)
        line = rows.get((provider, model, price.source))
        if line is None:
            since = books[row["workspace_id"]].since(provider, model, "", calendar.now)
            line = rows[provider, model, price.source] = ModelRow(provider, model, price, since)
        line.calls += row["made"]
        line.unpriced += row["unpriced"]
        line.cost_microcents += row["spent"]
        line.last_day = max(line.last_day, row["last"])
        line.workspaces.append(names.get(row["workspace_id"], ""))
    prices_of: dict[tuple[str, str], int] = {}
    for provider, model, _ in rows:
        prices_of[provider, model] = prices_of.get((provider, model), 0) + 1
    for line in rows.values():
        if prices_of[line.provider, line.model] == 1:
            line.workspaces = []
    ordered = sorted(rows.values(), key=lambda line: (-line.unpriced, -line.cost_microcents, line.provider, line.model))
    return SeenModels(ordered, len(found) > MOST_MODELS)


def _books(user: User, workspace_ids: set[int]) -> dict[int, PriceBook]:
    """The prices of each workspace, from the rows that `user` sees."""
    rows = list(ModelPrice.objects.visible_to(user))
    return {
        workspace_id: PriceBook([row.as_entered() for row in rows if row.workspace_id in (None, workspace_id)])
        for workspace_id in workspace_ids
    }


def tried(user: User, calendar: Calendar, provider: str, model: str, workspace_id: int | None) -> Found:
    """What a call of this name would be priced by now, in one of the user's workspaces, or by what holds for all."""
    rows = ModelPrice.objects.visible_to(user).filter(Q(workspace=None) | Q(workspace=workspace_id))
    book = PriceBook([row.as_entered() for row in rows])
    return book.look_up(provider, model, "", calendar.now)


def workspaces_to_try(user: User) -> Sequence[Workspace]:
    return list(Workspace.objects.visible_to(user).live().order_by("name")[:200])


# ── one entered price ────────────────────────────────────────────────────────────────────────────────────────────────


def find_price(user: User, pk: int) -> ModelPrice | None:
    return ModelPrice.objects.visible_to(user).filter(pk=pk).select_related("workspace", "created_by").first()


@dataclass(frozen=True)
class Progress:
    """Of the repricing that saving a price began, as far as `user` sees it. Money in microcents."""

    waiting: int
    """Calls of this month that the price speaks of and that have no cost yet."""
    repriced: int
    cost: int

    @property
    def all(self) -> int:
        return self.waiting + self.repriced

    @property
    def percent(self) -> int:
        """How far it is."""
        return 100 * self.repriced // self.all if self.all else 100


def repricing_progress(user: User, price: ModelPrice, calendar: Calendar) -> Progress:
    unpriced = unpriced_models(Workspace.objects.visible_to(user), now=calendar.now)
    done = (
        CostCorrection.objects.visible_to(user)
        .filter(created_at__gte=price.created_at, reason=f"price #{price.pk} was saved")
        .aggregate(calls=Coalesce(Sum("calls"), 0), cost=Coalesce(Sum("cost_after_microcents"), 0))
    )
    return Progress(calls_it_is_for(price, unpriced), int(done["calls"]), int(done["cost"]))
