"""Room for whoever comes next, whatever those do who are connected.

Waitress takes so many connections and then no more until some end. A thousand clients that send a byte now and then
would so keep everybody out for as long as they like.
"""

from __future__ import annotations

import heapq
import time
from typing import Any, Final

from waitress.server import TcpWSGIServer

from costsite.serve.stamps import StampedChannel

WHOLE_REQUEST_SECONDS: Final = 120.0
"""From the first byte of a request to its last. The largest body takes a line of 280 kbit/s that long."""
ENDED_AT_ONCE: Final = 50
"""Connections, when room is made: to look for the oldest costs the loop half a millisecond."""


class RoomyServer(TcpWSGIServer):  # type: ignore[misc]  # waitress has no types
    """When all places are taken, those that have kept theirs longest without a whole request give them up.

    Who connects and asks has an answer long before it is their turn. Its channels are `StampedChannel`.
    """

    channel_class = StampedChannel

    whole_request_seconds = WHOLE_REQUEST_SECONDS

    def readable(self) -> bool:
        if len(self._map) >= self.adj.connection_limit - 1:
            waiting = [channel for channel in self.active_channels.values() if not channel.requests]
            for channel in heapq.nsmallest(ENDED_AT_ONCE, waiting, key=_waits_since):
                channel.will_close = True
        return bool(super().readable())

    def maintenance(self, now: float) -> None:
        super().maintenance(now)
        began_before = time.monotonic() - self.whole_request_seconds
        for channel in self.active_channels.values():
            if channel.request and not channel.requests and channel.request.arrived_monotonic < began_before:
                channel.will_close = True


def _waits_since(channel: Any) -> float:
    """When its request began to come; where none does, when it was last heard of."""
    return float(channel.request.arrived_at if channel.request else channel.last_activity)
