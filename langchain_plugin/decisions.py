"""What becomes of a call that wants to be paid for. Money in microcents."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from langchain_plugin.wire_leases import RefusalFacts


class Taken(NamedTuple):
    """What a call holds."""

    lease_id: str | None
    microcents: int


class Ask(NamedTuple):
    """The site must be asked first, for this much."""

    least: int


class Stopped(NamedTuple):
    """A call, or a run, may not go on."""

    facts: RefusalFacts

    @property
    def is_for_a_while(self) -> bool:
        """Calls that are under way hold what is left: it is worth waiting for them."""
        return self.facts.kind == "held"


def stopped_here(
    kind: str,
    subject: str,
    *,
    limit: int,
    spent: int,
    asked: int,
    scope: str = "agent",
    retry_after_seconds: float | None = None,
) -> Stopped:
    """A refusal that this process makes by itself, in the shape of the site's."""
    from langchain_plugin.wire_leases import RefusalFacts

    return Stopped(
        RefusalFacts(
            kind=kind,
            scope=scope,
            subject=subject,
            policy_id=0,
            mode="hard",
            limit_microcents=limit,
            spent_microcents=spent,
            left_microcents=max(0, limit - spent),
            held_microcents=0,
            asked_microcents=asked,
            retry_after_seconds=retry_after_seconds,
        )
    )
