"""For agents of `langchain.agents.create_agent`: effort and compaction as their owners set them at the site.

Needs LangChain 1.x, which the rest of the plugin does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import signature
from typing import Any

from langchain.agents.middleware import AgentMiddleware, SummarizationMiddleware
from langchain_core.language_models import BaseChatModel

from langchain_plugin.effort import effort_settings
from langchain_plugin.handler import CostCallbackHandler
from langchain_plugin.wire import KEPT_OF_TRIGGER

__all__ = ["compaction_middleware", "effort_middleware"]


def effort_middleware(*, agent: str | None = None, costs: CostCallbackHandler | None = None) -> AgentMiddleware:
    """Have an agent's model think as hard as its owner set it at the site, from the next call on.

    Args:
        agent: Whose effort; None: that of the run.
        costs: The callback that the agent runs with; None: one that is set by the environment.

    """
    return _Effort(costs or CostCallbackHandler(agent=agent), agent)


class _Effort(AgentMiddleware):  # not by its parameters: LangChain 1.0 has two, later ones three
    def __init__(self, costs: CostCallbackHandler, agent: str | None) -> None:
        super().__init__()
        self._costs = costs
        self._agent = agent

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        return handler(self._with_effort(request))

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        return await handler(self._with_effort(request))

    def _with_effort(self, request: Any) -> Any:
        settings = effort_settings(request.model, self._costs.effort_of(self._agent))
        if not settings or settings.keys() & request.model_settings.keys():
            return request
        return request.override(model_settings={**request.model_settings, **settings})


def compaction_middleware(
    model: str | BaseChatModel,
    *,
    agent: str | None = None,
    costs: CostCallbackHandler | None = None,
    trigger_tokens: int | None = None,
    **summarization: Any,
) -> AgentMiddleware:
    """LangChain's own SummarizationMiddleware, told by the site from how many tokens on a conversation is compacted.

    Args:
        model: What writes the summaries; a small model does.
        agent: Whose number; None: that of the run.
        costs: The callback that the agent runs with; None: one that is set by the environment.
        trigger_tokens: From here on when the site has set nothing; None: then nothing is compacted.
        **summarization: Anything else that SummarizationMiddleware takes. `keep` is a fourth of the trigger without it.

    Raises:
        ImportError: LangChain is older than 1.1.

    """
    if "trigger" not in signature(SummarizationMiddleware).parameters:
        raise ImportError(
            "compaction_middleware needs LangChain 1.1 or newer, since which SummarizationMiddleware has a trigger and"
            " what it keeps in tokens; upgrade langchain."
        )
    return _Compaction(model, costs or CostCallbackHandler(agent=agent), agent, trigger_tokens, summarization)


class _Compaction(AgentMiddleware):
    transformers = getattr(SummarizationMiddleware, "transformers", ())
    """Of newer LangChain: they keep the summary's tokens out of what the agent streams."""

    def __init__(
        self,
        model: str | BaseChatModel,
        costs: CostCallbackHandler,
        agent: str | None,
        trigger_tokens: int | None,
        summarization: dict[str, Any],
    ) -> None:
        super().__init__()
        self._costs = costs
        self._agent = agent
        self._trigger_tokens = trigger_tokens
        # Not LangChain's own twenty messages: where they alone are above the trigger, each call is summarized anew.
        self._make = lambda tokens: SummarizationMiddleware(
            model,
            trigger=("tokens", tokens),
            **{"keep": ("tokens", max(1, tokens // KEPT_OF_TRIGGER)), **summarization},
        )
        self._made: tuple[int, SummarizationMiddleware] | None = None
        # What is wrong with the arguments is said now, not in the run that follows the site's first number.
        if trigger_tokens is None:
            self._make(1)
        else:
            self._summarizing(trigger_tokens)

    def before_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        tokens = self._costs.compact_at_tokens_of(self._agent) or self._trigger_tokens
        return self._summarizing(tokens).before_model(state, runtime) if tokens else None

    async def abefore_model(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        tokens = self._costs.compact_at_tokens_of(self._agent) or self._trigger_tokens
        return await self._summarizing(tokens).abefore_model(state, runtime) if tokens else None

    def _summarizing(self, tokens: int) -> SummarizationMiddleware:
        """Its trigger is fixed when it is made, so another number takes another one."""
        made = self._made
        if made is None or made[0] != tokens:
            made = self._made = (tokens, self._make(tokens))
        return made[1]
