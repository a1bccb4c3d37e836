"""A model that an agent's owner named at the site, as one that the agent's code can ask.

Prompts go where it is: so it is the code that says which models there are, and the site only chooses among them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from langchain_core.language_models import BaseChatModel

if TYPE_CHECKING:
    from langchain_plugin.wire import ModelMove

logger = logging.getLogger("costsite")

Models = Mapping[str, BaseChatModel] | Callable[[str], BaseChatModel]
"""By name, or made of a name as LangChain writes it: `openai:gpt-5-mini`."""

_MAX_SAYINGS = 100
_said: set[tuple[str, str]] = set()
"""Of which agents and models it was said that there is no such model: an agent may be made anew for every request."""


class NamedModels:
    def __init__(self, models: Models | None) -> None:
        self._models = models
        self._made: dict[tuple[str, str], BaseChatModel | None] = {}

    def is_at_hand(self, move: ModelMove) -> bool:
        """Nothing has to be made or loaded for it."""
        return not callable(self._models) or (move.provider, move.model) in self._made

    def chat_model(self, agent: str, move: ModelMove) -> BaseChatModel | None:
        """The model; None where there is no such one here, which is said once."""
        key = (move.provider, move.model)
        if key not in self._made:
            self._made[key] = self._find(agent, move)
        return self._made[key]

    def _find(self, agent: str, move: ModelMove) -> BaseChatModel | None:
        try:
            found: object
            if callable(self._models):
                found = self._models(f"{move.provider}:{move.model}" if move.provider else move.model)
            else:
                found = _among(self._models or {}, move)
            if isinstance(found, BaseChatModel):
                return found
            why = "models has none of that name" if found is None else f"models gave a {type(found).__name__} for it"
        except Exception as error:  # of the code's own function, a missing package, a missing key
            why = f"{type(error).__name__}: {error}"
        _say(agent, move, why)
        return None


def _among(models: Mapping[str, BaseChatModel], move: ModelMove) -> BaseChatModel | None:
    """By provider and name, else by the name alone where one side says no provider."""
    for name, model in models.items():
        if _parts(name) == (move.provider, move.model) or name == move.model:
            return model
    if not move.provider:
        return next((model for name, model in models.items() if _parts(name)[1] == move.model), None)
    return None


def _parts(name: str) -> tuple[str, str]:
    """Of `openai/gpt-5-mini` or `openai:gpt-5-mini`."""
    cut = min((place for sign in "/:" if (place := name.find(sign)) > 0), default=-1)
    return (name[:cut], name[cut + 1 :]) if cut > 0 else ("", name)


def _say(agent: str, move: ModelMove, why: str) -> None:
    name = f"{move.provider}/{move.model}" if move.provider else move.model
    if (agent, name) in _said or len(_said) >= _MAX_SAYINGS:
        return
    _said.add((agent, name))
    logger.warning(
        "Costsite: %s is to ask %s from %d %% of its budget on, as its owner set it at the site, and there is no such"
        " model here (%s). It goes on with its own; give BudgetMiddleware models={%r: …}, or models=init_chat_model.",
        agent,
        name,
        move.at_percent,
        why,
        name,
    )
