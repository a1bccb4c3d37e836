"""One run and its calls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Count, Q, Sum
from django.db.models.functions import Coalesce

from agents.models import AgentRunLog, LLMCall
from agents.price_books import price_book
from agents.pricing import PriceBook
from agents.pricing.parts import Parts, parts_of_cost, tokens_by_kind
from agents.spend import NOTHING, Spend
from costsite.analytics.queries.runs import RunRow
from costsite.analytics.token_costs import PricedCall
from langchain_plugin.wire import TokenCounts

User = AbstractBaseUser | AnonymousUser


@dataclass(frozen=True)
class CallRow:
    step: str
    sub_agent: str
    purpose: str
    provider: str
    model: str
    request_model: str
    service_tier: str
    effort: str
    started_at: datetime
    duration: timedelta
    status: str
    status_label: str
    error_type: str
    spend: Spend
    cost: int | None
    estimated: bool
    """The provider did not report its usage."""
    tokens_from: str
    """Where a total came from that the client could not tell: `median`, `nothing`, or empty."""
    provisional: bool
    local_cache_hit: bool
    price_source: str
    tool_names: tuple[str, ...]
    by_kind: PricedCall


def find_run(user: User, pk: int) -> RunRow | None:
    found = RunRow.read(AgentRunLog.objects.visible_to(user).filter(pk=pk))
    return found[0] if found else None


def find_parent(user: User, run: RunRow) -> int | None:
    """The id of the run that this one was part of."""
    if run.parent_run_id is None:
        return None
    parents = AgentRunLog.objects.visible_to(user).filter(workspace_id=run.workspace_id, run_id=run.parent_run_id)
    parent: int | None = parents.values_list("pk", flat=True).first()
    return parent


def neighbours(user: User, run: RunRow) -> tuple[int | None, int | None]:
    """The agent's next newer and next older run."""
    rows = AgentRunLog.objects.visible_to(user).filter(agent_id=run.agent_id)
    newer = rows.filter(Q(started_at__gt=run.started_at) | Q(id__gt=run.id), started_at__gte=run.started_at).order_by(
        "started_at", "id"
    )
    older = rows.filter(Q(started_at__lt=run.started_at) | Q(id__lt=run.id), started_at__lte=run.started_at).order_by(
        "-started_at", "-id"
    )
    return newer.values_list("pk", flat=True).first(), older.values_list("pk", flat=True).first()


def calls_of(user: User, run: RunRow, *, offset: int, limit: int) -> list[CallRow]:
    """In the order they began; one more than `limit` says that there are more."""
    rows = (
        LLMCall.objects.visible_to(user)
        .filter(workspace_id=run.workspace_id, run_id=run.run_id)
        .order_by("started_at", "id")
    )
    book = price_book(run.workspace_id)
    return [_call_row(row, book) for row in rows[offset : offset + limit + 1]]


def spend_of_first_calls(user: User, run: RunRow, count: int) -> Spend:
    """What the first `count` calls cost, and how many of them nobody knows: where a later page's running sum begins."""
    if not count:
        return NOTHING
    rows = (
        LLMCall.objects.visible_to(user)
        .filter(workspace_id=run.workspace_id, run_id=run.run_id)
        .order_by("started_at", "id")
    )
    first = rows[:count].aggregate(
        calls=Count("pk"), priced=Count("cost_microcents"), cost=Coalesce(Sum("cost_microcents"), 0)
    )
    return Spend(
        calls=first["calls"], unpriced_calls=first["calls"] - first["priced"], cost_microcents=int(first["cost"])
    )


def _call_row(row: LLMCall, book: PriceBook) -> CallRow:
    spend = Spend(
        calls=1,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        cache_read_tokens=row.cache_read_tokens,
        cache_write_5m_tokens=row.cache_write_5m_tokens,
        cache_write_1h_tokens=row.cache_write_1h_tokens,
        cache_write_unknown_tokens=row.cache_write_unknown_tokens,
        reasoning_tokens=row.reasoning_tokens,
        input_audio_tokens=row.input_audio_tokens,
        output_audio_tokens=row.output_audio_tokens,
        cost_microcents=row.cost_microcents or 0,
        saved_microcents=row.saved_microcents,
        unpriced_calls=int(row.cost_microcents is None),
    )
    return CallRow(
        step=row.step,
        sub_agent=row.sub_agent,
        purpose=row.purpose,
        provider=row.provider,
        model=row.model,
        request_model=row.request_model,
        service_tier=row.service_tier,
        effort=row.effort,
        started_at=row.started_at,
        duration=row.ended_at - row.started_at,
        status=row.status,
        status_label=row.get_status_display(),
        error_type=row.error_type,
        spend=spend,
        cost=row.cost_microcents,
        estimated=row.usage_basis == LLMCall.UsageBasis.ESTIMATED,
        tokens_from=row.tokens_from,
        provisional=row.provisional,
        local_cache_hit=row.served_from_local_cache,
        price_source=row.price_source,
        tool_names=tuple(str(call[0]) for call in row.tool_calls if call),
        by_kind=_by_kind(row, book),
    )


def _by_kind(row: LLMCall, book: PriceBook) -> PricedCall:
    tokens = TokenCounts(*(getattr(row, name) for name in TokenCounts._fields))
    parts: Parts | None = None
    if row.cost_microcents is not None:
        parts = parts_of_cost(
            book,
            row.provider,
            row.request_model,
            row.response_model,
            row.service_tier,
            row.started_at,
            tokens,
            cost=row.cost_microcents,
            saved=row.saved_microcents,
            served_from_local_cache=row.served_from_local_cache,
        )
    return PricedCall(tokens_by_kind(tokens), row.cost_microcents, parts)
