"""When to try again at a site that does not take what is sent: later after each failure, sooner while somebody waits.

Times are `time.monotonic()`, in seconds. One thread at a time changes it; others may read.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from langchain_plugin.errors import CheckFailed

FIRST_RETRY_SECONDS = 0.5
MISTAKE_RETRY_MAX_SECONDS = 300.0
"""Where a setting is wrong; somebody may mend it on the server's side."""
FLUSH_RETRY_SECONDS = 1.0
_dice = random.Random()  # noqa: S311 - no secret
"""The plugin's own: a draw from the one that all share would change what a program that seeded it does."""


class Patience:
    """How the failures to send stand.

    Args:
        max_seconds: The longest wait between two attempts, but where the site asks for a longer one or a setting is
            wrong.
        clock: Seconds that never go back.
        draw: A number between the two given; each wait is multiplied by one.

    """

    def __init__(
        self,
        max_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[float, float], float] = _dice.uniform,
    ) -> None:
        self._max_seconds = max_seconds
        self._clock = clock
        self._draw = draw
        self._failures = 0
        self._hurried_retry_monotonic = 0.0
        self._asked_to_wait_until = 0.0
        self.retry_monotonic = 0.0
        """When to try again, unless somebody waits; in the past: at once."""
        self.failing_since: float | None = None
        """Since when the site has taken nothing; None: at the last attempt it did its part, or there was none."""
        self.trouble: CheckFailed | None = None
        """Why nothing can be sent now."""

    def failed(self, trouble: CheckFailed) -> None:
        """Wait twice as long as the last time, or as long as the site asks for."""
        cap = MISTAKE_RETRY_MAX_SECONDS if trouble.needs_a_person else self._max_seconds
        wait = min(cap, FIRST_RETRY_SECONDS * 2 ** min(self._failures, 16))
        wait *= self._draw(0.5, 1.0)  # so that a thousand clients do not come back at once
        now = self._clock()
        if trouble.retry_after_seconds is not None:
            wait = max(wait, trouble.retry_after_seconds)
            self._asked_to_wait_until = now + wait
        self._failures += 1
        if trouble.is_local:
            self.failing_since = None
        elif self.failing_since is None:
            self.failing_since = now
        self.retry_monotonic = now + wait
        self._hurried_retry_monotonic = now + min(wait, FLUSH_RETRY_SECONDS)
        self.trouble = trouble

    def succeeded(self) -> bool:
        """The site took something; True where that ends a trouble."""
        self._failures = 0
        self.failing_since = None
        self.retry_monotonic = self._asked_to_wait_until = 0.0
        was_in_trouble, self.trouble = self.trouble is not None, None
        return was_in_trouble

    def broke(self) -> None:
        """An error of ours: wait as long as may be, as it hardly goes away by itself."""
        self.retry_monotonic = self._clock() + self._max_seconds

    def somebody_waits(self) -> None:
        """Try at once for whoever waits now, unless the site asked to be left alone."""
        self._hurried_retry_monotonic = 0.0

    def pause(self, *, hurried: bool) -> float | None:
        """Seconds until the next attempt, 0 and below for now; None when there is no failure to wait after.

        Args:
            hurried: Somebody waits.

        """
        now = self._clock()
        left = self.retry_monotonic - now
        if left <= 0:
            return None
        if hurried and self._asked_to_wait_until <= now:
            return min(left, self._hurried_retry_monotonic - now)
        return left
