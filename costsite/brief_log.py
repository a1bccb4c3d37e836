"""What the log says of requests that were refused."""

from __future__ import annotations

import logging


class BriefAboutRefusals(logging.Filter):
    """A line per refusal. Django adds where in its code it refused, forty lines of no news, and anybody can ask for
    what they may not have. Faults, which are 5xx, keep theirs.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.startswith("django.") and 400 <= getattr(record, "status_code", 500) < 500:
            record.exc_info = record.exc_text = None
        return True
