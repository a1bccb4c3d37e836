"""A support agent whose runs are recorded by Costsite.

Run it: python examples/support_agent.py "Where is order 1042?"

COSTSITE_URL and COSTSITE_API_KEY say where to report. With OPENAI_API_KEY or ANTHROPIC_API_KEY in the environment it
asks that provider's model, and says so before it does; otherwise a scripted model answers, counts its tokens, and
nothing is bought.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

from langchain_plugin import CostCallbackHandler

INSTRUCTIONS = (
    "You answer customers of a shop for outdoor gear. Look up the order before you say anything about it, give dates in"
    " words, and offer a refund only for parcels that are more than ten days late."
)
ORDERS = {
    "1042": "shipped on 19 November with PostNord, expected on 24 November",
    "1043": "paid, packed, waiting for collection",
}
SCRIPTED = "a scripted model: nothing is bought"


@tool
def look_up_order(number: str) -> str:
    """The state of an order, by its number."""
    return ORDERS.get(number, "no such order")


class ScriptedModel(BaseChatModel):
    """Asks for the order, then answers from what the tool said. Counts tokens as a provider would report them."""

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        # How an integration names its provider and model; with these names the run has a price.
        return LangSmithParams(ls_provider="openai", ls_model_name="gpt-5-mini", ls_model_type="chat")

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        last = messages[-1]
        if isinstance(last, ToolMessage):
            answer = AIMessage(f"Your order is {last.content}. Write to us again if it has not come by then.")
        else:
            digits = "".join(sign for sign in str(last.content) if sign.isdigit()) or "1042"
            call = {"name": look_up_order.name, "args": {"number": digits}, "id": "look_up"}
            answer = AIMessage("", tool_calls=[call])
        read, written = count_tokens_approximately(messages), count_tokens_approximately([answer])
        answer.usage_metadata = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
        answer.response_metadata = {"model_name": "gpt-5-mini"}
        return ChatResult(generations=[ChatGeneration(message=answer)])


def model() -> tuple[BaseChatModel, str]:
    """The model to ask, and in words which it is and who pays."""
    if os.environ.get("OPENAI_API_KEY"):
        from langchain_openai import ChatOpenAI

        mini = ChatOpenAI(model="gpt-5-mini")
        return mini, "gpt-5-mini with the OPENAI_API_KEY of your environment, which pays for it"
    if os.environ.get("ANTHROPIC_API_KEY"):
        from langchain_anthropic import ChatAnthropic

        haiku = ChatAnthropic(model_name="claude-haiku-4-5", timeout=60, stop=None)
        return haiku, "claude-haiku-4-5 with the ANTHROPIC_API_KEY of your environment, which pays for it"
    return ScriptedModel(), SCRIPTED


def main() -> None:
    question = " ".join(sys.argv[1:]) or "Where is my order 1042?"
    asked, which = model()
    print(f"Asking {which}.", flush=True)
    agent = create_agent(asked, tools=[look_up_order], system_prompt=INSTRUCTIONS)

    costs = CostCallbackHandler(agent="support-bot")
    answer = agent.invoke({"messages": [{"role": "user", "content": question}]}, config={"callbacks": [costs]})

    print(answer["messages"][-1].text)
    print(costs.last_run)


if __name__ == "__main__":
    main()
