"""Keys that are bound to one agent: what they may report."""

from __future__ import annotations

from collections.abc import Iterable

from agents.models import Agent
from agents.registration import agents_known, slug_of
from agents.storage import storage


class BoundKey:
    """As of this moment: inside a transaction that writes, no merge comes between."""

    def __init__(self, bound_to: Agent, names: Iterable[str]) -> None:
        """`names`: of agents, as they are reported."""
        slugs = {name: slug_of(name) for name in names}
        known = agents_known(bound_to.workspace_id, sorted({bound_to.slug, *slugs.values()}), storage())
        self.agent = known[bound_to.slug]
        """The one it speaks for now: `bound_to`, or what that was merged into."""
        self.names = {name for name, slug in slugs.items() if slug in known and known[slug].id == self.agent.id}
        """Of those given: its agent's, and those of agents that were merged into it."""

    def problem_with_name(self, name: str) -> str:
        """The mend for a name that it may not report for; empty for its own."""
        if name in self.names:
            return ""
        own = self.agent.slug
        return (
            f"This key may report for the agent {own!r} only, not for {name!r}: give the handler"
            f" agent={own!r}, or a key of the whole workspace."
        )

    def not_its_own(self, agent_ids: Iterable[int]) -> set[int]:
        """Of agents that runs belong to, those whose runs it may not report for."""
        others = set(agent_ids) - {self.agent.id}
        if not others:
            return others
        # A run that began before its agent was merged is moved soon, and its own already.
        merged = Agent.objects.filter(pk__in=others, merged_into=self.agent.id)
        return others - set(merged.values_list("pk", flat=True))

    @property
    def not_its_run(self) -> str:
        return (
            f"This run belongs to another agent, and this key may report for {self.agent.slug!r} only:"
            " use a key of the whole workspace where one run spans agents."
        )
