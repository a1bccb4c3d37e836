"""A process and all that it started, as Linux counts them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def tree(leader: int) -> Iterator[int]:
    """The pids of a process, of what it started, and of what those started in turn."""
    yield leader
    for task in Path(f"/proc/{leader}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from tree(int(child))


def cpu_nanoseconds(leader: int) -> int:
    """On a processor, all threads of all of them together; finer than the ticks of /proc/<pid>/stat."""
    stats = (stat for pid in tree(leader) for stat in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(stat.read_text().split()[0]) for stat in stats)
