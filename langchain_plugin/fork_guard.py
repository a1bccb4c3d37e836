"""Keeps a fork out of an import that another thread is in the middle of.

A child has only the thread that forked. A module that was half imported by another thread stays half imported there,
and locked for ever: the child's own sender would wait for httpx without end. So a fork waits for the sender's
imports, once in a process's life, about 0.1 s at most; and never long, should an import itself wait for who forks.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

MAX_WAIT_SECONDS = 2.0

_lock = threading.Lock()
_this_thread = threading.local()


@contextmanager
def no_fork() -> Iterator[None]:
    """Forks of other threads wait while this is held; for imports off the main thread."""
    with _lock:
        yield


def _before() -> None:
    _this_thread.holds = _lock.acquire(timeout=MAX_WAIT_SECONDS)


def _after_in_parent() -> None:
    if _this_thread.holds:
        _lock.release()


def _after_in_child() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
