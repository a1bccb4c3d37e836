"""Chat models that answer from a script and report usage as real integrations do: on the message."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field, PrivateAttr

USAGE = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}


class ScriptedModel(BaseChatModel):
    """Answers with `answers` in turn (the last one for ever); an exception among them is raised.

    `calls` counts what reached the "provider": a call that was blocked before is not in it.
    """

    answers: list[Any] = Field(default_factory=lambda: ["Hello there."])
    usage: dict[str, Any] | None = Field(default_factory=lambda: dict(USAGE))
    seconds: float = 0.0
    model_name: str = "scripted-1"
    _position: int = PrivateAttr(0)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def calls(self) -> int:
        return self._position

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {"ls_provider": "acme", "ls_model_name": self.model_name, "ls_model_type": "chat"}

    def _next(self) -> AIMessage:
        with self._lock:
            answer = self.answers[min(self._position, len(self.answers) - 1)]
            self._position += 1
        if isinstance(answer, BaseException):
            raise answer
        message = answer.model_copy() if isinstance(answer, AIMessage) else AIMessage(content=answer)
        if message.usage_metadata is None:
            message.usage_metadata = dict(self.usage) if self.usage else None  # type: ignore[assignment]
        message.response_metadata = {"model_name": self.model_name, **message.response_metadata}
        return message

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=[getattr(tool, "name", str(tool)) for tool in tools], **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message = self._next()
        if self.seconds:
            time.sleep(self.seconds)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message = self._next()
        if self.seconds:
            await asyncio.sleep(self.seconds)
        return ChatResult(generations=[ChatGeneration(message=message)])


class StreamingModel(ScriptedModel):
    """Streams word by word; the usage comes in the last chunk, where there is any."""

    def _chunks(self) -> Iterator[ChatGenerationChunk]:
        message = self._next()
        words = str(message.content).split(" ")
        for word in words:
            yield ChatGenerationChunk(message=AIMessageChunk(content=word + " "))
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                usage_metadata=message.usage_metadata,
                tool_call_chunks=[
                    {"name": call["name"], "args": "{}", "id": call["id"], "index": number}
                    for number, call in enumerate(message.tool_calls)
                ],
                response_metadata={"model_name": self.model_name},
            )
        )

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in self._chunks():
            if run_manager is not None:
                run_manager.on_llm_new_token(str(chunk.message.content), chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._chunks():
            if self.seconds:
                await asyncio.sleep(self.seconds)
            if run_manager is not None:
                await run_manager.on_llm_new_token(str(chunk.message.content), chunk=chunk)
            yield chunk
