"""What clients report, as the ledger takes it: the events of `wire`, their ids as 32 hex digits, their times as Unix
seconds.

`wire` says what an event may hold, and judges whatever is in doubt. These are what is left of it: no field knows its
rule's words, and making one takes a tenth of the time. `costsite.api.plain_batch` reads them from a batch's bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, Struct

from langchain_plugin import wire

# Lengths and bounds are those of `wire`. What a text may be made of is for whoever reads the bytes.
_Id = Annotated[str, Meta(min_length=36, max_length=36)]
"""In the bytes; whoever reads them takes the dashes out."""
_Name = Annotated[str, Meta(max_length=wire.MAX_NAME_LENGTH)]
_RequiredName = Annotated[str, Meta(min_length=1, max_length=wire.MAX_NAME_LENGTH)]
_Digest = Annotated[str, Meta(min_length=16, max_length=64)]
_Hash = Annotated[str, Meta(max_length=64)]
_Tag = Annotated[str, Meta(min_length=1, max_length=wire.MAX_TAG_LENGTH)]
_Tags = Annotated[tuple[_Tag, ...], Meta(max_length=wire.MAX_TAGS)]
_Tokens = Annotated[int, Meta(ge=0, le=wire.MAX_TOKENS_PER_CALL)]
_UpToAMillion = Annotated[int, Meta(ge=0, le=1_000_000)]
Instant = Annotated[float, Meta(ge=0, lt=7_258_118_400)]
"""Up to 2200."""


class Reported(Struct, gc=False, forbid_unknown_fields=True, tag_field="type"):
    """Holds nothing that could hold it, so Python's collector need not look."""

    run_id: _Id
    agent: _RequiredName


class StartReport(Reported, gc=False, tag="run_started"):
    started_at: Instant
    langchain_run_id: _Id | None = None
    parent_run_id: _Id | None = None
    thread_id: _Name = ""
    tags: _Tags = ()


class EndReport(Reported, gc=False, tag="run_ended"):
    started_at: Instant
    ended_at: Instant
    status: wire.RunStatus
    error_type: _Name = ""


class RefusalReport(Reported, gc=False, tag="refused"):
    refusal_id: _Id
    kind: wire.RefusalKind
    refused_at: Instant
    count: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    policy_id: Annotated[int, Meta(ge=1, le=wire.MAX_COUNT)] | None = None


class CallReport(Reported, gc=False, tag="llm_call"):
    call_id: _Id
    started_at: Instant
    ended_at: Instant
    langchain_run_id: _Id | None = None
    lease_id: _Id | None = None
    is_root: bool = False
    call_index: _UpToAMillion = 0
    step: _Name = ""
    sub_agent: _Name = ""
    purpose: wire.Purpose = "agent"

    provider: _Name = ""
    request_model: _Name = ""
    response_model: _Name = ""
    service_tier: _Name = ""
    effort: _Name = ""

    status: wire.CallStatus = "ok"
    error_type: _Name = ""

    usage_basis: wire.UsageBasis = "measured"
    input_tokens: _Tokens | None = None
    output_tokens: _Tokens | None = None
    cache_read_tokens: _Tokens = 0
    cache_write_5m_tokens: _Tokens = 0
    cache_write_1h_tokens: _Tokens = 0
    cache_write_unknown_tokens: _Tokens = 0
    reasoning_tokens: _Tokens = 0
    input_audio_tokens: _Tokens = 0
    output_audio_tokens: _Tokens = 0
    served_from_local_cache: bool = False

    max_output_tokens: _Tokens | None = None
    time_to_first_token_seconds: Annotated[float, Meta(ge=0, le=31 * 24 * 3600)] | None = None
    prompt_messages: _UpToAMillion = 0
    prompt_hash: _Digest | None = None
    tool_calls: Annotated[tuple[tuple[_Name, _Hash], ...], Meta(max_length=wire.MAX_TOOL_CALLS)] = ()
    thread_id: _Name = ""
    tags: _Tags = ()


RunReport: TypeAlias = StartReport | EndReport | RefusalReport
Report: TypeAlias = RunReport | CallReport

IDS = ("run_id", "call_id", "refusal_id", "langchain_run_id", "parent_run_id", "lease_id")
_TIMES = ("started_at", "ended_at", "refused_at")
_OF: Mapping[type[wire.RunEvent], type[Report]] = {
    wire.RunStarted: StartReport,
    wire.RunEnded: EndReport,
    wire.Refused: RefusalReport,
    wire.LLMCall: CallReport,
}
_fields = {report: itemgetter(*report.__struct_fields__) for report in _OF.values()}


def report_of(event: wire.Event) -> Report:
    """`event` as the ledger takes it."""
    report = _OF[type(event)]
    values: dict[str, Any] = dict(zip(report.__struct_fields__, _fields[report](event.__dict__), strict=True))
    for name in IDS:
        if values.get(name) is not None:
            values[name] = values[name].hex
    for name in _TIMES:
        if name in values:
            values[name] = values[name].timestamp()
    return report(**values)
