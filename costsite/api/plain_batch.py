"""The plain batch: what nearly every body is, read in a third of the time.

Plain is a body of printable ASCII without an escape, as the plugin sends it, whose every event is well-formed at first
sight. All that is taken here `wire` would take too, and to the same effect (a test holds the two against each other);
whatever is not, or only looks odd, is for `costsite.api.batch`, which knows the exceptions and the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Annotated, Any, Final
from uuid import UUID

from msgspec import DecodeError, Meta, Raw, Struct, json
from pydantic import ValidationError

from agents.reports import CallReport, EndReport, Instant, RefusalReport, Report, StartReport
from langchain_plugin import wire

_ID: Final = 36
"""Characters of an id: 32 hex digits, with dashes at these places."""
_DASHES: Final = (8, 13, 18, 23)
_SHORTEST_DIGEST: Final = 16
_HEX: Final = re.compile("[0-9a-f]*")


class _Envelope(Struct, forbid_unknown_fields=True):
    batch_id: UUID
    client_id: UUID
    sent_at: Instant
    events: Annotated[list[Report], Meta(max_length=wire.MAX_EVENTS_PER_BATCH)]
    health: Raw = Raw(b"{}")


_envelope: Final = json.Decoder(_Envelope)


def read_plain(body: bytes) -> tuple[wire.EventBatch, Sequence[Report]] | None:
    """The batch in `body`, its events apart; None where it is not plain."""
    if not body.isascii() or b"\\" in body or b"\x7f" in body:
        return None
    try:
        read = _envelope.decode(body)
        health = wire.ClientHealth.model_validate_json(bytes(read.health))
    except (DecodeError, ValidationError, RecursionError):  # the last: nested more deeply than anything we take
        return None
    of: dict[type[Report], list[Any]] = {CallReport: [], StartReport: [], EndReport: [], RefusalReport: []}
    for report in read.events:
        of[type(report)].append(report)
    calls, starts, ends, refusals = of.values()
    begun = [*calls, *starts]
    if not (_have_visible_names(read.events, begun) and _have_digests(calls) and all(map(_adds_up, calls))):
        return None
    times = [one.started_at for one in (*begun, *ends)]
    times += [one.ended_at for one in (*calls, *ends)]
    times += [refusal.refused_at for refusal in refusals]
    if _HALF in [at * 64 % 1 for at in (read.sent_at, *times)]:
        return None
    ids: dict[str, Sequence[Report]] = {
        "run_id": read.events,
        "call_id": calls,
        "langchain_run_id": [report for report in begun if report.langchain_run_id is not None],
        "lease_id": [call for call in calls if call.lease_id is not None],
        "parent_run_id": [start for start in starts if start.parent_run_id is not None],
        "refusal_id": refusals,
    }
    if not all(_takes_dashes_out(name, reports) for name, reports in ids.items() if reports):
        return None
    sent = wire.EventBatch.model_construct(
        batch_id=read.batch_id,
        client_id=read.client_id,
        sent_at=datetime.fromtimestamp(read.sent_at, UTC),
        health=health,
        events=[],
    )
    return sent, read.events


_HALF: Final = 0.5
"""Odd multiples of 1/128 s lie halfway between two microseconds: `wire` takes the later, `datetime` the even one."""


def _takes_dashes_out(name: str, reports: Sequence[Report]) -> bool:
    """Put the 32 hex digits of an id in its place; False, and nothing is changed, where one is no id.

    All of them at once, for `UUID` takes a microsecond and more for each: joined, every 36th character from the 9th on
    must be a dash, and so on, and all the others hex digits.
    """
    count = len(reports)
    text = "".join(map(attrgetter(name), reports))
    if any(text[place::_ID] != "-" * count for place in _DASHES):
        return False
    digits = text.replace("-", "")
    try:
        digits = bytes.fromhex(digits).hex()
    except ValueError:
        return False
    if len(digits) != 32 * count:  # a dash too many, or a blank, over which fromhex passes
        return False
    for at, report in enumerate(reports):
        setattr(report, name, digits[32 * at : 32 * at + 32])
    return True


def _have_visible_names(events: Sequence[Report], tagged: Sequence[CallReport | StartReport]) -> bool:
    """Whether names that must show are more than blanks, the only printable ASCII that does not."""
    return all(map(str.strip, {report.agent for report in events} | {tag for one in tagged for tag in one.tags}))


def _have_digests(calls: Iterable[CallReport]) -> bool:
    """Whether hashes are hex digits, enough of them; of a tool's arguments there may be none."""
    digests = [call.prompt_hash for call in calls if call.prompt_hash is not None]
    digests += [digest for call in calls for _, digest in call.tool_calls if digest]
    return min(map(len, digests), default=_SHORTEST_DIGEST) >= _SHORTEST_DIGEST and bool(
        _HEX.fullmatch("".join(digests))
    )


def _adds_up(call: CallReport) -> bool:
    """As `wire.LLMCall` judges counts."""
    total_in, total_out = call.input_tokens, call.output_tokens
    if total_in is None or total_out is None:
        if call.usage_basis == "measured":
            return False
        total_in, total_out = total_in or 0, total_out or 0
    cached = (
        call.cache_read_tokens
        + call.cache_write_5m_tokens
        + call.cache_write_1h_tokens
        + call.cache_write_unknown_tokens
    )
    return (
        cached <= total_in
        and call.input_audio_tokens <= total_in
        and call.reasoning_tokens <= total_out
        and call.output_audio_tokens <= total_out
    )
