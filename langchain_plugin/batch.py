"""A batch as it travels: events joined as the bytes they lie in, hashes merged where they are known."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from langchain_plugin.fingerprints import Fingerprints
from langchain_plugin.json_lines import from_line, to_line
from langchain_plugin.losses import losses_in
from langchain_plugin.rejected import unwrapped
from langchain_plugin.segment import Source

ENVELOPE_BYTES = 10_000
"""Kept free in a batch for all that is not events."""


@dataclass
class Batch:
    """Lines from one or more sources, and how far each source is settled once their fate is known."""

    batch_id: UUID = field(default_factory=uuid4)
    lines: list[bytes] = field(default_factory=list)
    torn: int = 0
    """Lines that are no event, and are passed over."""
    call_ids: list[str] = field(default_factory=list)
    """The ids of the model calls among them."""
    losses: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    """By the process that lost something: its health, which tells what."""
    spool_events: int = 0
    spool_bytes: int = 0
    """What the sources hold less when it is settled, torn lines too."""
    _reach: list[tuple[Source, int, int]] = field(default_factory=list)

    def settle(self) -> None:
        """Let every source forget what is in this batch."""
        for source, end, lines in self._reach:
            source.settle(end, lines)

    def body(self, client_id: UUID, health: dict[str, Any]) -> bytes:
        """The gzipped JSON of a `wire.EventBatch`."""
        envelope = {
            "batch_id": str(self.batch_id),
            "client_id": str(client_id),
            "sent_at": time.time(),
            "health": health,
        }
        text = json.dumps(envelope, separators=(",", ":"))[:-1].encode()
        # Level 1: the rest of the levels save a fifth more and take three times as long, in the agent's process.
        return gzip.compress(text + b',"events":[' + b",".join(self.lines) + b"]}", compresslevel=1)


def _written(value: Any) -> bytes | None:
    """JSON without its newline; None of what can be read and not be written: something nested a thousand deep."""
    try:
        json.dumps(value)  # as the envelope is written: the one that takes the least
        return to_line(value)[:-1]
    except (TypeError, ValueError, RecursionError):
        return None


def gather(
    sources: Sequence[Source], fingerprints: Fingerprints, hash_key: str, *, max_events: int, max_bytes: int
) -> Batch:
    """The oldest events that fit both limits. A batch without lines may still have torn ones to settle."""
    batch = Batch()
    free = max_bytes - ENVELOPE_BYTES
    for source in sources:
        end: int | None = None
        lines = 0
        is_full = False
        for line in source.read(max_events - len(batch.lines), free):
            data = line.data
            event = from_line(data)
            if event is not None and (inner := unwrapped(event)) is not event:
                written = _written(inner)
                event, data = (inner, written) if written is not None else (None, data)
            told = losses_in(event) if event is not None else None
            if event is None or (told is not None and _written(told[1]) is None):
                batch.torn += bool(line.data)
            elif told is not None:
                batch.losses[told[0]] = told[1]
            else:
                call_id = event.get("call_id")
                keyed = fingerprints.keyed(call_id, hash_key) if isinstance(call_id, str) else None
                if keyed is not None:
                    event["prompt_hash"] = keyed.prompt
                    if keyed.arguments:
                        event["tool_calls"] = keyed.arguments
                    data = to_line(event)[:-1]
                if len(data) + 1 > free and batch.lines:
                    is_full = True
                    break
                free -= len(data) + 1
                batch.lines.append(data)
                if isinstance(call_id, str):
                    batch.call_ids.append(call_id)
            lines += 1
            end = line.end
            batch.spool_bytes += len(line.data) + 1
        if end is not None:
            batch._reach.append((source, end, lines))
            batch.spool_events += lines
        if is_full or len(batch.lines) >= max_events:
            break
    return batch
