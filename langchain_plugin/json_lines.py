"""Events as lines of JSON. orjson comes with langsmith, which comes with langchain-core: 0.4 us a line instead of 5.

Where it is missing, or an event holds what it refuses (lone surrogates, integers past 64 bits, keys that are no
text), the standard library's json takes over; the lines mean the same.
"""

from __future__ import annotations

import json
from typing import Any

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]


def to_line(event: Any) -> bytes:
    """An event as a line with its newline.

    Raises:
        TypeError, ValueError: It cannot be JSON.

    """
    if orjson is not None:
        try:
            return orjson.dumps(event, str, orjson.OPT_APPEND_NEWLINE)
        except TypeError:
            pass
    return (json.dumps(event, separators=(",", ":"), default=str) + "\n").encode()


def from_line(data: bytes) -> dict[str, Any] | None:
    """The event of a line; None when it is none, as where a write was torn."""
    try:
        event = orjson.loads(data) if orjson is not None else json.loads(data)
    except ValueError:
        try:
            event = json.loads(data)
        except (ValueError, RecursionError):
            return None
    return event if isinstance(event, dict) else None
