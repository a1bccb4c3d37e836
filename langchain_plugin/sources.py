"""Where the sender reads from, and lets go: sealed files, the one that is written to, memory. Each is a `Source`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from langchain_plugin.active_file import ActiveFile
from langchain_plugin.memory_lines import MemoryLines
from langchain_plugin.segment import Line, Segment

Held = Callable[[], AbstractContextManager[None]]
"""Holds the spool's lock."""


class SealedSource:
    def __init__(
        self, segment: Segment, held: Held, drop_empty: Callable[[], None], on_left: Callable[[int], None]
    ) -> None:
        self._segment = segment
        self._held = held
        self._drop_empty = drop_empty
        self._on_left = on_left

    def read(self, max_events: int, max_bytes: int) -> list[Line]:
        return self._segment.read(max_events, max_bytes)

    def settle(self, end: int, lines: int) -> None:
        with self._held():
            waited = self._segment.events
            self._segment.settle(end, lines)
            self._on_left(waited - self._segment.events)
        self._drop_empty()


class ActiveSource:
    """What was written so far. The size is taken while no append is under way, so a line is never half of one."""

    def __init__(self, file: ActiveFile, held: Held) -> None:
        self._file = file
        self._held = held
        file.believe_size()
        self._start, self._stop = file.settled, file.written

    def read(self, max_events: int, max_bytes: int) -> list[Line]:
        return self._file.read(self._start, self._stop, max_events, max_bytes)

    def settle(self, end: int, lines: int) -> None:
        with self._held():
            self._file.settle(end, lines)  # where it was replaced meanwhile: what was sent is sent again, counted once


class MemorySource:
    def __init__(self, memory: MemoryLines, held: Held) -> None:
        self._memory = memory
        self._held = held

    def read(self, max_events: int, max_bytes: int) -> list[Line]:
        with self._held():
            return self._memory.read(max_events, max_bytes)

    def settle(self, end: int, lines: int) -> None:
        with self._held():
            self._memory.forget_before(end)
