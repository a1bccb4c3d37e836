"""A finished call as the event that travels: what it used, measured or estimated, and the facts around it.

Plain dicts, and only what differs from the wire's defaults: this is built and written on the caller's thread.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from langchain_plugin import wire
from langchain_plugin.estimate import estimated_input_tokens, estimated_output_tokens
from langchain_plugin.run_tree import OpenCall, OpenRun, new_id
from langchain_plugin.usage import Usage

_NOTHING = wire.TokenCounts()
_SUBSETS = wire.TokenCounts._fields[2:]
_NO_SUBSETS = _NOTHING[2:]


class Settled(NamedTuple):
    """The counts to report, and how sure they are."""

    counts: wire.TokenCounts
    is_measured: bool
    knows_output: bool = True
    """False: the site takes the agent's median, since a cancelled await shows nothing of what the model wrote."""


def settle(call: OpenCall, status: wire.CallStatus, usage: Usage | None, *, refused_by_provider: bool) -> Settled:
    """What the provider reported, or an estimate where it did not, or where the call did not end as it should."""
    if usage is not None and usage.reported and status == "ok":
        return Settled(usage.counts, is_measured=True)
    if refused_by_provider:
        return Settled(_NOTHING, is_measured=False)  # an HTTP error before the first token: providers bill nothing
    reported = usage.counts if usage is not None else _NOTHING  # a total of 0 is one the provider left out
    input_tokens = reported.input_tokens or estimated_input_tokens(call.messages, call.request.tools)
    output_tokens = max(reported.output_tokens, estimated_output_tokens(call.streamed_characters))
    if not output_tokens and usage is not None:
        output_tokens = estimated_output_tokens(usage.output_characters)
    return Settled(
        reported._replace(input_tokens=input_tokens, output_tokens=output_tokens),
        is_measured=False,
        knows_output=status != "cancelled" or output_tokens > 0,
    )


def call_event(
    call: OpenCall, status: wire.CallStatus, error_type: str, usage: Usage | None, settled: Settled
) -> dict[str, Any]:
    """A `wire.LLMCall` in its JSON form, ending now."""
    run, request, counts = call.run, call.request, settled.counts
    event: dict[str, Any] = {
        "type": "llm_call",
        "run_id": run.run_id,
        "agent": run.agent,
        "call_id": call.call_id,
        "langchain_run_id": call.langchain_run_id,  # a UUID becomes text as the line is written, in orjson's own code
        "call_index": call.index,
        "provider": request.provider,
        "request_model": request.request_model,
        "started_at": call.started_at,
        "ended_at": call.started_at + time.monotonic() - call.started_monotonic,
        "status": status,
        "input_tokens": counts.input_tokens,
        "output_tokens": counts.output_tokens if settled.knows_output else None,
        "prompt_messages": call.message_count(),
    }
    if not settled.is_measured:
        event["usage_basis"] = "estimated"
    subsets = counts[2:]
    if subsets != _NO_SUBSETS:
        for name, count in zip(_SUBSETS, subsets, strict=True):
            if count:
                event[name] = count
    if call.lease_id:
        event["lease_id"] = call.lease_id
    if run.is_bare_call:
        event["is_root"] = True
    if error_type:
        event["error_type"] = wire.clean_name(error_type)
    if request.step:
        event["step"] = request.step
    if request.sub_agent:
        event["sub_agent"] = request.sub_agent
    if request.purpose != "agent":
        event["purpose"] = request.purpose
    if request.effort:
        event["effort"] = request.effort
    if request.max_output_tokens is not None:
        event["max_output_tokens"] = request.max_output_tokens
    if request.thread_id:
        event["thread_id"] = request.thread_id
    if request.tags:
        event["tags"] = request.tags
    if call.first_token_monotonic is not None:
        event["time_to_first_token_seconds"] = call.first_token_monotonic - call.started_monotonic
    service_tier = request.service_tier
    if usage is not None:
        service_tier = usage.service_tier or service_tier
        if usage.response_model:
            event["response_model"] = usage.response_model
        if usage.served_from_local_cache:
            event["served_from_local_cache"] = True
        if usage.tool_calls:
            event["tool_calls"] = [(name, "") for name, _ in usage.tool_calls]
    if service_tier:
        event["service_tier"] = service_tier
    return event


def run_started_event(run: OpenRun, call: OpenCall) -> dict[str, Any]:
    """A `wire.RunStarted`; thread and tags are those of the run's first call, which inherits them from the root."""
    event: dict[str, Any] = {
        "type": "run_started",
        "run_id": run.run_id,
        "agent": run.agent,
        "started_at": run.started_at,
        "langchain_run_id": str(run.root_id),
    }
    if call.request.thread_id:
        event["thread_id"] = call.request.thread_id
    if call.request.tags:
        event["tags"] = call.request.tags
    return event


def run_ended_event(run: OpenRun, status: wire.RunStatus, error_type: str) -> dict[str, Any]:
    """A `wire.RunEnded`, ending now."""
    return {
        "type": "run_ended",
        "run_id": run.run_id,
        "agent": run.agent,
        "started_at": run.started_at,
        "ended_at": time.time(),
        "status": status,
        "error_type": wire.clean_name(error_type),
    }


def refused_event(run: OpenRun, kind: str, policy_id: int | None) -> dict[str, Any]:
    """A `wire.Refused`, of one call or run that a budget refused now."""
    event: dict[str, Any] = {
        "type": "refused",
        "run_id": run.run_id,
        "agent": run.agent,
        "refusal_id": new_id(),
        "kind": kind,
        "refused_at": time.time(),
    }
    if policy_id is not None:
        event["policy_id"] = policy_id
    return event
