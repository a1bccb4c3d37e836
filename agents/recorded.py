"""What became of a batch: for the Receipt, and for those who listen to what the ledger announces."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from agents.clock import Days
from agents.models import Workspace
from agents.registration import KnownAgent
from agents.storage import Additions
from langchain_plugin import wire


@dataclass
class Recorded:
    """The fate of each event by its index, and what the batch added."""

    workspace: Workspace
    accepted: list[int] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    rejected: list[wire.Rejection] = field(default_factory=list)
    agents: dict[str, KnownAgent] = field(default_factory=dict)
    """By the name the events reported."""
    spent: dict[tuple[int, date], int] = field(default_factory=lambda: defaultdict(int))
    """Microcents by agent id and local day that this batch added, differences of replaced calls included."""
    spent_by_lease: dict[tuple[UUID, int, date], int] = field(default_factory=lambda: defaultdict(int))
    """The same by the lease that the calls name, whoever's it is, agent id and local day."""
    price_card: list[wire.PriceCardEntry] = field(default_factory=list)
    """The unit prices in force now of the models in the batch."""
    days: Days | None = None
    """The local days of the zone in force."""
    counted: object = None
    """What receivers worked out and whoever answers the batch can use; not of merged parts."""
    last: Additions | None = None
    """What a receiver of `usage_recorded` adds to sums that more batches raise than the rollups; likewise."""

    def merge(self, part: Recorded) -> None:
        """Add what became of another part of the same batch."""
        self.accepted = sorted([*self.accepted, *part.accepted])
        self.duplicates = sorted([*self.duplicates, *part.duplicates])
        self.rejected += part.rejected
        self.agents |= part.agents
        for place, microcents in part.spent.items():
            self.spent[place] += microcents
        for calls, microcents in part.spent_by_lease.items():
            self.spent_by_lease[calls] += microcents
        self.price_card += [entry for entry in part.price_card if entry not in self.price_card]
        self.days = part.days

    def reject(self, index: int, code: wire.RejectionCode, message: str) -> None:
        self.rejected.append(wire.Rejection(index=index, code=code, message=message))
