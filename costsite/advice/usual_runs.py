"""What each agent's runs usually are, from its newest ones: bounded reads by the agents' own indexes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.utils import timezone

from agents.models import Agent, AgentRunLog
from agents.price_books import price_book
from agents.pricing import PriceBook
from agents.recent_calls import recent_calls
from agents.write_lock import writing
from costsite.advice.chains import COLUMNS, Call, conversations, history
from costsite.advice.models import AgentUsualRun
from costsite.advice.usual import median_of, usual_of

DAYS_BACK: Final = 60
RUNS_LOOKED_AT: Final = 1_000
"""The newest of the agent's: enough for a fence, and as quick for an agent with a million."""
RUNS_READ_BY_CALL: Final = 200
_READ: Final = ("started_at", "id", *(name for name in COLUMNS if name != "tool_calls"))


def make_usual_run(agent: Agent, made_for: date, before: datetime) -> AgentUsualRun:
    """Of runs that began before `before`, and write it down."""
    runs = list(
        AgentRunLog.objects.filter(
            agent=agent, started_at__lt=before, started_at__gte=before - timedelta(days=DAYS_BACK)
        )
        .order_by("-started_at", "-id")
        .values_list(
            "calls", "unpriced_calls", "input_tokens", "output_tokens", "cost_microcents", "cache_read_tokens"
        )[:RUNS_LOOKED_AT]
    )
    called = [run for run in runs if run[0]]
    cost = usual_of([run[4] for run in called if not run[1]])
    tokens = usual_of([run[2] + run[3] for run in called])
    sent = sum(run[2] for run in called)
    rows = {
        "workspace_id": agent.workspace_id,
        "made_for": made_for,
        "runs": tokens.n,
        "priced_runs": cost.n,
        "median_microcents": cost.median,
        "fence_microcents": cost.fence,
        "median_tokens": tokens.median,
        "fence_tokens": tokens.fence,
        "calls": median_of([run[0] for run in called]),
        "cache_percent": 100 * sum(run[5] for run in called) // sent if sent else 0,
        **(_by_call(agent, price_book(agent.workspace_id)) if tokens.enough else {}),
    }
    with writing():
        return AgentUsualRun.objects.update_or_create(agent=agent, defaults=rows)[0]


def _by_call(agent: Agent, book: PriceBook) -> dict[str, Any]:
    """What only the calls tell: first prompts, history, answers, and the model most of them are made on."""
    now = timezone.now()
    by_run: dict[Any, list[tuple[Any, ...]]] = defaultdict(list)
    for row in recent_calls(agent.workspace_id, agent.pk, _READ, runs=RUNS_READ_BY_CALL):
        by_run[row[2]].append(row)
    firsts, histories, outputs = [], [], []
    models: Counter[tuple[str, str]] = Counter()
    for rows in by_run.values():
        calls = [Call._make((*row[2:], ())) for row in sorted(rows, key=lambda row: row[:2])]
        models.update((call.provider, call.model) for call in calls if call.status == "ok")
        outputs += [call.output_tokens for call in calls if call.status == "ok"]
        talks = conversations(calls, [book.unit_prices(*call.key, now, call.input_tokens).prices for call in calls])
        if main := max(talks, key=len, default=None):
            firsts.append(main[0].call.input_tokens)
            histories.append(sum(history(steps)[1] for steps in talks))
    provider, model = _most(models)
    return {
        "first_input_tokens": median_of(firsts),
        "history_microcents": median_of(histories),
        "output_tokens": median_of(outputs),
        "provider": provider,
        "model": model,
    }


def _most(models: Counter[tuple[str, str]]) -> tuple[str, str]:
    ranked: Sequence[tuple[tuple[str, str], int]] = models.most_common(1)
    return ranked[0][0] if ranked else ("", "")
