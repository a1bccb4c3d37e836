"""Background work of budgets. Each task may run twice, at once too."""

from __future__ import annotations

from budgets import statements
from budgets.notifications import sending


def send_notification(notification_id: int) -> str:
    """Send one notification if it is due."""
    return sending.send(notification_id)


def monthly_rollover() -> str:
    """Make the statements and notes of months that are over. No budget waits for it: counters are kept by month."""
    return statements.monthly_rollover()
