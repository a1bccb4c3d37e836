"""What a prompt likely comes to in tokens, and what it cannot exceed."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from langchain_plugin.estimate import estimated_input_tokens, estimated_output_tokens, input_bound

# From the published counting rules the module cites: 4 bytes a token, 4 tokens a message.
CASES = {
    # 400 / 4 + 1 x 4
    "one message": ([[HumanMessage("a" * 400)]], 104),
    # (40 + 60) / 4 + 2 x 4
    "two messages": ([[SystemMessage("a" * 40), HumanMessage("b" * 60)]], 33),
    # 5 / 4 rounded up is 2, + 4
    "a part of a token is a token": ([[HumanMessage("aaaaa")]], 6),
    # 100 characters of 3 bytes: 300 / 4 + 4
    "chinese, by its bytes": ([[HumanMessage("漢" * 100)]], 79),
    # a prompt of a text-completion model counts as one message: 8 / 4 + 4
    "a prompt": (["a" * 8], 6),
    # only the first: every prompt of a batch is a call of its own
    "several prompts": (["a" * 8, "b" * 800], 6),
    "several lists of messages": ([[HumanMessage("a" * 8)], [HumanMessage("b" * 800)]], 6),
    # 40 of text + 12 of thinking: 52 / 4 + 4
    "blocks": (
        [
            [
                AIMessage(
                    [
                        {"type": "text", "text": "a" * 40},
                        {"type": "thinking", "thinking": "b" * 12, "signature": "c" * 500},
                        "",
                    ]
                )
            ]
        ],
        17,
    ),
    # "search" 6, then as JSON "query" 5 + 4 and 10 + 4: 29 / 4 rounded up is 8, + 4
    "tool calls": (
        [
            [
                AIMessage(
                    "",
                    tool_calls=[
                        {"name": "search", "args": {"query": "q" * 10}, "id": "call_0123456789", "type": "tool_call"}
                    ],
                )
            ]
        ],
        12,
    ),
    # the same call among the blocks, as Anthropic's answers have it, once
    "tool calls twice told": (
        [
            [
                AIMessage(
                    [{"type": "tool_use", "id": "toolu_0", "name": "search", "input": {"query": "q" * 10}}],
                    tool_calls=[{"name": "search", "args": {"query": "q" * 10}, "id": "toolu_0", "type": "tool_call"}],
                )
            ]
        ],
        12,
    ),
    "a tool's answer": ([[ToolMessage("a" * 400, tool_call_id="call_0")]], 104),
    "nothing": ([], 1),
    "an empty list of messages": ([[]], 1),
    "no messages at all": (None, 1),
}


@pytest.mark.parametrize(("messages", "tokens"), CASES.values(), ids=CASES)
def test_a_prompt_is_measured_and_estimated(messages: Any, tokens: int) -> None:
    assert estimated_input_tokens(messages) == tokens


IMAGE = base64.b64encode(b"x" * 3_000_000).decode()
IMAGES = [
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE}"}},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}},
    {"type": "image", "base64": IMAGE, "mime_type": "image/png"},
    {"type": "input_image", "image_url": "https://example.com/a.png"},
    {"type": "media", "mime_type": "image/png", "data": IMAGE},
]


@pytest.mark.parametrize("block", IMAGES, ids=["openai", "anthropic", "langchain", "responses", "google"])
def test_an_image_counts_as_an_image_however_many_bytes_it_has(block: dict[str, Any]) -> None:
    messages = [[HumanMessage([{"type": "text", "text": "What is it?!"}, block])]]

    # 12 / 4 + 4 + 1,000
    assert estimated_input_tokens(messages) == 1_007
    assert input_bound(messages) < 10_000


def test_an_image_in_a_tools_answer_is_an_image_too() -> None:
    blocks = [{"type": "tool_result", "content": [IMAGES[1], {"type": "text", "text": "abcd"}]}]

    # 4 / 4 + 4 + 1,000
    assert estimated_input_tokens([[HumanMessage(blocks)]]) == 1_005


def test_a_document_counts_by_its_size_and_its_bound_by_its_bytes() -> None:
    data = base64.b64encode(b"x" * 512_000).decode()  # 500 kB
    messages = [[HumanMessage([{"type": "file", "base64": data, "mime_type": "application/pdf"}])]]

    # 500 x 20 + 4
    assert estimated_input_tokens(messages) == 10_004
    assert input_bound(messages) > 512_000


def test_a_plain_text_document_is_text() -> None:
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a" * 4_000}}

    # 4,000 / 4 + 4
    assert estimated_input_tokens([[HumanMessage([document])]]) == 1_004


def test_sound_counts_by_its_size() -> None:
    data = base64.b64encode(b"x" * 102_400).decode()  # 100 kB
    block = {"type": "input_audio", "input_audio": {"data": data, "format": "mp3"}}

    # 100 x 2 + 4
    assert estimated_input_tokens([[HumanMessage([block])]]) == 204


def test_media_out_of_sight_counts_as_a_megabyte() -> None:
    # 1,024 x 20 + 4
    assert estimated_input_tokens([[HumanMessage([{"type": "file", "file_id": "file-1"}])]]) == 20_484
    # 1,024 x 2 + 4
    assert estimated_input_tokens([[HumanMessage([{"type": "audio", "url": "https://example.com/a.mp3"}])]]) == 2_052


def test_tools_are_part_of_the_prompt() -> None:
    tools = [{"name": "t" * 388}]  # "[{'name': '" + 388 + "'}]" are 402 characters

    # 8 / 4 + 4, then 350 + 402 // 4
    assert estimated_input_tokens([[HumanMessage("a" * 8)]], tools) == 6 + 350 + 100
    assert input_bound([[HumanMessage("a" * 8)]], tools) - input_bound([[HumanMessage("a" * 8)]]) == 1_000 + 402


@pytest.mark.parametrize(("characters", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (4_000, 1_000)])
def test_output_is_estimated_from_what_was_streamed(characters: int, tokens: int) -> None:
    assert estimated_output_tokens(characters) == tokens


@given(st.lists(st.text(), max_size=5))
@settings(deadline=None)
def test_the_bound_of_a_text_is_never_under_its_bytes_nor_under_its_estimate(texts: list[str]) -> None:
    messages = [[HumanMessage(text) for text in texts]]

    assert input_bound(messages) >= sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    assert input_bound(messages) >= estimated_input_tokens(messages)


def test_the_bound_holds_for_thoughts_the_provider_sealed() -> None:
    plain = [[AIMessage([{"type": "thinking", "thinking": "short", "signature": ""}])]]
    sealed = [[AIMessage([{"type": "thinking", "thinking": "short", "signature": "s" * 4_000}])]]

    assert input_bound(sealed) - input_bound(plain) == 4_000
    assert estimated_input_tokens(sealed) == estimated_input_tokens(plain)


def test_the_bound_holds_for_arguments_full_of_what_json_escapes() -> None:
    code = '"\n' * 1_000  # 2,000 characters that JSON writes as 4,000
    message = AIMessage("", tool_calls=[{"name": "write", "args": {"code": code}, "id": "1", "type": "tool_call"}])

    assert input_bound([[message]]) >= len(json.dumps({"code": code}))


def test_text_that_is_not_valid_unicode_is_measured_all_the_same() -> None:
    # each lone surrogate is 3 bytes: 6 / 4 rounded up is 2, + 4
    assert estimated_input_tokens([[HumanMessage("\ud800\udfff")]]) == 6


def test_arguments_that_contain_themselves_end() -> None:
    arguments: dict[str, Any] = {"text": "abc"}
    arguments["again"] = arguments
    message = AIMessage("", tool_calls=[{"name": "t", "args": {}, "id": "1", "type": "tool_call"}])
    message.tool_calls[0]["args"] = arguments

    assert estimated_input_tokens([[message]]) > 4


@pytest.mark.parametrize("junk", [3, {"a": 1}, [3], [[3, None]], [[object()]], "text"], ids=repr)
def test_what_is_no_prompt_comes_to_its_messages_and_no_more(junk: Any) -> None:
    assert estimated_input_tokens(junk) in (1, 4, 8)
