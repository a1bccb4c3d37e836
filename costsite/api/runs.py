"""GET /runs and GET /runs/{run_id}."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Annotated, Any, Literal
from uuid import UUID

from django.db import connection
from django.db.models import BooleanField, Exists, F, OuterRef, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router
from pydantic import Field

from agents.models import AgentRunLog, ApiKey, LLMCall
from agents.spend import MICROCENTS_PER_CENT, cents_text, known_cost
from costsite.analytics.queries import plain
from costsite.api.authentication import BearerKey, key_of
from costsite.api.columns import SPEND_COLUMNS
from costsite.api.errors import ApiError
from costsite.api.paging import Position, cursor_of, position_of
from costsite.api.parameters import Format, Parameters, agent_of, instant, ledger_days
from costsite.api.schemas import RunAnswer, RunDetail, RunPage, answer
from costsite.csv_answer import csv_of_chunks, text_cell
from costsite.large_files import few_at_a_time

router = Router(tags=["Runs"], auth=BearerKey(ApiKey.Scope.READ))

MAX_PAGE = 200
MAX_LOOKED_THROUGH = 20_000
"""Runs that one page looks through for those its filters want. No index serves a tag or a least cost, and a page that
finds nothing must not read the whole table to say so: it comes back short, with a cursor to go on from."""
MAX_CSV_RUNS = 100_000
CSV_CHUNK = 1_000
MAX_CALLS = 1_000

TITLES = (
    "Run", "Agent", "Status", "Started at", "Ended at", "Thread", "Tags", "Error", "Refused calls",
    *(column.title for column in SPEND_COLUMNS),
)  # fmt: skip
READ = (
    "run_id", "agent__slug", "status", "started_at", "ended_at", "thread_id", "tags", "error_type", "refused_calls",
    "calls", "failed_calls", "unpriced_calls", "estimated_calls", "input_tokens", "output_tokens", "cache_read_tokens",
    "reasoning_tokens", "cost_microcents", "id",
)  # fmt: skip
"""For a line of the file; the last for its place."""


class RunParameters(Parameters):
    agent: str | None = Field(None, description="Slug.")
    status: Literal["running", "ok", "error", "cancelled", "refused"] | None = None
    started_from: str | None = Field(None, description="A date, or a time with its offset; in.")
    started_to: str | None = Field(None, description="A date, or a time with its offset; out.")
    thread_id: str | None = Field(None, min_length=1, max_length=200)
    tag: str | None = Field(None, min_length=1, max_length=64)
    model: str | None = Field(
        None, min_length=1, max_length=200, description="Runs with a call that this model answered."
    )
    min_cost_cents: Annotated[Decimal, Field(ge=0, le=10**10, max_digits=18, decimal_places=6)] | None = None
    min_tokens: Annotated[int, Field(ge=0, le=2**62)] | None = Field(None, description="Input and output together.")
    after: str | None = Field(None, description="The `next` of the page before.")
    limit: int = Field(50, ge=1, le=MAX_PAGE)
    format: Format = "json"


@router.get("/runs", response=RunPage, summary="Runs, the newest first")
def list_runs(request: HttpRequest, parameters: Query[RunParameters]) -> HttpResponseBase:
    parameters.check(request)
    key = key_of(request)
    runs = _in_scope(key, parameters)
    if parameters.format == "csv":
        return _csv(request, runs, parameters)
    wanted = _filtered(runs, parameters)
    horizon = None if wanted is runs else _position_after(runs, MAX_LOOKED_THROUGH)
    found = list(_newest_first(_until(wanted, horizon))[: parameters.limit + 1])
    page, more = found[: parameters.limit], len(found) > parameters.limit
    last = Position(page[-1].started_at, page[-1].pk) if more else horizon
    return answer(RunPage(runs=[RunAnswer.of(run) for run in page], next=cursor_of(last) if last else None))


@router.get("/runs/{uuid:run_id}", response=RunDetail, summary="One run with its model calls")
def show_run(request: HttpRequest, run_id: UUID) -> HttpResponseBase:
    key = key_of(request)
    run = AgentRunLog.objects.all().readable_with(key).select_related("agent").filter(run_id=run_id).first()
    if run is None:
        raise ApiError(404, "unknown_run", "This key reads no run of that id; GET /api/v1/runs lists those it does.")
    calls = LLMCall.objects.all().readable_with(key).filter(run_id=run_id).order_by("started_at", "id")[:MAX_CALLS]
    return answer(RunDetail.with_calls(run, list(calls)))


def _in_scope(key: ApiKey, parameters: RunParameters) -> QuerySet[AgentRunLog]:
    """The runs the key reads, cut by what an index answers: agent, start, and the place to go on from."""
    agent_id = key.agent_id
    if parameters.agent is not None:
        agent_id = agent_of(key, parameters.agent).pk
    runs: QuerySet[AgentRunLog]
    if agent_id is None:
        runs = AgentRunLog.objects.all().readable_with(key)
    else:
        # By agent alone: an agent has one workspace for ever, and with both conditions the database may take the
        # workspace's index and read every other agent's runs on the way.
        runs = AgentRunLog.objects.filter(agent_id=agent_id)
    if parameters.started_from or parameters.started_to:
        days = ledger_days()
        if parameters.started_from:
            runs = runs.filter(started_at__gte=instant("started_from", parameters.started_from, days))
        if parameters.started_to:
            runs = runs.filter(started_at__lt=instant("started_to", parameters.started_to, days))
    return _after(runs, position_of(parameters.after)) if parameters.after else runs


def _filtered(runs: QuerySet[AgentRunLog], parameters: RunParameters) -> QuerySet[AgentRunLog]:
    """`runs` itself when nothing was asked that an index does not answer."""
    if parameters.status:
        runs = runs.filter(status=parameters.status)
    if parameters.thread_id:
        runs = runs.filter(thread_id=parameters.thread_id)
    if parameters.tag:
        runs = _tagged(runs, parameters.tag)
    if parameters.model:
        calls = LLMCall.objects.filter(
            workspace_id=OuterRef("workspace_id"), run_id=OuterRef("run_id"), model=parameters.model
        )
        runs = runs.filter(Exists(calls))
    if parameters.min_cost_cents is not None:
        runs = runs.filter(cost_microcents__gte=int(parameters.min_cost_cents * MICROCENTS_PER_CENT))
    if parameters.min_tokens is not None:
        runs = runs.annotate(tokens=F("input_tokens") + F("output_tokens")).filter(tokens__gte=parameters.min_tokens)
    return runs


def _tagged(runs: QuerySet[AgentRunLog], tag: str) -> QuerySet[AgentRunLog]:
    if connection.vendor == "postgresql":
        return runs.filter(tags__contains=[tag])
    has_tag = "EXISTS (SELECT 1 FROM json_each(agents_agentrunlog.tags) WHERE value = %s)"
    return runs.filter(RawSQL(has_tag, [tag], output_field=BooleanField()))  # noqa: S611 - the tag is a parameter of the statement


def _newest_first(runs: QuerySet[AgentRunLog]) -> QuerySet[AgentRunLog]:
    return runs.select_related("agent").order_by("-started_at", "-id")


def _after(runs: QuerySet[AgentRunLog], position: Position) -> QuerySet[AgentRunLog]:
    # The first condition alone is the index's range; the second cuts those that began in the same microsecond.
    return runs.filter(
        Q(started_at__lt=position.started_at) | Q(id__lt=position.id), started_at__lte=position.started_at
    )


def _until(runs: QuerySet[AgentRunLog], horizon: Position | None) -> QuerySet[AgentRunLog]:
    """Down to `horizon` and with it."""
    if horizon is None:
        return runs
    return runs.filter(Q(started_at__gt=horizon.started_at) | Q(id__gte=horizon.id), started_at__gte=horizon.started_at)


def _position_after(runs: QuerySet[AgentRunLog], count: int) -> Position | None:
    """Where `count` of `runs` end; None when there are no more than that. Read from the index alone."""
    keys = runs.order_by("-started_at", "-id").values_list("started_at", "id")[count - 1 : count + 1]
    found = list(keys)
    return Position(*found[0]) if len(found) == 2 else None


@few_at_a_time
def _csv(request: HttpRequest, runs: QuerySet[AgentRunLog], parameters: RunParameters) -> StreamingHttpResponse:
    """All runs that the filters want of the next `MAX_CSV_RUNS`, and a link to go on when there are more."""
    horizon = _position_after(runs, MAX_CSV_RUNS)
    link = ""
    if horizon is not None:
        query = request.GET.copy()
        query["after"] = cursor_of(horizon)
        link = f"{request.path}?{query.urlencode()}"
    return csv_of_chunks("runs", TITLES, _in_chunks(_until(_filtered(runs, parameters), horizon)), next_link=link)


def _in_chunks(runs: QuerySet[AgentRunLog]) -> Iterator[Iterator[Sequence[object]]]:
    """By key, a chunk at a time: one long read would keep SQLite's log from being folded in while a client dawdles."""
    chunk = _chunk(runs)
    while chunk:
        yield map(_cells, chunk)
        last = chunk[-1]
        chunk = _chunk(_after(runs, Position(plain.instant(last[READ.index("started_at")]), last[-1])))


def _chunk(runs: QuerySet[AgentRunLog]) -> list[tuple[Any, ...]]:
    # As the driver has them: to make a model of each takes most of the time of a file.
    return plain.plain_rows(runs.order_by("-started_at", "-id").values_list(*READ)[:CSV_CHUNK])


@lru_cache(maxsize=1_000)
def _tags_cell(tags: str) -> str:
    """Of a column as it is stored; runs by the thousand have the same few."""
    return text_cell(" ".join(json.loads(tags)))


def _cells(row: tuple[Any, ...]) -> Sequence[object]:
    (
        run_id, slug, status, started_at, ended_at, thread, tags, error, refused, calls, failed, unpriced, estimated,
        input_tokens, output_tokens, cache_read, reasoning, cost, _,
    ) = row  # fmt: skip
    return (
        plain.uuid_text(run_id), text_cell(slug), status, plain.time_text(started_at), plain.time_text(ended_at),
        text_cell(thread), _tags_cell(tags), text_cell(error), refused, calls, failed, unpriced,
        estimated, input_tokens, output_tokens, cache_read, reasoning, cents_text(known_cost(calls, unpriced, cost)),
    )  # fmt: skip
