"""Events in memory, for as long as their folder cannot be written: bounded, and lost with the process."""

from __future__ import annotations

from collections import deque

from langchain_plugin.segment import Line

MEMORY_MAX_BYTES = 4_000_000
"""About 10,000 calls."""


class MemoryLines:
    """Lines in order, each known by its number. Whoever calls this holds the spool's lock."""

    def __init__(self) -> None:
        self.bytes = 0
        self.left = 0
        """How many wait here no longer; so the oldest has this number."""
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

    def read(self, max_events: int, max_bytes: int) -> list[Line]:
        """The oldest; a line's end is the number of the next one."""
        lines: list[Line] = []
        for data in self._lines:
            max_bytes -= len(data) + 1
            if len(lines) == max_events or max_bytes < 0:
                break
            lines.append(Line(data, self.left + len(lines) + 1))
        return lines

    def oldest(self, max_bytes: int) -> bytes:
        """So many of the oldest, at least one where there is any, each with its newline; to be kept elsewhere."""
        taken: list[bytes] = []
        for data in self._lines:
            max_bytes -= len(data) + 1
            if taken and max_bytes < 0:
                break
            taken.append(data + b"\n")
        return b"".join(taken)

    def forget_before(self, end: int) -> None:
        """Forget those before a number; nothing where they were forgotten meanwhile."""
        while self.left < end and self._lines:
            self.bytes -= len(self._lines.popleft()) + 1
            self.left += 1
