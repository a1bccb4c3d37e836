"""Advice from the tasks that runs name: more model, or more effort, than the task's row says it needs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final

from django.db.models import Sum
from django.utils import timezone

from agents.models import ModelDay, Workspace
from agents.models.sums import spend_from, sums
from agents.pricing import PriceBook
from agents.pricing.names import same_provider
from agents.spend import Spend
from costsite.advice import kinds
from costsite.advice.finding.found import EVIDENCE, Found
from costsite.advice.finding.usage import cost_on
from costsite.advice.models import Advice, ModelTier, TaskDay, TaskRow
from costsite.advice.tiers import TIERS, TaskNeeds, above, more_effort, task_name, tier_of
from langchain_plugin.wire import UnitPrices

SPARED_BY_LOWER_EFFORT: Final = 50
"""Percent of the reasoning tokens that a lower effort is taken to spare. A guess, and measured afterwards."""


def from_tasks(workspace: Workspace, first: date, through: date, book: PriceBook) -> Iterator[Found]:
    needs = _needs()
    rows = (
        TaskDay.objects.filter(workspace=workspace, day__gte=first, day__lte=through, task__in=list(needs))
        .order_by()
        .values("agent", "task", "provider", "model", "effort")
        .annotate(**sums())
    )
    found = list(rows)
    if not found:
        return
    entered = {row.model.lower(): row.tier for row in ModelTier.objects.all()}
    now = timezone.now()
    instead = _models_by_tier(workspace, first, through, book, entered)
    by_model: dict[tuple[int, str, str, str], Spend] = {}
    for row in found:
        spend, need = spend_from(row), needs[row["task"]]
        key = (row["agent"], row["task"], row["provider"], row["model"])
        by_model[key] = by_model.get(key, Spend()) + spend
        if more_effort(row["effort"], need.effort) and spend.reasoning_tokens:
            prices = book.unit_prices(row["provider"], row["model"], "", "", now, 0).prices
            reasoning = spend.reasoning_tokens * (prices.reasoning if prices else 0) // 1_000_000
            figures = {
                "calls": spend.calls, "task": need.name, "effort": row["effort"], "needs": need.effort,
                "reasoning_tokens": spend.reasoning_tokens,
            }  # fmt: skip
            yield Found(
                row["agent"], kinds.TASK_EFFORT, f"{row['task']}/{row['model']}/{row['effort']}"[:200],
                reasoning * SPARED_BY_LOWER_EFFORT // 100, figures,
                _runs_of_task(row["agent"], row["task"], row["model"], first, through), Advice.Confidence.LOW,
            )  # fmt: skip
    for (agent_id, task, provider, model), spend in by_model.items():
        need = needs[task]
        tier = tier_of(model, book.unit_prices(provider, model, "", "", now, 0).prices, entered)
        candidates = instead.get(need.tier, [])
        if tier is None or not above(tier, need.tier) or not candidates or spend.unpriced_calls:
            continue
        # The same vendor's where there is one: the same tokenizer, the same account.
        own = [one for one in candidates if same_provider(one[0], provider)] or candidates
        other, prices = min(((one[1], one[2]) for one in own), key=lambda one: cost_on(spend, one[1]))
        figures = {
            "calls": spend.calls, "task": need.name, "model": model, "tier": TIERS[tier].lower(),
            "needs": TIERS[need.tier].lower(), "instead": other,
        }  # fmt: skip
        yield Found(
            agent_id, kinds.TASK_MODEL, f"{task}/{model}"[:200], spend.cost_microcents - cost_on(spend, prices),
            figures, _runs_of_task(agent_id, task, model, first, through),
        )  # fmt: skip


def _needs() -> dict[str, TaskNeeds]:
    """By what a run may call the task: as its row does, or as its row is shown to people."""
    rows = [TaskNeeds(row.task, row.name, row.effort, row.tier) for row in TaskRow.objects.order_by("pk")]
    return {task_name(row.name): row for row in rows} | {task_name(row.task): row for row in rows}


KNOWN_MODELS: Final = (
    ("openai", "gpt-5-mini"),
    ("openai", "gpt-5"),
    ("anthropic", "claude-haiku-4-5"),
    ("anthropic", "claude-sonnet-4-5"),
    ("google_genai", "gemini-2.5-flash"),
    ("google_genai", "gemini-2.5-pro"),
)
"""What can be named instead where the workspace itself uses no model of a tier."""


def _models_by_tier(
    workspace: Workspace, first: date, through: date, book: PriceBook, entered: Mapping[str, str]
) -> dict[str, list[tuple[str, str, UnitPrices]]]:
    rows = ModelDay.objects.filter(workspace=workspace, day__gte=first, day__lte=through).order_by()
    names = [*rows.values_list("provider", "model").annotate(n=Sum("calls")).values_list("provider", "model")[:200]]
    by_tier: dict[str, list[tuple[str, str, UnitPrices]]] = defaultdict(list)
    for provider, model in dict.fromkeys([*names, *KNOWN_MODELS]):
        prices = book.unit_prices(provider, model, "", "", timezone.now(), 0).prices
        tier = tier_of(model, prices, entered)
        if prices is not None and tier is not None and model:
            by_tier[tier].append((provider, model, prices))
    return by_tier


def _runs_of_task(agent_id: int, task: str, model: str, first: date, through: date) -> list[int]:
    rows = TaskDay.objects.filter(agent=agent_id, day__gte=first, day__lte=through, task=task, model=model)
    named = sorted((tuple(pair) for runs in rows.values_list("runs", flat=True) for pair in runs), reverse=True)
    return list(dict.fromkeys(run for _, run in named))[:EVIDENCE]
