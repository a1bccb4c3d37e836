"""For agents of `langchain.agents.create_agent`: ends politely when a budget is spent, or goes on with a cheaper model.

The callback stops an agent by an exception, everywhere. This middleware is for where an answer is better than an
exception. It needs LangChain 1.x, which the rest of the plugin does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware, hook_config
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage

from langchain_plugin.budget_exceeded import BudgetExceeded

if TYPE_CHECKING:
    from langchain_plugin.handler import CostCallbackHandler

LEAST_WAIT_SECONDS = 0.05


class BudgetMiddleware(AgentMiddleware):  # not by its parameters: LangChain 1.0 has two, later ones three
    """Put the first of an agent's middleware, beside the callback in its config.

    Args:
        costs: The callback that the agent runs with.
        message: What the agent answers when its budget is spent; `{reason}` in it is the refusal's sentence.
        cheaper_model: What to ask in place of the agent's model from `from_share` on, and for calls that are too large
            for what is left. None: the agent ends.
        from_share: Of the tightest budget, the part that is spent, from 0 to 1.

    """

    def __init__(
        self,
        costs: CostCallbackHandler,
        *,
        message: str = "I cannot go on: {reason}",
        cheaper_model: BaseChatModel | None = None,
        from_share: float = 0.8,
    ) -> None:
        super().__init__()
        if not 0 <= from_share <= 1:
            raise ValueError(f"from_share is {from_share!r}; set it to a part of the budget between 0 and 1, as 0.8.")
        self._costs = costs
        self._message = message
        self._cheaper_model = cheaper_model
        self._from_share = from_share
        costs.let_runs_start()

    @hook_config(can_jump_to=["end"])
    def before_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        refusal = self._costs.refusal_of_this_run()
        return None if refusal is None else {"messages": [self._answer(refusal)], "jump_to": "end"}

    @hook_config(can_jump_to=["end"])
    async def abefore_agent(self, state: Any, runtime: Any) -> dict[str, Any] | None:
        return self.before_agent(state, runtime)

    def wrap_model_call(self, request: Any, handler: Callable[[Any], Any]) -> Any:
        request, cheaper = self._chosen(request)
        try:
            return handler(request)
        except BudgetExceeded as refusal:
            if cheaper is None or not _may_be_smaller(refusal):
                return self._answer(refusal)
        try:
            return handler(cheaper)
        except BudgetExceeded as refusal:
            return self._answer(refusal)

    async def awrap_model_call(self, request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        request, cheaper = self._chosen(request)
        try:
            return await self._patiently(request, handler)
        except BudgetExceeded as refusal:
            if cheaper is None or not _may_be_smaller(refusal):
                return self._answer(refusal)
        try:
            return await self._patiently(cheaper, handler)
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

    def _chosen(self, request: Any) -> tuple[Any, Any | None]:
        """The request to make, and the cheaper one to fall back on; None where it is that one, or there is none."""
        if self._cheaper_model is None:
            return request, None
        cheaper = request.override(model=self._cheaper_model)
        share = self._costs.share_spent()
        return (cheaper, None) if share is not None and share >= self._from_share else (request, cheaper)

    def _answer(self, refusal: BudgetExceeded) -> AIMessage:
        return AIMessage(
            content=self._message.replace("{reason}", str(refusal)),
            response_metadata={"costsite_refusal": refusal.kind},
        )


def _may_be_smaller(refusal: BudgetExceeded) -> bool:
    return refusal.kind in ("too_large", "run_limit", "held")
