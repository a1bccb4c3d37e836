"""A process that does the same research task some times: it reads pages one after the other, and all it read is sent
again with every call.

    python -m tests.end_to_end.research_agent RUNS [compacting]
"""

from __future__ import annotations

import sys
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from pydantic import PrivateAttr

from langchain_plugin import CostCallbackHandler, compaction_middleware

PAGES = 24
PAGE = "The mountain hut is open from June to October and serves soup. " * 64
"""About a thousand tokens."""
ANSWER = "It is open in August, and one books by telephone before noon. " * 8
SUMMARY = "The pages read so far tell of huts, their seasons and their soups. " * 40


@tool
def read_page(number: int) -> str:
    """A page of the handbook, by its number."""
    return f"Page {number}. {PAGE}"


class Counted(BaseChatModel):
    """Reports what it was sent and what it says, as a provider would count it."""

    @property
    def _llm_type(self) -> str:
        return "counted"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self

    def _says(self) -> AIMessage:
        raise NotImplementedError

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        said = self._says()
        sent, answered = count_tokens_approximately(messages), count_tokens_approximately([said])
        said.usage_metadata = {"input_tokens": sent, "output_tokens": answered, "total_tokens": sent + answered}
        return ChatResult(generations=[ChatGeneration(message=said)])


class Researcher(Counted):
    """Asks for one page after the other, whatever it is reminded of, and answers at the end."""

    _read: int = PrivateAttr(0)

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {"ls_provider": "openai", "ls_model_name": "gpt-4o", "ls_model_type": "chat"}

    def _says(self) -> AIMessage:
        if self._read == PAGES:
            return AIMessage(ANSWER)
        self._read += 1
        return AIMessage(
            "", tool_calls=[{"name": "read_page", "args": {"number": self._read}, "id": f"page-{self._read}"}]
        )


class Summarizer(Counted):
    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {"ls_provider": "openai", "ls_model_name": "gpt-4o-mini", "ls_model_type": "chat"}

    def _says(self) -> AIMessage:
        return AIMessage(SUMMARY)


def main(runs: int, *, compacts: bool) -> None:
    costs = CostCallbackHandler()
    middleware = [compaction_middleware(Summarizer(), costs=costs)] if compacts else []
    for number in range(runs):
        agent = create_agent(Researcher(), tools=[read_page], middleware=middleware)
        asked = {"messages": [{"role": "user", "content": f"Is hut {number} open in August? " + "Be thorough. " * 40}]}
        answer = agent.invoke(asked, {"callbacks": [costs], "recursion_limit": 10 * PAGES})["messages"][-1]
        assert answer.content == ANSWER
    assert costs.flush(60)
    print(costs.last_run)


if __name__ == "__main__":
    main(int(sys.argv[1]), compacts="compacting" in sys.argv)
