"""Ends a service when the process that supervises it is gone, however it went.

The supervisor holds the other end of standard input and never writes to it: when the supervisor dies, by SIGKILL too,
the kernel closes that end and the read below returns. PR_SET_PDEATHSIG would reach the service itself but none of the
processes it made, and django-q2 hangs when all of them are signalled at once; so the service is asked to stop in its
own way first, and what then remains of its session is killed.
"""

from __future__ import annotations

import os
import signal
import threading
import time

GRACE_SECONDS = 15.0


def hold(grace_seconds: float = GRACE_SECONDS) -> None:
    """Watch standard input on a thread. Call once, first thing, in a process that leads its own session."""
    threading.Thread(target=_until_it_breaks, args=(grace_seconds,), name="lifeline", daemon=True).start()


def _until_it_breaks(grace_seconds: float) -> None:
    # Not sys.stdin: a forked child closes that object, and would wait forever for the lock this read holds.
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_seconds)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
