"""Days as people type them."""

from __future__ import annotations

from datetime import date

from django.core.management.base import CommandError


def day(text: str) -> date:
    """'2026-11-20' as a date; CommandError, which ends the command with one sentence, on anything else."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text!r} is no day; write it as 2026-11-20.") from None
