"""Advice from models and efforts: where more money bought nothing that can be measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain
from typing import Any, Final

from django.db.models import F, Sum
from django.utils import timezone

from agents.models import AgentRunLog, UsageDay, Workspace
from agents.models.sums import spend_from, sums
from agents.pricing import PriceBook
from agents.recent_calls import recent_calls
from agents.spend import Spend
from costsite.advice import kinds
from costsite.advice.comparing import Side, buys_nothing_measurable, points_worse
from costsite.advice.finding.found import EVIDENCE, Found
from costsite.advice.models import Advice, UsageSlice
from costsite.advice.tiers import more_effort
from langchain_plugin.wire import TokenCounts, UnitPrices, cost_of

RUNS_LOOKED_AT: Final = 200
"""The newest of an agent, for those that show what an advice says."""

Usage = tuple[str, str, str, Spend]
"""Provider, model and effort, and what was used."""


def read_usage(workspace: Workspace, first: date, through: date) -> dict[int, list[Usage]]:
    """By agent."""
    rows = (
        UsageDay.objects.filter(workspace=workspace, day__gte=first, day__lte=through)
        .order_by()
        .values("agent", "provider", "model", "effort")
        .annotate(**sums())
    )
    by_agent: dict[int, list[Usage]] = defaultdict(list)
    for row in rows:
        by_agent[row["agent"]].append((row["provider"], row["model"], row["effort"], spend_from(row)))
    return by_agent


@dataclass(frozen=True)
class Caching:
    """Of an agent and model: what providers' prompt caches did, the local cache left out."""

    model: str
    input_tokens: int
    read_tokens: int
    written_tokens: int
    saved_microcents: int
    """Reads less the surcharge of writes; below 0 where writing cost more."""

    @property
    def reported(self) -> bool:
        """A provider that reports neither reads nor writes says nothing: that is not the same as none."""
        return bool(self.read_tokens or self.written_tokens)


def read_caching(workspace: Workspace, first: date, through: date) -> dict[int, list[Caching]]:
    """By agent."""
    rows = (
        UsageSlice.objects.filter(workspace=workspace, day__gte=first, day__lte=through)
        .order_by()
        .values_list("agent_id", "model")
        .annotate(
            sent=Sum("input_tokens"),
            read=Sum("cache_read_tokens"),
            written=Sum(F("cache_write_5m_tokens") + F("cache_write_1h_tokens") + F("cache_write_unknown_tokens")),
            spared=Sum("saved_microcents"),
        )
    )
    by_agent: dict[int, list[Caching]] = defaultdict(list)
    for agent_id, model, *numbers in rows:
        by_agent[agent_id].append(Caching(model, *map(int, numbers)))
    return by_agent


def from_usage(
    workspace: Workspace,
    by_agent: Mapping[int, list[Usage]],
    caching: Mapping[int, list[Caching]],
    book: PriceBook,
    before: datetime,
) -> Iterator[Found]:
    """`before`: where the month that was added up ends; a later run is no evidence of it."""
    for agent_id, used in by_agent.items():
        cached = caching.get(agent_id, [])
        advised = (_efforts(agent_id, used), _cheaper_models(agent_id, used, book), _cache_loss(agent_id, cached))
        for found in chain.from_iterable(advised):
            found.evidence = _newest_runs(workspace, agent_id, *found.shown_by, before)
            yield found


def _newest_runs(workspace: Workspace, agent_id: int, model: str, effort: str | None, before: datetime) -> list[int]:
    """The newest runs with a call on `model`, at `effort` if that matters, among the agent's newest few hundred."""
    calls = recent_calls(workspace.pk, agent_id, ("run_id", "model", "effort"), runs=RUNS_LOOKED_AT, before=before)
    runs = {run for run, *how in calls if how[0] == model and effort in (None, how[1])}
    rows = AgentRunLog.objects.filter(workspace=workspace, run_id__in=runs).order_by("-started_at", "-id")
    return list(rows.values_list("pk", flat=True)[:EVIDENCE])


def _efforts(agent_id: int, used: Iterable[Usage]) -> Iterator[Found]:
    by_model: dict[tuple[str, str], list[tuple[str, Spend]]] = defaultdict(list)
    for provider, model, effort, spend in used:
        if effort:
            by_model[provider, model].append((effort, spend))
    for (_, model), tried in by_model.items():
        pairs = [
            (dearer, cheaper)
            for dearer in tried
            for cheaper in tried
            if more_effort(dearer[0], cheaper[0]) and buys_nothing_measurable(_side(cheaper[1]), _side(dearer[1]))
        ]
        for effort in {dearer[0] for dearer, _ in pairs}:
            dearer, cheaper = min(
                (pair for pair in pairs if pair[0][0] == effort), key=lambda pair: _each(pair[1][1]) or 0
            )
            saved = dearer[1].cost_microcents - dearer[1].priced_calls * cheaper[1].cost_microcents // max(
                1, cheaper[1].priced_calls
            )
            figures = {
                "model": model,
                "dearer": _described(dearer[1]) | {"effort": effort},
                "cheaper": _described(cheaper[1]) | {"effort": cheaper[0]},
                "points_worse": round(points_worse(_side(cheaper[1]), _side(dearer[1])), 1),
            }
            shown_by = (model, effort)
            yield Found(agent_id, kinds.EFFORT, f"{model}/{effort}"[:200], saved, figures, shown_by=shown_by)


def _cheaper_models(agent_id: int, used: Iterable[Usage], book: PriceBook) -> Iterator[Found]:
    by_model: dict[tuple[str, str], Spend] = {}
    for provider, model, _, spend in used:
        by_model[provider, model] = by_model.get((provider, model), Spend()) + spend
    now = timezone.now()
    for (provider, model), dearer in by_model.items():
        best: tuple[int, str, Spend] | None = None
        for (other_provider, other), cheaper in by_model.items():
            if (provider, model) == (other_provider, other) or dearer.unpriced_calls:
                continue
            # The price of a token, not only of a call: else a model with the shorter tasks would look the cheaper.
            prices = book.unit_prices(other_provider, other, "", "", now, 0).prices
            if prices is None or not buys_nothing_measurable(_side(cheaper), _side(dearer)):
                continue
            saved = dearer.cost_microcents - cost_on(dearer, prices)
            if saved * 3 > dearer.cost_microcents and (best is None or saved > best[0]):
                best = (saved, other, cheaper)
        if best is not None:
            saved, other, cheaper = best
            figures = {
                "dearer": _described(dearer) | {"model": model},
                "cheaper": _described(cheaper) | {"model": other},
                "points_worse": round(points_worse(_side(cheaper), _side(dearer)), 1),
            }
            yield Found(
                agent_id, kinds.CHEAPER_MODEL, model[:200], saved, figures, confidence=Advice.Confidence.LOW,
                shown_by=(model, None),
            )  # fmt: skip


def _cache_loss(agent_id: int, cached: Iterable[Caching]) -> Iterator[Found]:
    for one in cached:
        if one.written_tokens and one.saved_microcents < 0:
            figures = {"written": one.written_tokens, "read": one.read_tokens}
            shown_by = (one.model, None)
            yield Found(agent_id, kinds.CACHE_LOSS, one.model[:200], -one.saved_microcents, figures, shown_by=shown_by)


def _side(spend: Spend) -> Side:
    return Side(spend.calls, spend.failed_calls, spend.cost_microcents)


def _each(spend: Spend) -> int | None:
    return spend.cost_microcents // spend.priced_calls if spend.priced_calls else None


def _described(spend: Spend) -> dict[str, Any]:
    return {
        "calls": spend.calls,
        "each": _each(spend),
        "failed_percent": round(100 * spend.failed_calls / max(1, spend.calls), 1),
    }


def cost_on(spend: Spend, prices: UnitPrices) -> int:
    return cost_of(TokenCounts(*(getattr(spend, name) for name in TokenCounts._fields)), prices).cost
