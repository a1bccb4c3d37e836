"""What clients are told of their agents, with each Receipt and each lease."""

from __future__ import annotations

from agents.models import Agent
from agents.registration import KnownAgent
from langchain_plugin import wire


def settings_of(name: str, agent: Agent | KnownAgent, move: wire.ModelMove | None) -> wire.AgentSettings:
    """`name`: what the client calls it. `move`: as the agent's own budget has it."""
    return wire.AgentSettings(
        agent=name,
        active=agent.active,
        effort=agent.effort,
        default_model=wire.clean_name(agent.default_model),  # entered by people, who paste what they like
        compact_at_tokens=agent.compact_at_tokens,
        model_move=move,
    )
