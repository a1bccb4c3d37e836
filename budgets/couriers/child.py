"""A courier's own side: reads its order, keeps its deadline, answers."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from budgets.couriers.answer import Answer


def answer_with(carry: Callable[[dict[str, Any]], Answer]) -> None:
    """Do the one order that stands on standard input."""
    order = json.loads(sys.stdin.buffer.read())
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, float(order["seconds"]))  # unhandled, the signal ends the process
    # Libraries print: what they write to standard output goes where their errors go.
    out = os.dup(1)
    os.dup2(2, 1)
    answer = carry(order)
    line = json.dumps({"fate": answer.fate.value, "reason": answer.reason, "service": answer.service})
    os.write(out, line.encode() + b"\n")
