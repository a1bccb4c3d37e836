"""For agents of `langchain.agents.create_agent`: ends politely when a budget is spent, or goes on with a cheaper model,
the code's or the one that the agent's owner named at the site.

The callback stops an agent by an exception, everywhere. This middleware is for where an answer is better than an
exception. It needs LangChain 1.x, which the rest of the plugin does not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware, hook_config
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage

from langchain_plugin.budget_exceeded import BudgetExceeded
from langchain_plugin.named_models import Models, NamedModels

if TYPE_CHECKING:
    from langchain_plugin.handler import CostCallbackHandler
    from langchain_plugin.wire import ModelMove

    Move = tuple[str, ModelMove] | None
    """Of an agent, what its owner set at the site."""

LEAST_WAIT_SECONDS = 0.05


class BudgetMiddleware(AgentMiddleware):  # not by its parameters: LangChain 1.0 has two, later ones three
    """Put the first of an agent's middleware, beside the callback in its config.

    Args:
        costs: The callback that the agent runs with.
        message: What the agent answers when its budget is spent; `{reason}` in it is the refusal's sentence.
        cheaper_model: What to ask in place of the agent's model from `from_share` on, and for calls that are too large
            for what is left. None: the agent ends.
        from_share: Of the tightest budget, the part that is spent, from 0 to 1.
        models: The models that the agent's owner may move it to at the site, by name (`{"openai/gpt-5-mini": …}`), or a
            function that makes one of `openai:gpt-5-mini`, as LangChain's `init_chat_model` does. From the owner's
            percent of the agent's own budget on that one is asked, in place of `cheaper_model` too. One that is not
            there is not asked, and the log says so once.

    """

    def __init__(
        self,
        costs: CostCallbackHandler,
        *,
        message: str = "I cannot go on: {reason}",
        cheaper_model: BaseChatModel | None = None,
        from_share: float = 0.8,
        models: Models | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= from_share <= 1:
            raise ValueError(f"from_share is {from_share!r}; set it to a part of the budget between 0 and 1, as 0.8.")
        self._costs = costs
        self._message = message
        self._cheaper_model = cheaper_model
        self._from_share = from_share
        self._models = NamedModels(models)
        costs.let_runs_start()

    @hook_config(can_jump_to=["end"])
    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        refusal = self._costs.refusal_of_this_run()
        return None if refusal is None else {"messages": [self._answer(refusal)], "jump_to": "end"}

    @hook_config(can_jump_to=["end"])
    async def abefore_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        return self.before_agent(state, runtime)

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        move = self._costs.model_move()
        chosen = self._chosen(request, move)
        try:
            return handler(chosen)
        except BudgetExceeded as refusal:
            smaller = self._smaller(chosen, move) if _may_be_smaller(refusal) else None
            if smaller is None:
                return self._answer(refusal)
        try:
            return handler(smaller)
        except BudgetExceeded as refusal:
            return self._answer(refusal)

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        move = self._costs.model_move()
        if _is_due(move):
            await self._at_hand(move)
        chosen = self._chosen(request, move)
        try:
            return await self._patiently(chosen, handler)
        except BudgetExceeded as refusal:
            if not _may_be_smaller(refusal):
                return self._answer(refusal)
            await self._at_hand(move)
            smaller = self._smaller(chosen, move)
            if smaller is None:
                return self._answer(refusal)
        try:
            return await self._patiently(smaller, handler)
        except BudgetExceeded as refusal:
            return self._answer(refusal)

    async def _patiently(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        """On an event loop the callback may not wait for calls that hold the rest; here one can."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._costs.config.held_wait_seconds
        while True:
            try:
                return await handler(request)
            except BudgetExceeded as refusal:
                left = deadline - loop.time()
                if refusal.kind != "held" or left <= 0:
                    raise
                await asyncio.sleep(min(left, max(LEAST_WAIT_SECONDS, refusal.retry_after_seconds or 0)))

    def _chosen(self, request: Any, move: Move) -> Any:
        """The request to make: with the owner's model once that is due, else the code's, else as it is."""
        if move is not None and _is_due(move) and (named := self._models.chat_model(*move)) is not None:
            return request.override(model=named)
        if self._cheaper_model is None:
            return request
        share = self._costs.share_spent()
        if share is None or share < self._from_share:
            return request
        return request.override(model=self._cheaper_model)

    def _smaller(self, chosen: Any, move: Move) -> Any | None:
        """A request to make in place of `chosen`, which was too large; None where there is no other model."""
        named = self._models.chat_model(*move) if move is not None else None
        for model in (named, self._cheaper_model):
            if model is not None and model is not chosen.model:
                return chosen.override(model=model)
        return None

    async def _at_hand(self, move: Move) -> None:
        """Making a model may load its package, for which no event loop should stand still."""
        if move is not None and not self._models.is_at_hand(move[1]):
            await asyncio.to_thread(self._models.chat_model, *move)

    def _answer(self, refusal: BudgetExceeded) -> AIMessage:
        return AIMessage(
            content=self._message.replace("{reason}", str(refusal)),
            response_metadata={"costsite_refusal": refusal.kind},
        )


def _is_due(move: Move) -> bool:
    due_until = move[1].due_until if move is not None else None
    return due_until is not None and time.time() < due_until.timestamp()


def _may_be_smaller(refusal: BudgetExceeded) -> bool:
    return refusal.kind in ("too_large", "run_limit", "held")
