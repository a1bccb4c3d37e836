"""What became of a message."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Fate(Enum):
    SENT = "sent"
    """Whoever shows or forwards it took it."""
    UNVERIFIED = "unverified"
    """It was handed over, and nobody says whether it was shown."""
    FAILED = "failed"
    """It was not taken; another attempt may do better."""
    REFUSED = "refused"
    """Another attempt would end the same until somebody mends what the reason says."""


@dataclass(frozen=True)
class Answer:
    fate: Fate
    reason: str = ""
    """A sentence for people, without secrets; empty when it was sent."""
    service: str = ""
    """How the library that sends calls the service."""
