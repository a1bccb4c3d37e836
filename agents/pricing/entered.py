"""Prices people entered, as plain values: what they cover and which of several wins. Pure of Django."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agents.pricing.names import same_provider
from langchain_plugin import wire

_SOURCE: Final = "price #"


def came_from_entered_price(source: str) -> bool:
    """Whether a `price_source` begins at a price that somebody entered: its own, or that of the model it is the same
    as.
    """
    return source.startswith(_SOURCE)


@dataclass(frozen=True)
class EnteredPrice:
    """One row of the price table. Times are aware; `effective_to` is the first instant it no longer holds."""

    id: int
    of_workspace: bool
    """False: for every workspace."""
    provider: str
    model: str
    """A name, or the beginning of one with a * after it."""
    prices: wire.UnitPrices | None
    """All 0 when it is free; None when it is the same as `same_as_model`."""
    effective_from: datetime
    effective_to: datetime | None = None
    same_as_provider: str = ""
    same_as_model: str = ""

    @property
    def source(self) -> str:
        """For the `price_source` of calls that it prices."""
        return f"{_SOURCE}{self.id}"

    def covers(self, provider: str, names: Iterable[str]) -> bool:
        """True when it speaks of a model under any of `names`, at any time."""
        if self.provider and not same_provider(self.provider, provider):
            return False
        pattern = self.model.strip().lower()
        if pattern.endswith("*"):
            return any(name.lower().startswith(pattern[:-1]) for name in names)
        return any(name.lower() == pattern for name in names)

    def holds(self, at: datetime) -> bool:
        return self.effective_from <= at and (self.effective_to is None or at < self.effective_to)

    @property
    def rank(self) -> tuple[bool, bool, int, bool, datetime, int]:
        """The greatest wins.

        Workspace before global, exact before prefix, the longer prefix, a named provider before any, the later start,
        the later row.
        """
        pattern = self.model.strip()
        exact = not pattern.endswith("*")
        return (self.of_workspace, exact, len(pattern), bool(self.provider), self.effective_from, self.id)
