"""A descriptor that is known to be this file's still: programs close what they do not know, and use its number again.

A program that becomes a daemon closes every descriptor there is. The number of one that it closed is the next file's
that anybody opens, and what is written under it then goes into that file. So it is looked at before each use.

Before each append that costs more than the append itself: a second system call, which gives the interpreter's lock to
whoever waits for it. So the file that is appended to has a number of the highest that the process may have, each file
another one. Closed by something else it is no file at all for a long time, which the next write is told. That holds
only while the numbers that a program's own files get, the lowest that are free, are far below; where they are not,
each append looks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count

try:
    import fcntl
    import resource
except ImportError:  # pragma: no cover - Windows, where numbers cannot be chosen
    fcntl = None  # type: ignore[assignment]  # a module elsewhere

HIGHEST_NUMBERS = 4_096
"""No higher than this, where a process may have more: the system keeps a table as long as the highest one in use."""
FEWEST_NUMBERS = 200
"""Of a process that may have less, none is far from the others."""
TURNS = 32
"""How many numbers are handed out before the first of them is again: two files that were closed by something else at
once must not get each other's, while an append still believes that it has its own."""

_turns = count()


def moved_out_of_the_way(fd: int) -> int | None:
    """The same open file under a number that no other file will get soon; None where there is none, and nothing done.

    Args:
        fd: Just opened, so the lowest number that was free.

    """
    if fcntl is None:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        limit = HIGHEST_NUMBERS
    number = min(limit, HIGHEST_NUMBERS) - 1 - next(_turns) % TURNS
    if limit < FEWEST_NUMBERS or fd >= number // 2:
        return None
    try:
        far = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, number)
    except OSError:
        return None  # beyond what this process may have, or all above it are taken
    if far != number:
        # Something uses these numbers too: the next one that is free there is as likely the next file's.
        os.close(far)
        return None
    os.close(fd)
    return far


class HeldFile:
    """An open file with its lock. One thread may read it while another closes it, and neither waits for the other:
    the garbage collector may run code of this package's in the middle of either, which then waits for what they hold.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        """-1: it was closed, here or by something else."""
        state = os.fstat(fd)
        self._number, self._device = state.st_ino, state.st_dev
        self._read_now = -1
        self._to_close: list[int] = []

    def state(self) -> os.stat_result | None:
        """Its state; None when it is closed, and the descriptor, if it is another file's by now, is forgotten.

        With its descriptor went its lock: it is adopted like a dead process's then, also by this one.
        """
        if self.fd < 0:
            return None
        state = self._state_of(self.fd)
        if state is None:
            self.fd = -1
        return state

    @contextmanager
    def reading(self) -> Iterator[int]:
        """The descriptor, which stays open until this is left; -1 when it is closed. For one thread at a time."""
        fd = self._read_now = self.fd
        try:
            yield fd if fd >= 0 and fd == self.fd and self._state_of(fd) is not None else -1
        finally:
            self._read_now = -1
            self._close_what_is_left()

    def close(self, *, is_in_child: bool = False) -> None:
        """Let go of it, and of its lock; where it is being read, whoever reads does it when done.

        Args:
            is_in_child: Of a fork: whoever reads is a thread of the parent's, and will never be done here.

        """
        if self.state() is None:
            return
        # Forgotten first: a child that is forked in between would close it again, when it is another's.
        fd, self.fd = self.fd, -1
        self._to_close.append(fd)
        if is_in_child or self._read_now != fd:
            self._close_what_is_left()

    def _state_of(self, fd: int) -> os.stat_result | None:
        try:
            state = os.fstat(fd)
        except OSError:
            return None
        return state if state.st_ino == self._number and state.st_dev == self._device else None

    def _close_what_is_left(self) -> None:
        # Of two that find it here one gets it: `pop` is one step.
        with suppress(IndexError, OSError):
            os.close(self._to_close.pop())
