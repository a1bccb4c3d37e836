"""Events in memory, for as long as their folder cannot be written: bounded, and lost with the process."""

from __future__ import annotations

from collections import deque

from langchain_plugin.segment import Line

MEMORY_MAX_BYTES = 4_000_000
"""About 10,000 calls."""


class MemoryLines:
    """Lines in order. Whoever calls this holds the spool's lock."""

    def __init__(self) -> None:
        self.bytes = 0
        self.left = 0
        """How many wait no longer."""
        self._lines: deque[bytes] = deque()

    def __len__(self) -> int:
        return len(self._lines)

    def append(self, data: bytes) -> bool:
        """Keep lines, each ended by a newline; False, and none of them kept, where the bound does not allow it."""
        if self.bytes + len(data) > MEMORY_MAX_BYTES:
            return False
        self.bytes += len(data)
        self._lines.extend(data.splitlines())
        return True

    def take(self) -> bytes:
        """The oldest, with its newline, to be kept elsewhere: whoever did counts it as `left`."""
        data = self._lines.popleft() + b"\n"
        self.bytes -= len(data)
        return data

    def read(self, max_events: int, max_bytes: int) -> list[Line]:
        """The oldest; a line's end is its number."""
        lines: list[Line] = []
        for data in self._lines:
            max_bytes -= len(data) + 1
            if len(lines) == max_events or max_bytes < 0:
                break
            lines.append(Line(data, len(lines) + 1))
        return lines

    def settle(self, count: int) -> None:
        """Forget the oldest."""
        for _ in range(count):
            self.take()
        self.left += count
