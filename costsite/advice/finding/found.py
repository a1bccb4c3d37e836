"""What the finders give: an advice before it is written down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from costsite.advice.models import Advice

EVIDENCE: Final = 5
"""Runs that an advice names."""


@dataclass
class Found:
    agent_id: int
    kind: str
    key: str
    microcents: int
    """What it would have saved in the month."""
    figures: dict[str, Any]
    evidence: list[int] = field(default_factory=list)
    """Runs, by primary key."""
    confidence: str = Advice.Confidence.MEDIUM
    shown_by: tuple[str, str | None] = ("", None)
    """The model, and the effort where it matters, of the calls that are the evidence."""
