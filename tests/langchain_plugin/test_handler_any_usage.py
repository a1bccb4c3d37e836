"""Whatever a provider reports: nothing leaves the handler but one event a call, which the wire takes."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from langchain_plugin import CostCallbackHandler, wire
from tests.langchain_plugin.conftest import Spooled, calls_of
from tests.langchain_plugin.test_usage import DICTS, JUNK, NEARLY_USAGE, Anything

INPUT_PARTS = ("cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "cache_write_unknown_tokens")


def test_every_call_is_one_event_with_counts_that_can_be(handler: CostCallbackHandler, spooled: Spooled) -> None:
    ended = 0

    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @given(usage=st.one_of(NEARLY_USAGE, JUNK), told=st.one_of(DICTS, JUNK), llm_output=st.one_of(DICTS, JUNK))
    def end_a_call(usage: Any, told: Any, llm_output: Any) -> None:
        nonlocal ended
        message = Anything(usage_metadata=usage, response_metadata=told, content="Hello.", tool_calls=told)
        run_id = uuid4()
        handler.on_chat_model_start({}, [[HumanMessage("Hello")]], run_id=run_id)
        generation = Anything(message=message, generation_info=told, text="Hello.")
        handler.on_llm_end(Anything(generations=[[generation]], llm_output=llm_output), run_id=run_id)
        ended += 1

    end_a_call()

    calls = [wire.LLMCall.model_validate(event) for event in calls_of(spooled())]
    assert len(calls) == ended >= 200
    for call in calls:
        counts = [value for name, value in call if name.endswith("_tokens") and value is not None]
        assert min(counts) >= 0
        assert sum(getattr(call, part) for part in INPUT_PARTS) <= call.input_tokens
        assert call.reasoning_tokens <= call.output_tokens
        assert call.input_audio_tokens <= call.input_tokens
        assert call.output_audio_tokens <= call.output_tokens
    assert {call.usage_basis for call in calls} == {"measured", "estimated"}, "some were believed, and some were not"
