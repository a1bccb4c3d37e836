"""From a month of sums to advice: what is worth saying, for how many cents, shown by which runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from django.db.models import Sum
from django.utils import timezone

from agents.models import AgentRunLog, UsageDay, Workspace
from agents.models.sums import spend_from, sums
from agents.price_books import price_book
from agents.pricing import PriceBook
from agents.pricing.names import same_provider
from agents.spend import MICROCENTS_PER_CENT, Spend
from agents.write_lock import writing
from costsite.advice import causes, kinds
from costsite.advice.comparing import Side, buys_nothing_measurable, points_worse
from costsite.advice.models import Advice, AgentDay, ModelTier, RunReview, TaskDay, TaskRow
from costsite.advice.tiers import TIERS, TaskNeeds, above, more_effort, task_name, tier_of
from langchain_plugin.wire import TokenCounts, UnitPrices, cost_of

DAYS: Final = 30
"""Whole days, up to yesterday: a month that does not begin anew on its first."""
LEAST_MICROCENTS: Final = MICROCENTS_PER_CENT
"""A cent a month. Less is not worth the reading."""
LEAST_SHARE: Final = 2
"""Percent of what the agent spent: below it, it is noise of an ordinary month."""
EVIDENCE: Final = 5
SPARED_BY_LOWER_EFFORT: Final = 50
"""Percent of the reasoning tokens that a lower effort is taken to spare. A guess, and measured afterwards."""


@dataclass
class Found:
    agent_id: int
    kind: str
    key: str
    microcents: int
    figures: dict[str, Any]
    evidence: list[int] = field(default_factory=list)
    confidence: str = Advice.Confidence.MEDIUM


@dataclass
class Month:
    """What an agent's runs of the month come to."""

    sums: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    compactable: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    named: dict[str, list[list[int]]] = field(default_factory=lambda: defaultdict(list))


_SUMMED: Final = (
    "runs", "calls", "cost_microcents", "looped_calls", "looped_microcents", "failed_calls", "failed_microcents",
    "uncached_calls", "uncached_microcents", "repeated_prompts", "repeated_microcents",
)  # fmt: skip
_NAMED: Final = ("looped_runs", "failing_runs", "longest_runs", "uncached_runs")


def find_advice(workspace: Workspace, through: date) -> int:
    """Find a workspace's advice of the month up to `through` and write it down; how many pieces.

    What people decided stays; what is no longer found keeps its older date.
    """
    first = through - timedelta(days=DAYS - 1)
    book = price_book(workspace.pk)
    months = _months(workspace, first, through)
    found = [
        *_from_reviews(workspace, first, through),
        *_from_months(months),
        *_from_usage(workspace, first, through, book),
        *_from_tasks(workspace, first, through, book),
    ]
    spent = {agent_id: month.sums["cost_microcents"] for agent_id, month in months.items()}
    worth = [
        one
        for one in found
        if one.microcents >= LEAST_MICROCENTS and one.microcents * 100 >= spent.get(one.agent_id, 0) * LEAST_SHARE
    ]
    _write(workspace, worth, through)
    return len(worth)


# ── from runs that were unusual ──────────────────────────────────────────────────────────────────────────────────────


def _from_reviews(workspace: Workspace, first: date, through: date) -> Iterator[Found]:
    rows = RunReview.objects.filter(workspace=workspace, day__gte=first, day__lte=through).exclude(over_microcents=None)
    by_cause: dict[tuple[int, str], list[tuple[int, RunReview]]] = defaultdict(list)
    for row in rows.iterator(chunk_size=2_000):
        # What goes in circles or fails is counted over all runs, not the unusual alone.
        if row.causes and row.cause not in (causes.LOOPS, causes.FAILED):
            by_cause[row.agent_id, row.cause].append((int(row.causes[0][1] or 0), row))
    for (agent_id, cause), reviewed in by_cause.items():
        reviewed.sort(key=lambda pair: -pair[0])
        over = sum(microcents for microcents, _ in reviewed)
        newest = max((row for _, row in reviewed), key=lambda row: row.started_at)
        figures = {
            "runs": len(reviewed), "over": over, "usual": newest.usual_microcents, "usual_runs": newest.usual_runs,
        }  # fmt: skip
        sure = Advice.Confidence.HIGH if len(reviewed) >= 3 else Advice.Confidence.MEDIUM
        yield Found(agent_id, cause, "", over, figures, [row.run_id for _, row in reviewed[:EVIDENCE]], sure)


# ── from every run ───────────────────────────────────────────────────────────────────────────────────────────────────


def _months(workspace: Workspace, first: date, through: date) -> dict[int, Month]:
    months: dict[int, Month] = defaultdict(Month)
    rows = AgentDay.objects.filter(workspace=workspace, day__gte=first, day__lte=through)
    for agent_id, compactable, *rest in rows.values_list("agent_id", "compactable", *_SUMMED, *_NAMED).iterator(2_000):
        month = months[agent_id]
        for name, value in zip(_SUMMED, rest, strict=False):
            month.sums[name] += value
        for trigger, saved in compactable.items():
            month.compactable[int(trigger)] += saved
        for name, value in zip(_NAMED, rest[len(_SUMMED) :], strict=True):
            month.named[name] = sorted([*month.named[name], *value], reverse=True)[:EVIDENCE]
    return months


def _from_months(months: Mapping[int, Month]) -> Iterator[Found]:
    for agent_id, month in months.items():
        sums_of_month = month.sums

        def evidence(name: str, month: Month = month) -> list[int]:
            return [run for _, run in month.named[name]]

        calls = {"of_calls": sums_of_month["calls"]}
        yield Found(
            agent_id, kinds.LOOPS, "", sums_of_month["looped_microcents"],
            {"calls": sums_of_month["looped_calls"]} | calls, evidence("looped_runs"), Advice.Confidence.HIGH,
        )  # fmt: skip
        yield Found(
            agent_id, kinds.FAILED, "", sums_of_month["failed_microcents"],
            {"calls": sums_of_month["failed_calls"]} | calls, evidence("failing_runs"), Advice.Confidence.MEDIUM,
        )  # fmt: skip
        yield Found(
            agent_id, kinds.UNCACHED, "", sums_of_month["uncached_microcents"],
            {"calls": sums_of_month["uncached_calls"]} | calls, evidence("uncached_runs"), Advice.Confidence.MEDIUM,
        )  # fmt: skip
        yield Found(
            agent_id, kinds.REPEATED, "", sums_of_month["repeated_microcents"],
            {"calls": sums_of_month["repeated_prompts"]} | calls, [], Advice.Confidence.HIGH,
        )  # fmt: skip
        if month.compactable:
            trigger, saved = max(month.compactable.items(), key=lambda item: (item[1], item[0]))
            figures = {
                "trigger": trigger, "saved": saved, "spent": sums_of_month["cost_microcents"],
                "runs": sums_of_month["runs"], "by_trigger": sorted(month.compactable.items()),
            }  # fmt: skip
            yield Found(agent_id, kinds.COMPACT_AT, "", saved, figures, evidence("longest_runs"))


# ── from models and efforts ──────────────────────────────────────────────────────────────────────────────────────────


def _from_usage(workspace: Workspace, first: date, through: date, book: PriceBook) -> Iterator[Found]:
    rows = (
        UsageDay.objects.filter(workspace=workspace, day__gte=first, day__lte=through)
        .order_by()
        .values("agent", "provider", "model", "effort")
        .annotate(**sums())
    )
    by_agent: dict[int, list[tuple[str, str, str, Spend]]] = defaultdict(list)
    for row in rows:
        by_agent[row["agent"]].append((row["provider"], row["model"], row["effort"], spend_from(row)))
    for agent_id, used in by_agent.items():
        evidence: list[int] | None = None
        for found in (*_efforts(agent_id, used), *_cheaper_models(agent_id, used, book), *_cache_loss(agent_id, used)):
            if evidence is None:
                newest = AgentRunLog.objects.filter(agent=agent_id, calls__gt=0).order_by("-started_at", "-id")
                evidence = list(newest.values_list("pk", flat=True)[:EVIDENCE])
            found.evidence = evidence
            yield found


def _efforts(agent_id: int, used: Iterable[tuple[str, str, str, Spend]]) -> Iterator[Found]:
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
            yield Found(agent_id, kinds.EFFORT, f"{model}/{effort}"[:200], saved, figures)


def _cheaper_models(agent_id: int, used: Iterable[tuple[str, str, str, Spend]], book: PriceBook) -> Iterator[Found]:
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
            saved = dearer.cost_microcents - _cost_on(dearer, prices)
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
                agent_id, kinds.CHEAPER_MODEL, model[:200], saved, figures, confidence=Advice.Confidence.LOW
            )  # fmt: skip


def _cache_loss(agent_id: int, used: Iterable[tuple[str, str, str, Spend]]) -> Iterator[Found]:
    for _, model, effort, spend in used:
        if spend.cache_written_tokens and spend.saved_microcents < 0:
            figures = {"written": spend.cache_written_tokens, "read": spend.cache_read_tokens}
            key = f"{model}/{effort}"[:200]
            yield Found(agent_id, kinds.CACHE_LOSS, key, -spend.saved_microcents, figures)


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


def _cost_on(spend: Spend, prices: UnitPrices) -> int:
    return cost_of(TokenCounts(*(getattr(spend, name) for name in TokenCounts._fields)), prices).cost


# ── from tasks ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _from_tasks(workspace: Workspace, first: date, through: date, book: PriceBook) -> Iterator[Found]:
    needs = {task_name(row.task): TaskNeeds(row.task, row.name, row.effort, row.tier) for row in TaskRow.objects.all()}
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
        other, prices = min(((one[1], one[2]) for one in own), key=lambda one: _cost_on(spend, one[1]))
        figures = {
            "calls": spend.calls, "task": need.name, "model": model, "tier": TIERS[tier].lower(),
            "needs": TIERS[need.tier].lower(), "instead": other,
        }  # fmt: skip
        yield Found(
            agent_id, kinds.TASK_MODEL, f"{task}/{model}"[:200], spend.cost_microcents - _cost_on(spend, prices),
            figures, _runs_of_task(agent_id, task, model, first, through),
        )  # fmt: skip


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
    rows = UsageDay.objects.filter(workspace=workspace, day__gte=first, day__lte=through).order_by()
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


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _write(workspace: Workspace, found: list[Found], through: date) -> None:
    with writing():
        known = {(one.agent_id, one.kind, one.key): one for one in Advice.objects.filter(workspace=workspace)}
        made = []
        for one in found:
            facts = {
                "month_microcents": one.microcents, "figures": one.figures, "evidence": one.evidence[:EVIDENCE],
                "confidence": one.confidence, "last_found": through,
            }  # fmt: skip
            row = known.get((one.agent_id, one.kind, one.key))
            if row is None:
                made.append(
                    Advice(
                        workspace=workspace, agent_id=one.agent_id, kind=one.kind, key=one.key, first_found=through,
                        **facts,
                    )
                )  # fmt: skip
            else:
                # Only what was found: a decision that is made at this moment stays.
                Advice.objects.filter(pk=row.pk).update(**facts)
        Advice.objects.bulk_create(made, ignore_conflicts=True)
