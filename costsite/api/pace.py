"""How many requests a key may make: a bucket of tokens for each key, in each web process.

It is there so that one client gone wild does not take the site from the others. What is turned away is not lost: a
client keeps it and comes back when it is told to.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

BURST_SECONDS = 10
"""A key that was quiet may make the requests of so many seconds at once."""
MOST_KEYS = 10_000


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Pace:
    """At most `per_minute` requests a minute for each key; 0: any number.

    Safe from any thread. Times are of a monotonic clock, in seconds.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_second = per_minute / 60
        self._most = max(1.0, self._per_second * BURST_SECONDS)
        self._buckets: dict[int, _Bucket] = {}
        self._lock = threading.Lock()

    def wait_seconds(self, key: int, now: float) -> int:
        """0 when the key may go on; else after how many whole seconds it may."""
        if not self._per_second:
            return 0
        with self._lock:
            bucket = self._buckets.get(key)
            if bucket is None:
                if len(self._buckets) >= MOST_KEYS:
                    self._buckets.clear()  # a fresh start for all is the gentler mistake
                bucket = self._buckets[key] = _Bucket(self._most, now)
            bucket.tokens = min(self._most, bucket.tokens + (now - bucket.at) * self._per_second)
            bucket.at = now
            if bucket.tokens >= 1:
                bucket.tokens -= 1
                return 0
            return math.ceil((1 - bucket.tokens) / self._per_second)
