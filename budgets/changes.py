"""A change of a budget in words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.utils import timezone

from budgets.models import BudgetChange

_LABELS = {
    "limit_cents": "limit (cents)", "thresholds": "thresholds", "mode": "mode", "moves_to": "moves to",
    "moves_at_percent": "at percent", "cents": "cents", "ends_at": "ends",
}  # fmt: skip
"""What changes, in the order it is told in: a database keeps none."""


def difference(change: BudgetChange) -> str:
    """`limit (cents): 5,000 → 8,000; mode: hard → monitor`."""
    return "; ".join(
        f"{label}: " + " → ".join(_told(name, side[name]) for side in (change.before, change.after) if name in side)
        for name, label in _LABELS.items()
        if name in change.before or name in change.after
    )


def _told(name: str, value: Any) -> str:
    if name == "ends_at":
        return f"{timezone.localtime(datetime.fromisoformat(value)):%-d %b %Y %H:%M}"
    if value in ("", None):
        return "none"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
