"""Runs: pages of them, newest first, and one run with its calls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Count, Q, Sum
from django.db.models.functions import Coalesce

from agents.models import AgentRunLog, LLMCall
from agents.models.visibility import VisibleQuerySet
from agents.spend import NOTHING, Spend
from costsite.analytics.periods import Calendar, Days

User = AbstractBaseUser | AnonymousUser

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NEWEST_FIRST = ("-started_at", "-id")
OLDEST_FIRST = ("started_at", "id")
"""Six indexes have this order: of all runs, of each workspace's, of each agent's, and the same of each status."""
STATUSES = AgentRunLog.Status


@dataclass(frozen=True)
class RunRow:
    id: int
    run_id: UUID
    agent_id: int
    agent_name: str
    workspace_id: int
    workspace_name: str
    workspace_slug: str
    started_at: datetime
    ended_at: datetime | None
    status: str
    status_label: str
    error_type: str
    refused_calls: int
    thread_id: str
    tags: tuple[str, ...]
    parent_run_id: UUID | None
    spend: Spend

    @classmethod
    def of(cls, row: AgentRunLog) -> RunRow:
        return cls(
            id=row.pk,
            run_id=row.run_id,
            agent_id=row.agent_id,
            agent_name=str(row.agent),
            workspace_id=row.workspace_id,
            workspace_name=row.workspace.name,
            workspace_slug=row.workspace.slug,
            started_at=row.started_at,
            ended_at=row.ended_at,
            status=row.status,
            status_label=row.get_status_display(),
            error_type=row.error_type,
            refused_calls=row.refused_calls,
            thread_id=row.thread_id,
            tags=tuple(str(tag) for tag in row.tags),
            parent_run_id=row.parent_run_id,
            spend=Spend.of_row(row),
        )

    @property
    def duration(self) -> timedelta | None:
        return self.ended_at - self.started_at if self.ended_at else None

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.started_at, self.id)


@dataclass(frozen=True)
class Cursor:
    """A place in the list of runs: right after (or before) the run that started then and has this id."""

    started_at: datetime
    id: int

    def __str__(self) -> str:
        return f"{(self.started_at - EPOCH) // timedelta(microseconds=1)}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> Cursor | None:
        """From a query string; what nobody could have followed a link to is None."""
        at, dash, pk = text.partition("-")
        if not (
            dash and at.isascii() and at.isdigit() and pk.isascii() and pk.isdigit() and len(at) < 17 and len(pk) < 19
        ):
            return None
        return cls(EPOCH + timedelta(microseconds=int(at)), int(pk))


@dataclass(frozen=True)
class RunPage:
    rows: tuple[RunRow, ...]
    newer: Cursor | None
    older: Cursor | None


@dataclass(frozen=True)
class RunFilter:
    workspace_id: int | None = None
    agent_id: int | None = None
    days: Days | None = None
    """Of the run's start."""
    status: str = ""
    """One of `STATUSES`; empty: any."""


def list_runs(
    user: User,
    calendar: Calendar,
    wanted: RunFilter,
    *,
    before: Cursor | None = None,
    after: Cursor | None = None,
    limit: int = 50,
) -> RunPage:
    """Runs older than `before`, or newer than `after`, or the newest; newest first, at most `limit`."""
    order, beyond = NEWEST_FIRST, None
    if after is not None:
        order = OLDEST_FIRST
        beyond = Q(Q(started_at__gt=after.started_at) | Q(id__gt=after.id), started_at__gte=after.started_at)
    elif before is not None:
        beyond = Q(Q(started_at__lt=before.started_at) | Q(id__lt=before.id), started_at__lte=before.started_at)
    rows = first_runs(user, calendar, wanted, *order, most=limit + 1, beyond=beyond)
    found = [RunRow.of(row) for row in rows.select_related("agent", "workspace").order_by(*order)]
    more = len(found) > limit
    found = found[:limit]
    if after is not None:
        found.reverse()
        return RunPage(tuple(found), found[0].cursor if more and found else None, found[-1].cursor if found else None)
    return RunPage(
        tuple(found), found[0].cursor if before is not None and found else None, found[-1].cursor if more else None
    )


def first_runs(
    user: User, calendar: Calendar, wanted: RunFilter, *order: str, most: int, beyond: Q | None = None
) -> VisibleQuerySet[AgentRunLog]:
    """The first `most` in `order`, from one index for each workspace; in no order. `beyond`: of those it holds."""
    rows = AgentRunLog.objects.filter(beyond or Q())
    if wanted.days is not None:
        rows = rows.filter(
            started_at__gte=wanted.days.starts_at(calendar.zone), started_at__lt=wanted.days.ends_at(calendar.zone)
        )
    if wanted.status:
        rows = rows.filter(status=wanted.status)
    if wanted.agent_id is not None:
        return rows.filter(agent_id=wanted.agent_id).visible_to(user).firsts(*order, most=most)
    if wanted.workspace_id is not None:
        return rows.filter(workspace_id=wanted.workspace_id).visible_to(user).firsts(*order, most=most)
    return rows.firsts_visible_to(user, *order, most=most)


# ── one run ──────────────────────────────────────────────────────────────────────────────────────────────────────


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


def find_run(user: User, pk: int) -> RunRow | None:
    row = AgentRunLog.objects.visible_to(user).select_related("agent", "workspace").filter(pk=pk).first()
    return None if row is None else RunRow.of(row)


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
    return [_call_row(row) for row in rows[offset : offset + limit + 1]]


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


def _call_row(row: LLMCall) -> CallRow:
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
    )
