"""What reads answer with. Money twice: whole microcents (10^-8 USD) for sums, cents as decimal text for people.

`cost_microcents` and `estimated_cost_cents` are null when the calls have no price; never 0, which means free.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from django.http import HttpResponse
from pydantic import BaseModel, ConfigDict, Field

from agents.models import Agent, AgentRunLog, LLMCall
from agents.models.sums import SUM_COLUMNS, UsageSums
from agents.spend import Spend, cents_text


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


def answer(body: Answer) -> HttpResponse:
    """`body` as it is: ninja would validate and convert what was just built."""
    return HttpResponse(body.model_dump_json(by_alias=True), content_type="application/json")


class Sums(Answer):
    """Over calls. Token totals are inclusive, as on the wire; money over the calls that have a price."""

    calls: int
    failed_calls: int
    estimated_calls: int
    unpriced_calls: int
    local_cache_hits: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    cache_write_unknown_tokens: int
    reasoning_tokens: int
    input_audio_tokens: int
    output_audio_tokens: int
    cost_microcents: int | None = Field(description="Null when calls were made and none has a price.")
    saved_microcents: int
    estimated_cost_cents: str | None = Field(description="The same in cents, as exact decimal text.")


def sums_of(row: UsageSums | Spend) -> dict[str, Any]:
    """The fields of `Sums` from any row that has them."""
    sums: dict[str, Any] = {name: getattr(row, name) for name in SUM_COLUMNS}
    return sums | {"cost_microcents": row.cost, "estimated_cost_cents": cents_text(row.cost)}


class KeyWorkspace(Answer):
    slug: str
    name: str


class KeyFacts(Answer):
    """What a key is, for whoever holds it."""

    workspace: KeyWorkspace
    agent: str | None = Field(description="The one agent it reports and reads; null: all of the workspace's.")
    scopes: list[str]
    server_time: datetime
    version: str = Field(description="The site's.")
    wire_version: int = Field(description="The newest that POST /events takes.")


class AgentAnswer(Answer):
    agent: str = Field(description="Its slug.")
    name: str
    active: bool
    effort: str
    default_model: str
    created_at: datetime
    last_run_at: datetime | None

    @classmethod
    def of(cls, row: Agent) -> AgentAnswer:
        return cls(
            agent=row.slug, name=str(row), active=row.active, effort=row.effort, default_model=row.default_model,
            created_at=row.created_at, last_run_at=row.last_run_at,
        )  # fmt: skip


class AgentPage(Answer):
    agents: list[AgentAnswer]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last.")


class RunAnswer(Sums):
    run_id: UUID
    agent: str
    parent_run_id: UUID | None
    langchain_run_id: UUID | None
    started_at: datetime
    ended_at: datetime | None
    duration_seconds: float | None
    status: str
    error_type: str
    thread_id: str
    tags: list[str]
    refused_calls: int

    @classmethod
    def of(cls, row: AgentRunLog) -> RunAnswer:
        return cls(**_run_facts(row))


class RunPage(Answer):
    runs: list[RunAnswer]
    next: str | None = Field(description="Give it as `after` for what follows; null at the end. A page may be short.")


class CallAnswer(Answer):
    call_id: UUID
    call_index: int
    langchain_run_id: UUID | None
    lease_id: UUID | None
    step: str
    sub_agent: str
    purpose: str
    provider: str
    model: str
    request_model: str
    response_model: str
    service_tier: str
    effort: str
    started_at: datetime
    ended_at: datetime
    status: str
    error_type: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    cache_write_unknown_tokens: int
    reasoning_tokens: int
    input_audio_tokens: int
    output_audio_tokens: int
    served_from_local_cache: bool
    provisional: bool
    cost_basis: str
    cost_microcents: int | None
    saved_microcents: int
    estimated_cost_cents: str | None
    price_source: str
    max_output_tokens: int | None
    time_to_first_token_seconds: float | None
    prompt_messages: int
    tool_calls: list[str] = Field(description="Names of the tools that the model asked for, in order.")
    tags: list[str]

    @classmethod
    def of(cls, row: LLMCall) -> CallAnswer:
        facts = {name: getattr(row, name) for name in cls.model_fields if name != "estimated_cost_cents"}
        # Not the hashes of arguments: who has a key can hash guesses, and short arguments are soon guessed.
        facts["tool_calls"] = [name for name, _ in row.tool_calls]
        return cls(**facts, estimated_cost_cents=cents_text(row.cost_microcents))


class RunDetail(RunAnswer):
    llm_calls: list[CallAnswer] = Field(description="In the order they began; the first 1,000.")

    @classmethod
    def with_calls(cls, row: AgentRunLog, calls: list[LLMCall]) -> RunDetail:
        return cls(**_run_facts(row), llm_calls=[CallAnswer.of(call) for call in calls])


def _run_facts(row: AgentRunLog) -> dict[str, Any]:
    duration = row.duration
    return sums_of(row) | {
        "run_id": row.run_id,
        "agent": row.agent.slug,
        "parent_run_id": row.parent_run_id,
        "langchain_run_id": row.langchain_run_id,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
        "duration_seconds": None if duration is None else duration.total_seconds(),
        "status": row.status,
        "error_type": row.error_type,
        "thread_id": row.thread_id,
        "tags": row.tags,
        "refused_calls": row.refused_calls,
    }


class SpendGroup(Sums):
    """One line of spend; of the five keys, those that were grouped by are filled in."""

    agent: str | None = None
    workspace: str | None = None
    provider: str | None = None
    model: str | None = None
    day: date | None = None


class SpendAnswer(Answer):
    period_start: date = Field(description="The first day, in the ledger's time zone.")
    period_end: date = Field(description="The first day that is out.")
    time_zone: str
    group_by: str
    total: Sums
    groups: list[SpendGroup] = Field(description="Dearest first; days in their order.")
    more_groups: bool = Field(description="True when there were more than 1,000; the total has them all.")
